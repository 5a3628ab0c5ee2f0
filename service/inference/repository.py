"""The model repository: all packages in a folder, by name and version."""

import re
from collections.abc import Iterator
from pathlib import Path

from models.card import NAME_PATTERN, VERSION_PATTERN
from models.package import FILE_NAME, PackageError
from service.inference.errors import UnknownModelError
from service.inference.execution import Execution
from service.inference.runtime import Model, load_model


class Repository:
    """Loaded models by name and version. The highest version of a name is the default."""

    def __init__(self, models: list[Model]) -> None:
        self.models: dict[str, dict[str, Model]] = {}
        for model in models:
            self.add(model)

    @classmethod
    def load(cls, folder: Path, execution: Execution, *, only: str | None = None) -> "Repository":
        """Load every package, or only the model of one name.

        Raises:
            PackageError: if there is none, or if one of them is not usable.
        """
        found = list(packages(folder))
        if not found:
            raise PackageError(f"{folder} holds no model package: expected <model>/<version>/{FILE_NAME}")
        if only is not None:
            names = sorted({path.parent.parent.name for path in found})
            found = [path for path in found if path.parent.parent.name == only]
            if not found:
                raise UnknownModelError(f"There is no model {only!r} in {folder}; there are: {', '.join(names)}")
        return cls([load_package(path, execution) for path in found])

    def add(self, model: Model) -> Model | None:
        """Serve a model from now on, and return the one of the same name and version that it replaces."""
        versions = self.models.get(model.name, {})
        replaced = versions.get(model.version)
        versions = versions | {model.version: model}
        self.models[model.name] = {version: versions[version] for version in sorted(versions, key=int)}
        self.models = dict(sorted(self.models.items()))
        return replaced

    def remove(self, name: str, version: str) -> Model:
        """Stop serving a model, and return it."""
        versions = dict(self.models[name])
        model = versions.pop(version)
        if versions:
            self.models[name] = versions
        else:
            del self.models[name]
        return model

    def __iter__(self) -> Iterator[Model]:
        for versions in self.models.values():
            yield from versions.values()

    def get(self, name: str, version: str | None = None) -> Model:
        """Return a model, by default its highest version.

        Raises:
            UnknownModelError: if it is not served.
        """
        versions = self.models.get(name)
        if versions is None:
            raise UnknownModelError(f"There is no model {name!r}; there are: {', '.join(self.models) or 'none'}")
        if version is None:
            return versions[max(versions, key=int)]
        if version not in versions:
            raise UnknownModelError(f"Model {name!r} has no version {version!r}; there are: {', '.join(versions)}")
        return versions[version]


def load_package(path: Path, execution: Execution) -> Model:
    """Load the package at ``<model>/<version>/model.onnx``.

    Raises:
        PackageError: if it is not usable, or is not the model that its folder names.
        ProviderError: if a forced provider can't run it.
    """
    model = load_model(path, version=path.parent.name, execution=execution)
    if model.name != path.parent.parent.name:
        raise PackageError(f"{path} holds the model {model.name!r}: its folder must have the model's name")
    return model


def packages(folder: Path) -> Iterator[Path]:
    """Yield the package files of a repository in order. Names that can't be a model or version are skipped."""
    for path in sorted(folder.glob(f"*/*/{FILE_NAME}")):
        if re.fullmatch(NAME_PATTERN, path.parent.parent.name) and re.fullmatch(VERSION_PATTERN, path.parent.name):
            yield path
