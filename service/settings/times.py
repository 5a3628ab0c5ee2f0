"""Times that follow from several settings."""

import math

from service.settings.fields import Settings


def longest_request_s(settings: Settings) -> int:
    """The longest that a request may take, in whole seconds: until its body is there, and then until it is answered."""
    return math.ceil(settings.body_timeout_s + settings.request_timeout_s)
