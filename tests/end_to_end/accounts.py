"""People with several accounts in a sandbox, rows that name them, and what its records say of each account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batch.api.dialects import ItemType
from batch.sandbox.directory import made_up_account
from tests.end_to_end.program import environment

if TYPE_CHECKING:
    from pathlib import Path

    from batch.sandbox.directory import AccessItem, Account, Person
    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Ended, Program


class World:
    """Two people, the first with two accounts on the source of an entitlement."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        known = sandbox.tenant.known
        self.item: AccessItem = known.directory.of_type(ItemType.ENTITLEMENT)[0]
        self.several: Person = known.directory.people[1]
        self.single: Person = known.directory.people[2]
        second = made_up_account(self.several, self.item.sources[0], 2)
        known.change_person(self.several.id, accounts=(*known.accounts(self.several), second))
        self.accounts: tuple[Account, ...] = tuple(
            one for one in known.accounts(known.described(self.several.id)) if one.source.id == self.item.sources[0].id
        )

    def row(self, person: Person, account: str = "", *, operation: str = "GRANT") -> dict[str, str]:
        return {
            "operation": operation,
            "identity_id": person.id,
            "item_type": "ENTITLEMENT",
            "item_id": self.item.id,
            "comment": "why",
            "account": account,
        }


def on_accounts(sandbox: RunningSandbox) -> dict[tuple[str, str], int]:
    """How often the tenant has accepted a change for each person and account, by its own records."""
    return {(one.identity, one.account): number for one, number in sandbox.tenant.audit.change_counts().items()}


def submit(program: Program, sandbox: RunningSandbox, path: Path, *more: str) -> Ended:
    return program("submit", path, "--yes", "--json", *more, env=environment(sandbox))
