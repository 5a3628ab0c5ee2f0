"""What keeps a run from starting or from going on."""


class ScoringError(RuntimeError):
    """A run can't start or go on. The text says what to do. Finished parts stay as they are."""
