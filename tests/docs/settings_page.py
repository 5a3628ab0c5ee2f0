"""Write ``docs/settings.md`` from the settings class: ``make docs``."""

import json
from pathlib import Path

from service.settings import Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"

HEAD = """# Settings

For everybody who runs the service. Each setting is an environment variable. A misspelt name is an error at start.
The service links that Kubernetes sets, such as `RETINA_SRM_SERVICE_HOST`, are passed over.

With Docker Compose, write `RETINA_NAME=value` lines into a file `retina.env` beside `docker-compose.yml`. How to run
the service for others: [operations.md](operations.md). Who may call it: [security.md](security.md).

This page is generated from `service/settings/fields.py` by `make docs`.

| setting | default | meaning |
|---|---|---|
"""


def settings_page() -> str:
    """Return the page: one row per setting, in the order of the class."""
    rows = []
    for name, field in Settings.model_fields.items():
        if name == "model_repository":  # a path of this installation
            default = "included models"
        elif field.default in (None, ""):
            default = "unset"
        elif isinstance(field.default, dict):
            default = f"`{json.dumps(field.default)}`"
        else:
            default = f"`{field.default}`"
        rows.append(f"| `RETINA_{name.upper()}` | {default} | {field.description} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(settings_page(), encoding="utf-8")
