"""Scenes that accounts bring along for RNP-019, and the parts of those that are on their way."""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
TABLE, CHUNKS = "account_scenes", "scene_chunks"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("extension", sa.Text(), nullable=False),
        sa.Column("received_bytes", sa.BigInteger(), nullable=False),
        sa.Column("received_at", MOMENT),
        sa.Column("error_code", sa.Text()),
        sa.Column("error_message", sa.Text()),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("used_at", MOMENT),
        sa.Column("dropped_at", MOMENT),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_account_scenes_account_id"),
        sa.PrimaryKeyConstraint("id", name="pk_account_scenes"),
    )
    op.create_index("ix_account_scenes_account_id", TABLE, ["account_id"])
    known = sa.text("state <> 'rejected' AND dropped_at IS NULL")
    op.create_index(
        "ix_account_scenes_known", TABLE, ["account_id", "sha256", "extension"], unique=True, postgresql_where=known
    )
    uploading = sa.text("state = 'uploading' AND dropped_at IS NULL")
    op.create_index("ix_account_scenes_uploading", TABLE, ["received_at"], postgresql_where=uploading)
    op.create_table(
        CHUNKS,
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("scene_id", sa.UUID(), nullable=False),
        sa.Column("offset_bytes", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("storage_key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["scene_id"], ["account_scenes.id"], name="fk_scene_chunks_scene_id"),
        sa.PrimaryKeyConstraint("id", name="pk_scene_chunks"),
        sa.UniqueConstraint("scene_id", "offset_bytes", name="uq_scene_chunks_scene_id_offset_bytes"),
    )


def downgrade() -> None:
    op.drop_table(CHUNKS)
    op.drop_table(TABLE)
