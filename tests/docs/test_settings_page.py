"""The page of settings says what the settings class says."""

from service.settings import Settings
from tests.docs.settings_page import PAGE, settings_page


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == settings_page(), "run `make docs`"


def test_page_lists_every_setting_once_with_its_description() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        assert text.count(f"| `RETINA_{name.upper()}` |") == 1
        assert field.description
        assert f" | {field.description} |" in text


def test_page_shows_defaults() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert "| `RETINA_PORT` | `8000` |" in text
    assert "| `RETINA_MODEL_REPOSITORY` | included models |" in text
    assert "| `RETINA_KEYS_FILE` | unset |" in text
