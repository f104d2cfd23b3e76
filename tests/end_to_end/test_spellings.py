"""One id in several spellings is one id: the same change is never submitted twice."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from tests.end_to_end.program import accepted, environment, grant, once, pair_of, read_rows, write_rows

if TYPE_CHECKING:
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Program

PERSON, ROLE = "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "ABCDEFABCDEFABCDEFABCDEFABCDEF01"


def spelled(identity: str, item: str) -> dict[str, str]:
    return grant(1, 1, identity_id=identity, item_id=item)


def test_an_id_in_capitals_or_with_hyphens_is_the_same_id_in_one_input_and_in_later_ones(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    rows = [spelled(PERSON, ROLE), spelled(PERSON.upper(), ROLE), spelled(str(UUID(PERSON)), ROLE.lower())]
    path = write_rows(tmp_path / "a.csv", [*rows, grant(2, 2)])
    ended = program("submit", path, "--yes", "--json", env=environment(tenant))
    assert ended.code == 0
    assert (ended.json["rows"]["submitted"], ended.json["rows"]["duplicate_in_input"]) == (2, 2)
    assert "2 ids spelled in several ways" in ended.err
    assert accepted(tenant) == once(map(pair_of, [rows[0], grant(2, 2)])), "sent as the first row spells it"
    again = write_rows(tmp_path / "b.csv", [rows[2], grant(3, 3, identity_id=PERSON.upper())])
    ended = program("submit", again, "--yes", "--json", env=environment(tenant))
    assert ended.code == 0
    assert (ended.json["rows"]["submitted"], ended.json["rows"]["already_submitted"]) == (1, 1)
    assert "2 ids spelled differently in earlier runs" in ended.err
    assert read_rows(tmp_path / "b.results" / "results.csv")[0]["identity_id"] == rows[2]["identity_id"]
    assert sum(accepted(tenant).values()) == 3
    assert program("ledger", "verify").out == "The ledger is sound.\n"


def test_ids_are_sent_as_this_input_spells_them_not_as_an_older_one_did(
    program: Program, tenant: RunningSandbox, tmp_path: Path
) -> None:
    first = write_rows(tmp_path / "a.csv", [grant(1, 1, identity_id=PERSON.upper())])
    assert program("submit", first, "--yes", env=environment(tenant)).code == 0
    other = grant(2, 2, identity_id=PERSON)
    second = write_rows(tmp_path / "b.csv", [other])
    assert program("submit", second, "--yes", env=environment(tenant)).code == 0
    assert accepted(tenant)[pair_of(other)] == 1
