"""Reading the settings from environment variables that begin with ``RETINA_``."""

import difflib
import os
import re

from pydantic import ValidationError
from pydantic_settings import SettingsError as UnreadableError

from models.wording import described
from service.settings.fields import LINK, Settings

TRAINING = "RETINA_TRAINING_"
"""How the variables of training begin, which the service passes over."""


class SettingsError(ValueError):
    """A setting that can't be used. The text names it and says which values are allowed."""


def is_service_link(variable: str) -> bool:
    """Whether Kubernetes set a variable, for a Service whose name begins with ``retina`` (``enableServiceLinks``)."""
    names = r"_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$"
    if re.search(names, variable):
        return True
    return variable.endswith("_PORT") and re.match(LINK, os.environ[variable]) is not None


def load_settings(**overrides: object) -> Settings:
    """Read the settings from the environment. An override that is not None replaces the value of the environment.

    Raises:
        SettingsError: for an invalid value, or for an unknown variable with the prefix; the text names the nearest
            known one.
    """
    known = {f"RETINA_{name.upper()}" for name in Settings.model_fields}
    for variable in os.environ:
        if not variable.upper().startswith("RETINA_") or variable.upper().startswith(TRAINING):
            continue
        if variable.upper() not in known and not is_service_link(variable):
            near = difflib.get_close_matches(variable.upper(), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
            raise SettingsError(f"{variable} is not a setting of the service; {hint}")
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except UnreadableError as error:  # it quotes the name of the field and nothing else
        name = str(error).split('"')[1].upper()
        raise SettingsError(f"RETINA_{name} is not JSON: {error.__cause__}") from None
    except ValidationError as error:
        named = ({**e, "loc": tuple(f"RETINA_{part}".upper() for part in e["loc"][:1])} for e in error.errors())
        alone = [str(e["ctx"]["error"]) for e in error.errors() if not e["loc"]]
        faults = "; ".join(alone + described((e for e in named if e["loc"]), got=repr))
        raise SettingsError(faults) from None
