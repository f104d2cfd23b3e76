"""What the tenant says of each change, of people and of items; and which requests travel in one body."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "envelope",
        sa.Column("request", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["request"], ["request.id"], name=op.f("fk_envelope_request")),
        sa.PrimaryKeyConstraint("request", name=op.f("pk_envelope")),
        comment=(
            "Requests that travel in one body, in the nested form, by the number of their first; others are not here."
        ),
    )
    op.create_index(op.f("ix_envelope_number"), "envelope", ["number"])
    op.create_table(
        "finding",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finding")),
        sa.UniqueConstraint("state", "who", "said", name=op.f("uq_finding_state")),
        comment=(
            "What the tenant says of a change: its state in the vendor's own words, who is behind it, what was said."
        ),
    )
    op.create_table(
        "track",
        sa.Column("request", sa.Integer(), nullable=False),
        sa.Column("identity", sa.Integer(), nullable=False),
        sa.Column("item", sa.Integer(), nullable=False),
        sa.Column("finding", sa.Integer(), nullable=False),
        sa.Column("since", sa.Text(), nullable=False),
        sa.Column("access_request", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["request"], ["request.id"], name=op.f("fk_track_request")),
        sa.ForeignKeyConstraint(["identity"], ["identity.id"], name=op.f("fk_track_identity")),
        sa.ForeignKeyConstraint(["item"], ["item.id"], name=op.f("fk_track_item")),
        sa.ForeignKeyConstraint(["finding"], ["finding.id"], name=op.f("fk_track_finding")),
        sa.PrimaryKeyConstraint("request", "identity", "item", name=op.f("pk_track")),
        comment="What the tenant last said of each change that was followed.",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "cached",
        sa.Column("tenant", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"], name=op.f("fk_cached_tenant")),
        sa.PrimaryKeyConstraint("tenant", "kind", "key", name=op.f("pk_cached")),
        comment=("What the tenant said of people and items, as JSON, and when; and what of that a run was planned by."),
        sqlite_with_rowid=False,
    )
