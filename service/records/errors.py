"""Errors of records: mistakes in the set-up, and a database that is unavailable."""


class RecordsError(RuntimeError):
    """A mistake in the set-up of records. The text says what to do."""


class UnavailableError(RuntimeError):
    """The database can't be written or read now. Another attempt later may succeed."""


class UncertainError(UnavailableError):
    """The answer to a commit was lost, so the records may be there or not."""
