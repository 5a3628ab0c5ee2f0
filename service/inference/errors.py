"""What inference can't do, as errors that know nothing of HTTP; their text says what was wrong and what to do."""

from models.preprocessing import ImageError


class InferenceError(Exception):
    """A model could not answer."""


class UnknownModelError(InferenceError, LookupError):
    """No such model or version; the text lists what there is."""


class QueueFullError(InferenceError):
    """More images wait for the model than the queue may hold."""


class UnusableImageError(InferenceError):
    """One of the files is not a usable image.

    Args:
        reason: What is wrong with it.
        index: Which of the files it is, from 0.
    """

    def __init__(self, reason: ImageError, index: int) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.index = index
