"""Errors of inference, independent of HTTP. Their text says what was wrong and what to do."""

from models.preprocessing import ImageError


class InferenceError(Exception):
    """A model could not answer."""


class UnknownModelError(InferenceError, LookupError):
    """No such model or version. The text lists those that exist."""


class UnknownChannelError(InferenceError, LookupError):
    """No such block, or no such channel of it. The text says which there are."""


class ClosedGraphError(InferenceError):
    """The package's graph does not allow to look into a channel."""


class QueueFullError(InferenceError):
    """The queue of the model has no room for the images."""


class UnusableImageError(InferenceError):
    """One of the files is not a usable image.

    Args:
        reason: What is wrong with it.
        index: Position of the file, counted from 0.
    """

    def __init__(self, reason: ImageError, index: int) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.index = index
