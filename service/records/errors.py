"""What can go wrong with records, told apart by who can help."""


class RecordsError(RuntimeError):
    """A mistake in how records are set up; the text says what to do."""


class UnavailableError(RuntimeError):
    """The database can't be written or read now; it may be able to later."""
