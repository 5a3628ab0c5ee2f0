"""An index of the records of a caller, newest first."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_index("ix_predictions_caller", "predictions", ["caller", "time"])
