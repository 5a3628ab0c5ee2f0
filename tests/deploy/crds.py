"""Strict JSON schemas from the definitions of custom resources."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

Schema = dict[str, Any]
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def strict(schema: Schema) -> Schema:
    """Refuse fields that a structural schema does not name: the API server would drop them without a word."""
    found = dict(schema)
    if "properties" in found:
        found["properties"] = {name: strict(inner) for name, inner in found["properties"].items()}
        if not found.get("x-kubernetes-preserve-unknown-fields"):
            found.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = strict(found[key])
    return found


def validators(folder: Path) -> Iterator[tuple[tuple[str, str], Draft202012Validator]]:
    """Yield a validator for each apiVersion and kind that the definitions in a folder describe."""
    for path in sorted(folder.glob("*.yaml")):
        for definition in yaml.load_all(path.read_text(), LOADER):
            spec = definition["spec"]
            for version in spec["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                schema["properties"]["metadata"] = {"type": "object"}  # the API server's own
                yield (f"{spec['group']}/{version['name']}", spec["names"]["kind"]), Draft202012Validator(schema)
