"""`audit` reports where ledger and status list disagree, and an undisturbed run audits clean."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from batch.api.dialects import ATTEMPT_ID_KEY, REQUEST_ID_KEY, ItemType
from batch.sandbox.faults import Fault
from batch.sandbox.server import running_sandbox
from batch.sandbox.settings import SandboxSettings
from tests.end_to_end.program import Ended, accepted, environment, grant, identity, item, read_rows, write_rows
from tests.ledger.ledger_helpers import alter, rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from batch.sandbox.server import RunningSandbox
    from tests.end_to_end.program import Program

ROWS = [grant(person, thing) for person in range(3) for thing in range(2)]
ROWS += [grant(9, 1), {**grant(7, 1), "operation": "REVOKE", "comment": "leaver"}]
KINDS = ("submitted_twice", "accepted_but_not_listed", "listed_but_unknown", "states_differ")


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def hold_what_is_revoked(tenant: RunningSandbox) -> None:
    for row in ROWS:
        if row["operation"] == "REVOKE":
            tenant.tenant.hold(row["identity_id"], ItemType(row["item_type"]), row["item_id"])


def worker(program: Program, tenant: RunningSandbox, ledger: Path) -> Callable[..., Ended]:
    env = {**environment(tenant), "ACCESS_BATCH_LEDGER": str(ledger)}
    return lambda *arguments: program(*arguments, env=env)


@pytest.fixture
def work(program: Program, tenant: RunningSandbox, ledger: Path, tmp_path: Path) -> Callable[..., Ended]:
    """The program, after a run of several requests."""
    hold_what_is_revoked(tenant)
    run = worker(program, tenant, ledger)
    assert run("submit", write_rows(tmp_path / "a.csv", ROWS), "--yes").code == 0
    return run


def found(ended: Ended) -> dict[str, int]:
    """How many findings of each kind the JSON has."""
    assert ended.code == (3 if ended.json["findings"] else 0)
    counts = {kind: ended.json[kind] for kind in KINDS if ended.json[kind]}
    assert sum(counts.values()) == len(ended.json["findings"])
    return counts


def bodies(tenant: RunningSandbox) -> list[dict[str, Any]]:
    return [copy.deepcopy(request.body) for request in tenant.tenant.audit.accepted]


def items_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    nested = body.get("requestedForWithRequestedItems", [])
    return [*body.get("requestedItems", []), *(one for entry in nested for one in entry["requestedItems"])]


def post_again(tenant: RunningSandbox, **metadata: str) -> dict[str, Any]:
    """Submits the first body again, with other metadata, as a process would that does not know better."""
    body = bodies(tenant)[0]
    for one in items_of(body):
        one["clientMetadata"] |= metadata
    assert tenant.tenant.submit(body, datetime.now(UTC)).status == 202
    return body


def test_an_undisturbed_run_audits_clean(work: Callable[..., Ended]) -> None:
    ended = work("audit", "--json")
    assert found(ended) == {}
    assert (ended.json["accepted"], ended.json["listed"]) == (len(ROWS), len(ROWS))
    shown = work("audit")
    assert shown.code == 0
    assert "Ledger and list agree: nothing was submitted twice, and nothing is missing." in shown.out


@pytest.mark.thorough
def test_every_item_at_the_tenant_has_the_attempt_id_of_the_ledgers_event(
    work: Callable[..., Ended], tenant: RunningSandbox, ledger: Path, tmp_path: Path
) -> None:
    tenant.faults.add(Fault.THROTTLED_429, Fault.ERROR_500_AFTER)
    more = write_rows(tmp_path / "b.csv", [grant(person, 5, comment=f"c{person % 2}") for person in range(20, 26)])
    assert work("submit", more, "--yes", "--settle-after", "1").code == 0
    shown = {row["_request"] for row in read_rows(tmp_path / "b.results" / "results.csv")}
    events = rows(
        ledger,
        "SELECT run.id || '-' || request.number || '-' || request.tag, event.detail FROM event"
        " JOIN request ON request.number = event.request JOIN run ON run.number = request.run"
        " WHERE event.event = 'claimed'",
    )
    claimed = {(name, json.loads(detail)["attempt_id"]) for name, detail in events}
    carried = {
        (one["clientMetadata"][REQUEST_ID_KEY], one["clientMetadata"][ATTEMPT_ID_KEY])
        for body in bodies(tenant)
        for one in items_of(body)
    }
    assert carried <= claimed
    assert shown <= {name for name, _ in carried}
    # All attempts were accepted but the one that was refused with 429.
    assert len(claimed - carried) == 1
    assert all("token_expires" in json.loads(detail) for _, detail in events)


@pytest.mark.parametrize(
    "metadata",
    [{ATTEMPT_ID_KEY: "another"}, {}, {REQUEST_ID_KEY: "", ATTEMPT_ID_KEY: "another"}],
    ids=["with another attempt id", "the same bytes again", "as another request of the run"],
)
def test_a_body_that_the_tenant_accepted_twice_is_reported(
    metadata: dict[str, str], work: Callable[..., Ended], tenant: RunningSandbox
) -> None:
    if REQUEST_ID_KEY in metadata:
        named = items_of(bodies(tenant)[0])[0]["clientMetadata"][REQUEST_ID_KEY]
        metadata = {**metadata, REQUEST_ID_KEY: f"{named.split('-')[0]}-99-other"}
    body = post_again(tenant, **metadata)
    changes = len(body["requestedFor"]) * len(body["requestedItems"])
    ended = work("audit", "--json")
    assert found(ended) == {"submitted_twice": changes}
    shown = work("audit")
    assert f"{changes} changes submitted twice:" in shown.out
    assert identity(0) in shown.out


@pytest.mark.thorough
def test_track_reports_a_change_that_was_submitted_twice(work: Callable[..., Ended], tenant: RunningSandbox) -> None:
    post_again(tenant, **{ATTEMPT_ID_KEY: "another"})
    ended = work("track", "--track-for", "0")
    assert "submitted twice: `access-batch audit" in ended.out
    assert ended.code == 3


@pytest.mark.thorough
def test_a_row_that_names_a_request_which_the_ledger_does_not_have_is_reported(
    work: Callable[..., Ended], tenant: RunningSandbox
) -> None:
    named = items_of(bodies(tenant)[0])[0]["clientMetadata"][REQUEST_ID_KEY]
    metadata = {REQUEST_ID_KEY: f"{named.split('-')[0]}-1-lost", "accessBatchItem": item(77)}
    tenant.tenant.request_by_other(
        datetime.now(UTC), identity=identity(77), item_type=ItemType.ROLE, item_id=item(77), clientMetadata=metadata
    )
    assert found(work("audit", "--json")) == {"listed_but_unknown": 1}
    assert "access-batch ledger import" in work("audit").out
    work("ledger", "import", "--everybody")
    assert found(work("audit", "--json")) == {}


def put_back_to_its_plan(
    program: Program, tenant: RunningSandbox, ledger: Path, tmp_path: Path
) -> tuple[Callable[..., Ended], tuple[str | Path, ...]]:
    """A ledger as it was before its run was sent: how to run a command on it, and the command that has sent the run."""
    run = worker(program, tenant, ledger)
    path = write_rows(tmp_path / "a.csv", ROWS)
    submit = ("submit", path, "--yes", "--check-tenant", "never")
    wrong = {**environment(tenant), "SAIL_CLIENT_SECRET": "wrong"}
    assert program(*submit, "--ledger", ledger, env=wrong).code == 4
    alter(ledger, "PRAGMA wal_checkpoint(TRUNCATE)")
    planned = ledger.read_bytes()
    assert run(*submit).code == 0
    alter(ledger, "PRAGMA wal_checkpoint(TRUNCATE)")
    ledger.write_bytes(planned)
    return run, submit


def test_requests_that_are_newer_than_a_ledger_put_back_to_an_earlier_state_are_reported(
    program: Program, tenant: RunningSandbox, ledger: Path, tmp_path: Path
) -> None:
    run, _ = put_back_to_its_plan(program, tenant, ledger, tmp_path)
    assert found(run("audit", "--json")) == {"states_differ": len(ROWS)}


@pytest.mark.thorough
def test_a_discarded_change_that_has_arrived_is_no_finding_once_the_ledger_knows_it(
    program: Program, tenant: RunningSandbox, ledger: Path, tmp_path: Path
) -> None:
    run, submit = put_back_to_its_plan(program, tenant, ledger, tmp_path)
    assert run("discard", rows(ledger, "SELECT id FROM run")[0][0]).code == 0
    assert found(run("audit", "--json")) == {"states_differ": len(ROWS)}
    again = run(*submit, "--settle-after", "0.2")
    assert (again.code, "Imported 8 requested changes" in again.err) == (0, True), again.err
    assert set(accepted(tenant).values()) == {1}
    assert found(run("audit", "--json")) == {}


def test_rows_of_others_and_of_other_ledgers_are_not_compared(
    work: Callable[..., Ended], tenant: RunningSandbox, program: Program, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    tenant.tenant.request_by_other(now, identity=identity(50), item_type=ItemType.ROLE, item_id=item(1))
    other = worker(program, tenant, tmp_path / "other.db")
    assert other("submit", write_rows(tmp_path / "b.csv", [grant(60, 1)]), "--yes", "--new-ledger").code == 0
    ended = work("audit", "--json")
    assert found(ended) == {}
    assert ended.json["of_other_ledgers"] == 1


@pytest.mark.thorough
def test_a_rejection_that_the_tenant_took_back_is_reported(work: Callable[..., Ended], tenant: RunningSandbox) -> None:
    tenant.tenant.conclude("REJECTED", identity=identity(9))
    work("track", "--track-for", "0")
    tenant.tenant.conclude("REQUEST_COMPLETED")
    # A change that was open when the ledger last looked may have ended since; one that had ended may not change.
    (finding,) = work("audit", "--json").json["findings"]
    assert (finding["kind"], finding["identity_id"]) == ("states_differ", identity(9))
    assert finding["said"] == "the ledger says rejected, the list says provisioned"
    work("ledger", "import")
    assert found(work("audit", "--json")) == {}


def test_an_accepted_change_that_is_not_listed_after_an_hour_is_reported_unless_the_access_is_held(
    program: Program, ledger: Path, tmp_path: Path
) -> None:
    with running_sandbox(SandboxSettings(visibility_delay=10**6)) as tenant:
        run = worker(program, tenant, ledger)
        assert run("submit", write_rows(tmp_path / "a.csv", ROWS), "--yes", "--check-tenant", "never").code == 0
        assert found(early := run("audit", "--json")) == {}
        assert (early.json["listed"], early.json["not_listed_yet"]) == (0, len(ROWS))
        alter(ledger, "UPDATE request SET state_at = '2026-01-01T00:00:00.000Z'")
        tenant.tenant.hold(identity(9), ItemType.ROLE, item(1))
        ended = run("audit", "--json")
        missing = {(one["identity_id"], one["item_id"]) for one in ended.json["findings"]}
        assert found(ended) == {"accepted_but_not_listed": len(missing)}
        # One grant is of held access, and the revoke is of access that is not held.
        explained = {(identity(9), item(1)), (identity(7), item(1))}
        assert missing == {(row["identity_id"], row["item_id"]) for row in ROWS} - explained


@pytest.mark.thorough
def test_one_run_can_be_audited_alone(work: Callable[..., Ended], tenant: RunningSandbox, tmp_path: Path) -> None:
    second = work("submit", write_rows(tmp_path / "b.csv", [grant(80, 1)]), "--yes", "--json").json["run"]
    post_again(tenant, **{ATTEMPT_ID_KEY: "another"})
    ended = work("audit", second[:6], "--json")
    assert (ended.json["runs"], found(ended)) == ([second], {})


def test_a_ledger_without_runs_has_nothing_to_audit(program: Program, tenant: RunningSandbox, ledger: Path) -> None:
    run = worker(program, tenant, ledger)
    assert "There is no ledger at" in run("audit").err
    assert run("doctor").code == 0
    ended = run("audit")
    assert ended.code == 2
    assert "The ledger has no runs for" in ended.err
