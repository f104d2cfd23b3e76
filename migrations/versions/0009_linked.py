"""Whose a run is, and what the tenant reports on its changes, are links of its chain. The tables stay as they are."""

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """The links are written once the tables have their newest form, see `ledger.upgrade`."""
