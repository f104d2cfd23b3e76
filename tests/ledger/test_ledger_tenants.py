"""Tenants by the names in their tokens: addresses are bound, joined, or refused, and a joined ledger stays sound."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest

from batch.api.dialects import Rate
from batch.api.status_row import ChangeStatus
from batch.dedupe.classify import TENANT_VERDICTS
from batch.errors import RunHeldError, SettingsError
from batch.ledger.calls import RateKey
from batch.ledger.decisions import Decisions
from batch.names.meaning import NameMeaning, NameOutcome
from tests.builders import NOW, change, product
from tests.clocks import runtime
from tests.ledger.ledger_helpers import ACCEPTED, FAILED, ME, TENANT, Place, a_process, claim, record, rows, write
from tests.ledger.test_ledger_imported import import_list, row, status_list

if TYPE_CHECKING:
    from batch.ledger.store import Ledger
    from batch.model import Run

OTHER = "https://other.example"
NAME = ("4711", "org acme")


def bind(ledger: Ledger, url: str, *names: str) -> None:
    ledger.tenants.bind(url, names, ME, NOW)


def join(ledger: Ledger) -> None:
    """Tokens prove that OTHER is TENANT."""
    bind(ledger, TENANT, *NAME)
    bind(ledger, OTHER, *NAME)


def states(ledger: Ledger, tenant: str, *keys: tuple[str, str]) -> dict[tuple[str, str], set[str]]:
    """The states of all changes of these keys, by identity and item."""
    wanted = pl.DataFrame(
        [(identity, "ROLE", item) for identity, item in keys],
        schema=["identity_id", "item_type", "item_id"],
        orient="row",
    )
    found: dict[tuple[str, str], set[str]] = {}
    for identity, item, state in (
        ledger.plans.known(tenant, wanted).changes.select("identity_id", "item_id", "state").rows()
    ):
        found.setdefault((identity, item), set()).add(state)
    return found


def send(ledger: Ledger, run: Run) -> None:
    """Sends the next request of a run, and the tenant accepts it."""
    record(ledger, claim(ledger, run), ACCEPTED)
    ledger.runs.release(run, ME, NOW)


def test_a_second_address_with_the_same_name_is_the_same_tenant(ledger: Ledger) -> None:
    run = write(ledger, [change("anna", "r1")])
    assert not ledger.tenants.is_open(TENANT), "there is no other tenant"
    assert ledger.tenants.is_open(OTHER)
    join(ledger)
    assert (ledger.tenants.name_of(TENANT), ledger.tenants.name_of(OTHER)) == (TENANT, TENANT)
    assert not ledger.tenants.is_open(OTHER)
    assert states(ledger, OTHER, ("anna", "r1")) == {("anna", "r1"): {"PLANNED"}}
    assert ledger.runs.of_input(OTHER, "digest") == run
    assert ledger.plans.run_id(OTHER, "digest") == run.id
    assert ledger.plans.run_id(OTHER, "next") == ledger.plans.run_id(TENANT, "next")


@pytest.mark.parametrize(
    ("before", "after"),
    [(("4711",), ("4712",)), (NAME, ("4712", "org acme")), (("org acme",), ("org umbrella",)), (NAME, ("4712",))],
)
def test_an_address_whose_token_names_another_tenant_is_refused(
    ledger: Ledger, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    bind(ledger, TENANT, *before)
    with pytest.raises(SettingsError) as caught:
        bind(ledger, TENANT, *after)
    assert "Nothing was sent" in caught.value.next_step


def test_a_token_that_says_less_or_more_about_its_tenant_is_no_contradiction(ledger: Ledger, path: Place) -> None:
    bind(ledger, TENANT, "org acme")
    bind(ledger, TENANT)
    bind(ledger, TENANT, *NAME)
    assert rows(path, "SELECT token_name FROM tenant") == [("4711",)]
    bind(ledger, TENANT, "org acme")
    bind(ledger, OTHER, "4711")
    assert ledger.tenants.name_of(OTHER) == TENANT


def test_joining_unifies_ids_and_keeps_the_knowledge_of_each_run(ledger: Ledger, path: Place) -> None:
    # The numbers of ids follow their order in each plan, so OTHER's requests have another order after the join.
    mine = write(ledger, [change("zoe", "r9")], [change("anna", "r1")], [change("bob", "r2")])
    for _ in range(3):
        send(ledger, mine)
    names = {("identity by email", "zoe@x"): NameMeaning(outcome=NameOutcome.FOUND, id="zoe")}
    aside = pl.DataFrame([("carl", "ROLE", "r1", "", "already_held", "held")], schema=TENANT_VERDICTS, orient="row")
    theirs = write(
        ledger,
        product(["anna", "zoe", "carl"], ["r1", "r9"]),
        product(["dora", "anna"], ["r2"]),
        tenant=OTHER,
        decisions=Decisions(names=names, set_aside=aside),
    )
    send(ledger, theirs)
    status = ChangeStatus(request=4, identity="zoe", item_type="ROLE", item="r9", state="EXECUTING", since="x")
    ledger.tracks.write(theirs, [status], NOW)
    keys = [("anna", "r1"), ("zoe", "r9"), ("carl", "r1"), ("anna", "r2"), ("dora", "r2"), ("bob", "r2")]
    join(ledger)
    joined = ledger.runs.named(theirs.id)
    assert joined.tenant == TENANT
    assert states(ledger, TENANT, *keys) == states(ledger, OTHER, *keys)
    assert states(ledger, TENANT, *keys) == {
        ("anna", "r1"): {"ACCEPTED"},
        ("zoe", "r9"): {"ACCEPTED"},
        ("carl", "r1"): {"ACCEPTED"},
        ("anna", "r2"): {"PLANNED"},
        ("dora", "r2"): {"PLANNED"},
        ("bob", "r2"): {"ACCEPTED"},
    }
    assert rows(path, "SELECT identity_id FROM changes WHERE tenant_state = 'EXECUTING'") == [("zoe",)]
    assert ledger.decisions.names(theirs.id, names) == names
    assert ledger.decisions.set_aside(theirs.id).equals(aside)
    send(ledger, joined)
    # The only finding is the change that was submitted twice before: chains, products and bodies are as they should be.
    assert [finding.rpartition(" ")[2] for finding in ledger.verify()] == ["again", "again"]
    assert rows(path, "SELECT count(*) FROM tenant") == [(1,)]


def test_of_two_runs_of_one_input_that_of_the_remaining_tenant_is_continued(ledger: Ledger) -> None:
    mine = write(ledger, [change("anna", "r1")])
    theirs = write(ledger, [change("anna", "r1")], tenant=OTHER)
    join(ledger)
    assert ledger.runs.of_input(OTHER, "digest") == mine
    assert ledger.runs.named(theirs.id).tenant == TENANT


def test_imported_changes_of_both_tenants_stay_imported(ledger: Ledger) -> None:
    import_list(ledger, status_list([row(1), row(2)]))
    import_list(ledger, status_list([row(2), row(3)]), tenant=OTHER)
    join(ledger)
    assert [run.imported for run in ledger.runs.all()] == [True, True]
    assert states(ledger, TENANT, ("i0", "r1"), ("i0", "r3")).keys() == {("i0", "r1"), ("i0", "r3")}
    assert ledger.verify() == ()


@pytest.mark.sqlite_only
def test_tenants_are_not_joined_while_a_process_works_on_a_run(ledger: Ledger, path: Place) -> None:
    write(ledger, [change("anna", "r1")])
    theirs = write(ledger, [change("anna", "r2")], tenant=OTHER)
    ledger.runs.hold(theirs, a_process(), NOW)
    bind(ledger, TENANT, *NAME)
    with pytest.raises(RunHeldError, match="prove to be one tenant") as caught:
        bind(ledger, OTHER, *NAME)
    assert "run the same command again" in caught.value.next_step
    assert rows(path, "SELECT count(*) FROM tenant") == [(2,)]
    ledger.tenants.bind(OTHER, NAME, ME, NOW + timedelta(hours=1))
    assert rows(path, "SELECT count(*) FROM tenant") == [(1,)]


def test_calls_of_both_addresses_count_together(ledger: Ledger) -> None:
    process, clock, rate = ME, runtime().clock, Rate(requests=10, seconds=10.0)
    calls = {
        url: ledger.calls(RateKey(tenant=url, client="c", dialect="beta"), rate=rate, process=process, clock=clock)
        for url in (TENANT, OTHER)
    }
    given = [len(calls[url].permit(wanted=3, counted={}).numbers) for url in (TENANT, OTHER)]
    assert given == [3, 3]
    join(ledger)
    assert len(calls[OTHER].permit(wanted=9, counted={}).numbers) < 9
    assert calls[TENANT].permit(wanted=9, counted={}).allowed <= 10


def test_the_recent_answers_of_a_joined_tenant_are_asked_for_again(ledger: Ledger) -> None:
    for url in (TENANT, OTHER):
        ledger.cache.put(url, "access held", {url: 1}, at=NOW)
    join(ledger)
    assert ledger.cache.get(OTHER, "access held", [TENANT, OTHER], since=NOW).keys() == {TENANT}


def test_a_doubt_of_a_joined_tenant_stays_a_doubt(ledger: Ledger) -> None:
    write(ledger, [change("anna", "r1")])
    theirs = write(ledger, [change("anna", "r2")], tenant=OTHER)
    record(ledger, claim(ledger, theirs), FAILED)
    ledger.runs.release(theirs, ME, NOW)
    join(ledger)
    ((doubt),) = ledger.requests.doubts(ledger.runs.named(theirs.id))
    assert doubt.request.recipients == ("anna",)


@pytest.mark.parametrize("sent_at", [TENANT, OTHER])
def test_a_change_that_both_planned_is_submitted_once_after_they_are_joined(ledger: Ledger, sent_at: str) -> None:
    both = product(["anna", "ben"], ["r1", "r2"])
    runs = {
        TENANT: write(ledger, both, [change("carl", "r1")]),
        OTHER: write(
            ledger,
            [*product(["anna", "ben", "dora"], ["r1", "r2"])],
            [change("carl", "r1", operation="REVOKE")],
            tenant=OTHER,
        ),
    }
    run = runs[sent_at]
    if sent_at == OTHER:
        # A sent change stays where it is; if the other has only planned it, that goes.
        send(ledger, run)
    join(ledger)
    wanted = [(who, item) for who in ("anna", "ben") for item in ("r1", "r2")]
    found = states(ledger, TENANT, *wanted, ("carl", "r1"), ("dora", "r1"))
    live = {key: found[key] - {"SPLIT"} for key in found}
    expected = "ACCEPTED" if sent_at == OTHER else "PLANNED"
    assert {key: live[key] for key in wanted} == {key: {expected} for key in wanted}
    assert live["carl", "r1"] == {"PLANNED"}, "the opposite operation is not the same"
    assert live["dora", "r1"] == {expected}
    assert ledger.verify() == ()


def test_one_planned_request_of_which_two_other_runs_have_parts_is_divided_once(ledger: Ledger) -> None:
    whole = write(ledger, product(["anna", "ben"], ["r1"]))
    first = write(ledger, [change("anna", "r1")], tenant=OTHER)
    second = write(ledger, [change("ben", "r1")], digest="second", tenant=OTHER)
    send(ledger, first)
    send(ledger, second)
    join(ledger)
    assert ledger.runs.tally(whole).requests == {"SPLIT": 1}
    assert ledger.verify() == ()


@pytest.mark.parametrize("settled", ["by hand", "by the list"])
@pytest.mark.parametrize("first", [TENANT, OTHER])
def test_what_is_in_doubt_at_one_address_and_was_sent_to_the_other_is_not_sent_again(
    ledger: Ledger, first: str, settled: str
) -> None:
    def doubt() -> Run:
        run = write(ledger, product(["anna", "ben"], ["r1", "r2"]), tenant=OTHER)
        record(ledger, claim(ledger, run), FAILED)
        ledger.runs.release(run, ME, NOW)
        return run

    theirs = doubt() if first == OTHER else None
    send(ledger, write(ledger, [change("anna", "r1")]))
    theirs = theirs or doubt()
    join(ledger)
    if settled == "by hand":
        assert ledger.runs.settle_by_hand(theirs, arrived=False, now=NOW) == 1
    else:
        ledger.runs.hold(theirs, ME, NOW)
        ((one),) = ledger.requests.doubts(theirs)
        ledger.requests.settle(one.request, arrived=False, now=NOW, process=ME)
        ledger.runs.release(theirs, ME, NOW)
    pairs = [(who, item) for who in ("anna", "ben") for item in ("r1", "r2")]
    live = {key: found - {"SPLIT"} for key, found in states(ledger, TENANT, *pairs).items()}
    assert live == {key: {"PLANNED"} for key in pairs} | {("anna", "r1"): {"ACCEPTED"}}
    assert ledger.verify() == ()


def test_of_two_doubts_of_one_change_only_one_is_sent_again(ledger: Ledger) -> None:
    runs = [write(ledger, [change("anna", "r1")], tenant=tenant) for tenant in (TENANT, OTHER)]
    for run in runs:
        record(ledger, claim(ledger, run), FAILED)
        ledger.runs.release(run, ME, NOW)
    join(ledger)
    for run in runs:
        ledger.runs.settle_by_hand(run, arrived=False, now=NOW)
    assert sorted(state for run in runs for state in ledger.runs.tally(run).requests) == ["PLANNED", "SPLIT"]
    assert ledger.verify() == ()


def test_binding_tells_whether_the_address_now_belongs_to_another_tenant_than_before(ledger: Ledger) -> None:
    write(ledger, [change("anna", "r1")])
    write(ledger, [change("anna", "r1")], tenant=OTHER)
    assert not ledger.tenants.bind(TENANT, NAME, ME, NOW)
    assert ledger.tenants.bind(OTHER, NAME, ME, NOW), "a command that has planned by its address must begin again"
    assert not ledger.tenants.bind(OTHER, NAME, ME, NOW)
