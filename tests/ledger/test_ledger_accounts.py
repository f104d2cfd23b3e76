"""A change may name one of several accounts: the ledger keeps it, seals it, and never mixes accounts up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from batch.api.accounts import grant_selection
from batch.api.status_row import ChangeStatus
from batch.dedupe.classify import TENANT_VERDICTS
from batch.dedupe.overlap import KEY
from batch.errors import LedgerChangedError
from batch.ledger.bulk import with_digest
from batch.ledger.decisions import Decisions
from batch.ledger.take_over import TakenOver
from batch.names.accounts import ACCOUNT
from batch.names.meaning import NameMeaning, NameOutcome
from tests.builders import NOW, change
from tests.ledger.ledger_helpers import (
    ACCEPTED,
    ME,
    TENANT,
    Place,
    alter,
    claim,
    new_run,
    newest,
    open_ledger,
    plan_of,
    record,
    rows,
    write,
)

if TYPE_CHECKING:
    from batch.ledger.store import Ledger
    from tests.ledger.ledger_helpers import Change


A, B = '{"native":"a"}', '{"native":"b"}'


def on(account: str, person: str = "anna", item: str = "r1", **others: str) -> Change:
    selection = grant_selection([("s1", "", account)]) if account else ""
    return change(person, item, account=account, selection=selection, **others)


def accounts(ledger: Ledger, *wanted: Change) -> list[tuple[str, str]]:
    """The accounts and states of what the ledger has of these accesses."""
    known = ledger.plans.known(TENANT, plan_of(list(wanted)).changes).changes
    return sorted(known.select("account", "state").rows())


def test_the_same_access_on_two_accounts_is_two_changes_with_bodies_of_their_own(ledger: Ledger) -> None:
    run = write(ledger, [on(A)], [on(B)])
    assert accounts(ledger, on("")) == [(A, "PLANNED"), (B, "PLANNED")]
    requests = [claim(ledger, run), claim(ledger, run)]
    assert [(one.items[0].account, one.items[0].selection) for one in requests] == [
        (account, grant_selection([("s1", "", account)])) for account in (A, B)
    ]
    for request in requests:
        record(ledger, request, ACCEPTED)
    assert ledger.verify() == ()
    assert ledger.tracks.summary(run).silent == 2
    said = [
        ChangeStatus(request=one.number, identity="anna", item_type="ROLE", item="r1", state="EXECUTING")
        for one in requests
    ]
    ledger.tracks.write(run, said, NOW)
    assert [group.changes for group in ledger.tracks.summary(run).reported] == [2], "neither was submitted again"


def test_planned_changes_are_known_with_their_accounts(ledger: Ledger) -> None:
    run = write(ledger, [on(A)], [on("")])
    assert ledger.plans.planned(run).select(KEY).rows() == [("anna", "ROLE", "r1", A), ("anna", "ROLE", "r1", "")]


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (A, [(A, "PLANNED"), (A, "SPLIT"), (B, "PLANNED")]),
        ("", [("", "PLANNED"), (A, "SPLIT"), (B, "SPLIT")]),
    ],
)
def test_a_plan_takes_over_what_may_be_the_same_account(
    ledger: Ledger, wanted: str, left: list[tuple[str, str]]
) -> None:
    write(ledger, [on(A)], [on(B)])
    plan = plan_of([on(wanted)])
    taking = (1, 2) if wanted == "" else (1,)
    taken = TakenOver(requests=taking, process=ME)
    ledger.plans.write(new_run("other"), plan, upto=newest(ledger), now=NOW, taken=taken)
    assert accounts(ledger, on("")) == left
    assert ledger.verify() == ()


@pytest.mark.parametrize(
    "change_of_the_ledger",
    ["UPDATE detail SET account = 'b' WHERE account != ''", "UPDATE detail SET selection = '{}' WHERE account != ''"],
)
def test_another_account_in_a_planned_request_is_found_before_it_is_sent(
    path: Place, ledger: Ledger, change_of_the_ledger: str
) -> None:
    run = write(ledger, [on(A)])
    alter(path, change_of_the_ledger)
    with open_ledger(path) as opened:
        assert any("content was changed" in fault for fault in opened.verify())
        opened.runs.hold(run, ME, NOW)
        with pytest.raises(LedgerChangedError, match="request 1 was changed"):
            opened.requests.claim(run, NOW, ME)


def test_details_without_an_account_have_the_digests_of_older_versions() -> None:
    texts = ("comment", "start_date", "remove_date", "metadata", "account", "selection")
    lines = [("", "", "", "", "", ""), ("", "", "", "", "a", "{}"), ("", "", "", "", "a", "{}1")]
    digests = with_digest(pl.DataFrame(lines, schema=dict.fromkeys(texts, pl.String), orient="row"))
    older = with_digest(pl.DataFrame([("",) * 4], schema=dict.fromkeys(texts[:4], pl.String), orient="row"))
    assert digests.get_column("digest")[0] == older.get_column("digest")[0]
    assert digests.get_column("digest").n_unique() == 3


def test_what_an_account_means_and_who_needs_one_is_kept_with_the_plan(path: Place, ledger: Ledger) -> None:
    names = {(ACCOUNT, "x"): NameMeaning(outcome=NameOutcome.FOUND, id='["a", "{}"]')}
    aside = pl.DataFrame(
        [("anna", "ROLE", "r1", "", "rejected", "why"), ("anna", "ROLE", "r1", "a", "held_back", "so")],
        schema=TENANT_VERDICTS,
        orient="row",
    )
    run = write(ledger, [on(A)], decisions=Decisions(names=names, set_aside=aside))
    assert ledger.decisions.names(run.id, names) == names
    assert ledger.decisions.set_aside(run.id).equals(aside)
    assert ledger.decisions.known_names(run.id).people == {}, "an account is nobody's name"
    assert rows(path, "SELECT account FROM changes") == [(A,)]
