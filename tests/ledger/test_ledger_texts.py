"""Texts of any length and script come back as they were written, from every database."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import polars as pl
import pytest

from batch.api.dialects import Rate
from batch.credentials.find import LONGEST_CLIENT_ID
from batch.dedupe.classify import TENANT_VERDICTS
from batch.dedupe.overlap import KEY
from batch.errors import LedgerChangedError
from batch.ledger.calls import RateKey
from batch.ledger.decisions import Decisions
from batch.names.meaning import NameMeaning, NameOutcome
from batch.names.resolve import MOST_NAME_BYTES
from tests.builders import NOW, change
from tests.clocks import MACHINE
from tests.ledger.ledger_helpers import ACCEPTED, ME, TENANT, alter, change_status, claim, record, rows, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batch.ledger.store import Ledger


def every_character() -> str:
    """All of Unicode except NUL and the halves of pairs, which are no characters."""
    return "".join(chr(code) for code in range(1, sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF)


def random_looking(length: int) -> str:
    """A text that no database can compress much."""
    return "".join(chr(0x4E00 + number * number * 7919 % 20_000) for number in range(length))


@pytest.mark.parametrize(
    "made",
    [lambda: random_looking(10_000), every_character, lambda: "\\N", lambda: "one\n\\.\nthree\\"],
    ids=["10,000 characters", "all of Unicode", "a null in COPY", "an end in COPY"],
)
def test_comments_and_metadata_of_any_text_are_planned_claimed_and_found_again(
    made: Callable[[], str], ledger: Ledger
) -> None:
    text = made()
    metadata = json.dumps({"note": text}, ensure_ascii=False)
    wanted = change("i1", "r1", comment=text, metadata=metadata)
    run = write(ledger, [wanted], [change("i2", "r1", comment=f"{text}.")])
    request = claim(ledger, run)
    (item,) = request.items
    assert (item.comment, item.metadata) == (text, {"note": text})
    record(ledger, request, ACCEPTED)
    status = change_status(request.number, "i1", "REJECTED", who=text, said=text)
    ledger.tracks.write(run, [status], NOW)
    (line,) = ledger.tracks.of_run(run).to_dicts()
    assert (line["comment"], line["metadata"], line["who"], line["said"]) == (text, metadata, text, text)
    again = write(ledger, [change("i3", "r1", comment=text, metadata=metadata)], digest="again")
    assert again != run
    assert ledger.verify() == ()


def test_the_same_details_are_kept_once_and_texts_that_are_divided_elsewhere_are_kept_apart(
    path: Path, ledger: Ledger
) -> None:
    details = [("a", "2026"), ("a2", "026"), ("", "a2026"), ("1:a", ""), ("a", "2026")]
    requests = [
        [change(f"i{number}", "r1", comment=comment, start_date=start_date)]
        for number, (comment, start_date) in enumerate(details)
    ]
    run = write(ledger, *requests)
    claimed = [claim(ledger, run).items[0] for _ in details]
    assert [(item.comment, item.start_date) for item in claimed] == details
    assert rows(path, "SELECT count(*) FROM detail") == [(4,)]


def test_ids_and_texts_are_ordered_by_their_bytes_in_every_database(path: Path, ledger: Ledger) -> None:
    names = ["b", "B", "a-b", "ab", "á", "_", "Z", "aB"]
    write(ledger, *([change(name, "r1")] for name in names))
    found = [name for (name,) in rows(path, "SELECT external_id FROM identity ORDER BY external_id")]
    assert found == sorted(names)
    known = ledger.plans.known(TENANT, pl.DataFrame([("b", "ROLE", "r1", "")], list(KEY), orient="row"))
    assert sorted(known.changes.get_column("identity_id")) == ["b", "b"]


def test_names_of_the_greatest_length_are_kept_and_found(ledger: Ledger) -> None:
    name = random_looking(MOST_NAME_BYTES // 3)
    key = ("entitlement by name", name)
    meaning = NameMeaning(outcome=NameOutcome.FOUND, id="a1")
    aside = pl.DataFrame([("i1", "ROLE", "r2", "", "already_held", name * 10)], TENANT_VERDICTS, orient="row")
    run = write(ledger, [change("i1", "r1")], decisions=Decisions(names={key: meaning}, set_aside=aside))
    ledger.cache.put(TENANT, key[0], {name: [name]}, at=NOW)
    assert ledger.decisions.names(run.id, [key]) == {key: meaning}
    assert ledger.cache.get(TENANT, key[0], [name], since=NOW)[name].value == [name]
    assert ledger.decisions.set_aside(run.id).rows() == aside.rows()
    assert ledger.verify() == ()


def test_the_longest_ids_users_addresses_and_clients_are_kept(ledger: Ledger) -> None:
    longest = random_looking(256)
    url = f"https://{'a.' * 126}a"
    run = write(ledger, [change(longest, longest)], tenant=url)
    ledger.tenants.add_requester(url, longest)
    key = RateKey(tenant=url, client="x" * LONGEST_CLIENT_ID, dialect="beta")
    ledger.calls(key, rate=Rate(), process=ME, clock=MACHINE).permit(wanted=1, counted={})
    assert claim(ledger, run).recipients == (longest,)
    assert ledger.tenants.requesters(url) == {longest}
    assert ledger.verify() == ()


def test_a_digest_that_somebody_has_changed_never_finds_another_text(path: Path, ledger: Ledger) -> None:
    write(ledger, [change("i1", "r1", comment="harmless")])
    (digest,) = rows(path, "SELECT digest FROM detail")[0]
    alter(path, "UPDATE detail SET comment = 'harmful'")
    assert any("digest of row 1 was changed" in finding for finding in ledger.verify())
    with pytest.raises(LedgerChangedError, match="a digest in table detail was changed"):
        write(ledger, [change("i2", "r1", comment="harmless")], digest="another")
    assert rows(path, "SELECT digest FROM detail") == [(digest,)]
