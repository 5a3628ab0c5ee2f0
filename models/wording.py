"""What is wrong with a value that pydantic refused, in plain words: what, where, and what is allowed."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

SCALARS = {"bool", "int", "float", "str"}
"""How pydantic names the members of a union of JSON's scalars, at the end of a location."""
WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not known: leave it out, or check its spelling",
    "int": "must be a whole number",
    "float": "must be a number",
    "decimal": "must be a number",
    "finite_number": "must be a finite number",
    "bool": "must be true or false",
    "string": "must be a text",
    "list": "must be an array",
    "tuple": "must be an array",
    "set": "must be an array",
    "dict": "must be an object",
    "model": "must be an object",
    "path": "must be a path",
    "uuid": "must be a UUID, such as 019ab2f4-6c31-7d52-9a44-2f7f0c6f5e10",
    "datetime": "must be a date and time, such as 2026-11-24T08:15:30Z",
    "json": "is not JSON",
}
"""Words by the error type of pydantic, or by its first word, which is the type of the value."""


def described(
    errors: Iterable[Mapping[str, Any]], *, whole: str = "the content", got: Callable[[Any], str] | None = None
) -> list[str]:
    """Describe each error once, without a full stop.

    Args:
        errors: As ``ValidationError.errors()`` gives them.
        whole: The name of the value itself.
        got: Turns a wrong value into text. Without it values are not repeated, because they may be patient data.
    """
    found: dict[str, None] = {}
    for error in errors:
        place = error["loc"]
        scalar = len(place) > 1 and place[-1] in SCALARS
        where = ".".join(map(str, place[:-1] if scalar else place)) or whole
        words = "must be true, false, a number or a text" if scalar else wording(error)
        shown = f" (got {got(error['input'])})" if got is not None and error["type"] != "missing" else ""
        colon = ":" if error["type"] == "value_error" else ""  # a sentence of its own
        found[f"{where}{colon} {words}{shown}"] = None
    return list(found)


def wording(error: Mapping[str, Any]) -> str:
    """Say what one value must be. The sentence goes on after its name."""
    kind, limits = error["type"], error.get("ctx", {})
    match kind:
        case "literal_error" | "enum":
            return f"must be {limits['expected']}"
        case "greater_than_equal":
            return f"must be at least {limits['ge']}"
        case "greater_than":
            return f"must be above {limits['gt']}"
        case "less_than_equal":
            return f"must be at most {limits['le']}"
        case "less_than":
            return f"must be below {limits['lt']}"
        case "too_long" | "string_too_long":
            return f"is too long: at most {limits['max_length']} {unit(kind)}"
        case "too_short" | "string_too_short":
            return f"is too short: at least {limits['min_length']} {unit(kind)}"
        case "string_pattern_mismatch":
            return f"must match {limits['pattern']}"
        case "value_error":
            return str(limits["error"])
    return WORDS.get(kind) or WORDS.get(kind.partition("_")[0]) or str(error["msg"])


def unit(kind: str) -> str:
    return "characters" if kind.startswith("string") else "elements"
