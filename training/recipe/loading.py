"""Read a recipe from a YAML file, check it, and say in a line what is wrong with it."""

import difflib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from training.errors import TrainingError
from training.recipe.recipe import Recipe


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that come with the project, by name."""
    folder = Path(str(resources.files("training") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_package_recipe(name_or_path: str | None, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe that reads a package's data, which the package does not hold.

    Raises:
        TrainingError: if none is named, or as :func:`load_recipe`.
    """
    if name_or_path is None:
        raise TrainingError("a package does not hold its data: name the recipe that reads them with --recipe")
    return load_recipe(name_or_path, overrides)


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a shipped recipe by name, or any recipe by path, and apply ``key.subkey=value`` overrides.

    Raises:
        TrainingError: for an unknown recipe or key (naming the nearest known one), or a value that does not fit.
    """
    shipped = shipped_recipes()
    path = shipped.get(name_or_path, Path(name_or_path))
    if not path.is_file():
        near = difflib.get_close_matches(name_or_path, shipped, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; shipped recipes: {', '.join(shipped)}"
        raise TrainingError(f"No recipe {name_or_path!r}: neither a shipped recipe nor a file{hint}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise TrainingError(f"{path} is not valid YAML: {problem or error}{where}") from None
    except UnicodeDecodeError as error:
        raise TrainingError(f"{path} is not a recipe in UTF-8 text: {error}") from None
    if not isinstance(content, dict):
        raise TrainingError(f"{path} does not hold a recipe: expected keys and values, such as `name: my-model`")
    for override in overrides:
        apply_override(content, override)
    return check_recipe(content, str(path))


def check_recipe(content: dict[str, Any], origin: str) -> Recipe:
    """Validate a recipe's content; ``origin`` names it in errors."""
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        faults = "\n".join(f"  {describe_fault(fault)}" for fault in error.errors())
        raise TrainingError(f"{origin} is not a valid recipe:\n{faults}") from None


def apply_override(content: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or not key:
        raise TrainingError(f"--set {override!r}: write it as key=value, for example --set epochs=10")
    *parents, last = key.split(".")
    target = content
    for parent in parents:
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            raise TrainingError(f"--set {override!r}: {parent!r} holds a value, not further keys")
    try:
        target[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise TrainingError(f"--set {override!r}: the value is not valid YAML: {error}") from None


def describe_fault(fault: Any) -> str:
    """Describe an error in one line. For an unknown key, name the nearest known one."""
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        return f"{where or 'recipe'}: {fault['msg']} (got {fault['input']!r})"
    section: Any = Recipe
    for part in fault["loc"][:-1]:
        section = section.model_fields[part].annotation
    known = list(section.model_fields)
    near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
    return f"{where}: unknown key; {hint}"
