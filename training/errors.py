"""The error that a person at the command line sees as one sentence, without a traceback."""


class TrainingError(Exception):
    """Something the user can put right; the text says what was wrong, where, and what to do."""
