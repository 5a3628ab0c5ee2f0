"""Alembic's migrations of the records' database, oldest first in ``versions``."""
