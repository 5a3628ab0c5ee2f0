"""The settings of the service, from environment variables that begin with ``RETINA_``."""

from service.settings.fields import PREFIX, SHIPPED_REPOSITORY, Settings
from service.settings.loading import SettingsError, load_settings

__all__ = ["PREFIX", "SHIPPED_REPOSITORY", "Settings", "SettingsError", "load_settings"]
