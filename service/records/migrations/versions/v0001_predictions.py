"""Models, predictions and feedback."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("task", sa.String(16), nullable=False),
        sa.Column("labels", JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("digest", "name", "version", name="uq_models_digest"),
    )
    op.create_table(
        "predictions",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("time", TIME, nullable=False),
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.Column("input_digest", sa.String(71), nullable=False),
        sa.Column("frame", sa.Integer),
        sa.Column("probabilities", JSON, nullable=False),
        sa.Column("label", sa.String, nullable=False),
        sa.Column("style_shift", sa.Double),
        sa.Column("caller", sa.String),
        sa.PrimaryKeyConstraint("id", name="pk_predictions"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_predictions_model_id"),
    )
    op.create_index("ix_predictions_time", "predictions", ["time"])
    op.create_table(
        "feedback",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("prediction_id", sa.Uuid, nullable=False),
        sa.Column("time", TIME, nullable=False),
        sa.Column("labels", JSON, nullable=False),
        sa.Column("caller", sa.String),
        sa.PrimaryKeyConstraint("id", name="pk_feedback"),
        sa.ForeignKeyConstraint(
            ["prediction_id"], ["predictions.id"], name="fk_feedback_prediction_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_feedback_prediction_id", "feedback", ["prediction_id"])


def downgrade() -> None:
    for table in ("feedback", "predictions", "models"):
        op.drop_table(table)
