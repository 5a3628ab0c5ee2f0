"""The error that a person at the command line sees as one sentence, without a traceback."""


class TrainingError(Exception):
    """An error that the user can correct. The text says what was wrong, where, and what to do."""
