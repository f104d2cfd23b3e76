"""Classification: each line of the table, and any mixture compared with a model in plain Python."""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.api.tenant_outcome import RESUBMITTABLE, TenantOutcome, tenant_outcome
from batch.dedupe.classify import INTENTION, KNOWN_SCHEMA, classify, in_one_spelling
from batch.dedupe.overlap import KEY
from batch.states import State
from batch.validate.rows import CHANGE_COLUMNS
from tests.builders import change
from tests.plan.changes import RUN, in_odd_chunks

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

UNTIL = "2027-01-31T00:00:00Z"
SCHEMA: dict[str, Any] = {
    "row": pl.UInt32,
    "file": pl.String,
    "line": pl.Int64,
    **dict.fromkeys(CHANGE_COLUMNS, pl.String),
}
ADDED = ["class", "reason", "own_request", "fresh"]


def frame(*changes: dict[str, Any]) -> pl.DataFrame:
    """Changes of consecutive rows from line 2 on, unless a change sets another place."""
    placed = [{"row": number, "file": "in.csv", "line": number + 2, **change} for number, change in enumerate(changes)]
    return pl.DataFrame(placed, schema=SCHEMA)


UNTRACKED = dict.fromkeys(("tenant_state", "tenant_who", "tenant_comment", "tenant_since"), "")


def earlier(state: State, *, run: str = "other", request: int = 1, **others: str) -> dict[str, Any]:
    """An earlier change by KNOWN_SCHEMA."""
    tenant = {name: others.pop(name, "") for name in UNTRACKED}
    remembered = {**change(**others), "state": state.value, "run": run, "request": request, "at": f"at-{request}"}
    remembered |= tenant
    return {name: remembered[name] for name in KNOWN_SCHEMA}


def classified(
    changes: pl.DataFrame,
    *known: dict[str, Any],
    resubmit: Collection[TenantOutcome] = (),
    busy: Mapping[str, str] = MappingProxyType({}),
) -> list[tuple[Any, ...]]:
    found = classify(changes, pl.DataFrame(list(known), schema=KNOWN_SCHEMA), run=RUN, resubmit=resubmit, busy=busy)
    assert found.select(changes.columns).equals(changes), "changes stay as they are, in their order"
    return found.select(ADDED).rows()


FRESH = ("submitted", "", None, True)


def test_changes_of_different_people_items_and_types_are_all_fresh() -> None:
    changes = frame(
        change("anna", "r1"), change("bob", "r1"), change("anna", "r2"), change("anna", "r1", item_type="ENTITLEMENT")
    )
    assert classified(changes) == [FRESH] * 4


def test_ids_that_differ_in_letter_case_or_hyphens_are_one_id_spelled_as_at_first() -> None:
    written = frame(change("aB", "r-1"), change("b", "r2"), change("A-b", "R1"), change("AB", "r1", operation="REVOKE"))
    changes, spelled = in_one_spelling(written)
    assert changes.select("identity_id", "item_id").rows() == [("aB", "r-1"), ("b", "r2"), ("aB", "r-1"), ("aB", "r-1")]
    assert spelled == 2
    assert [found[0] for found in classified(changes)] == ["conflict_in_input", "submitted", *["conflict_in_input"] * 2]


def test_ids_of_one_spelling_each_stay_as_they_are() -> None:
    written = frame(change("aB", "r-1"), change("aB", "r2"))
    changes, spelled = in_one_spelling(written)
    assert changes.equals(written)
    assert spelled == 0


def test_a_repeat_is_a_duplicate_that_names_the_first_line() -> None:
    changes = frame(change(), change("bob"), change(), change())
    repeat = ("duplicate_in_input", "repeats line 2 of in.csv", None, False)
    assert classified(changes) == [FRESH, FRESH, repeat, repeat]


def test_a_repeat_in_another_file_names_the_file_of_the_first() -> None:
    changes = frame({**change(), "file": "a.csv", "line": 9}, {**change(), "file": "b.csv", "line": 2})
    assert classified(changes)[1][1] == "repeats line 9 of a.csv"


def test_comments_and_metadata_do_not_make_two_changes_of_one() -> None:
    changes = frame(change(comment="a", metadata='{"k":"1"}'), change(comment="b"))
    assert [found[0] for found in classified(changes)] == ["submitted", "duplicate_in_input"]


def test_a_grant_and_a_revoke_of_one_key_are_a_conflict_for_both() -> None:
    changes = frame(change(), change("bob"), change(operation="REVOKE"))
    conflict = ("conflict_in_input", "both granted and revoked in lines 2, 4: keep only one of them", None, False)
    assert classified(changes) == [conflict, FRESH, conflict]


def test_one_key_with_two_dates_is_a_conflict_even_for_exact_repeats() -> None:
    changes = frame(change(), change(remove_date=UNTIL), change())
    conflict = ("conflict_in_input", "wanted with different dates in lines 2, 3, 4: keep only one of them", None, False)
    assert classified(changes) == [conflict] * 3


@pytest.mark.parametrize("name", ["start_date", "remove_date"])
def test_each_of_the_two_dates_can_be_the_conflict(name: str) -> None:
    assert [found[0] for found in classified(frame(change(), change(**{name: UNTIL})))] == ["conflict_in_input"] * 2


def test_a_conflict_over_many_lines_names_the_first_five() -> None:
    changes = frame(*(change() for _ in range(6)), change(operation="REVOKE"))
    (reason,) = {found[1] for found in classified(changes)}
    assert reason.startswith("both granted and revoked in lines 2, 3, 4, 5, 6")
    assert " 7" not in reason


def test_a_conflict_over_two_files_names_both_files() -> None:
    granted, revoked = (
        {**change(), "file": "a.csv", "line": 2},
        {**change(operation="REVOKE"), "file": "b.csv", "line": 2},
    )
    (reason,) = {found[1] for found in classified(frame(granted, revoked))}
    assert "a.csv" in reason
    assert "b.csv" in reason


def test_a_row_that_has_an_item_twice_is_named_once() -> None:
    changes = frame(change(), {**change(), "row": 0, "line": 2}, change(operation="REVOKE"))
    assert {found[1] for found in classified(changes)} == {
        "both granted and revoked in lines 2, 4: keep only one of them"
    }


def test_an_accepted_change_of_another_run_is_already_submitted() -> None:
    known = earlier(State.ACCEPTED, run="spring", request=7)
    assert classified(frame(change()), known) == [("already_submitted", "accepted in run spring at at-7", None, False)]


@pytest.mark.parametrize("state", [State.SENDING, State.UNCONFIRMED])
@pytest.mark.parametrize("operation", ["GRANT", "REVOKE"])
def test_a_change_in_doubt_is_held_back_until_the_doubt_is_settled(state: State, operation: str) -> None:
    known = earlier(state, run="spring", operation=operation)
    reason = "sent in run spring, unconfirmed since at-1: the same command looks for it again"
    assert classified(frame(change()), known) == [("held_back", reason, None, False)]


def test_a_doubt_counts_although_something_newer_has_ended() -> None:
    doubt = earlier(State.UNCONFIRMED, run="spring", request=1)
    ended = earlier(State.ACCEPTED, run="summer", request=2, operation="REVOKE", tenant_state=DONE)
    assert [found[0] for found in classified(frame(change()), doubt, ended)] == ["held_back"]


@pytest.mark.parametrize("operation", ["GRANT", "REVOKE"])
def test_a_change_that_another_run_has_planned_and_not_sent_is_taken_over(operation: str) -> None:
    assert classified(frame(change()), earlier(State.PLANNED, run="spring", operation=operation)) == [FRESH]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (
            State.PLANNED,
            "run spring has not sent this yet, and somebody works on it: run the same command again after that",
        ),
        (State.SENDING, "run spring is sending this, and somebody works on it: run the same command again after that"),
        (
            State.UNCONFIRMED,
            "run spring is sending this, and somebody works on it: run the same command again after that",
        ),
    ],
)
@pytest.mark.parametrize("operation", ["GRANT", "REVOKE"])
def test_nothing_is_taken_from_a_run_on_which_a_process_works(state: State, reason: str, operation: str) -> None:
    known = earlier(state, run="spring", operation=operation)
    busy = {"spring": "somebody works on it"}
    assert classified(frame(change()), known, busy=busy) == [("held_back", reason, None, False)]


def test_a_submitted_change_is_held_back_if_another_run_has_planned_the_opposite() -> None:
    granted = earlier(State.ACCEPTED, run="spring", request=1)
    revoke = earlier(State.PLANNED, run="summer", request=2, operation="REVOKE")
    reason = "a revoke of this is planned in run summer and not sent yet: submit its input again, or discard that run"
    assert classified(frame(change()), granted, revoke) == [("held_back", reason, None, False)]


@pytest.mark.parametrize("state", [State.REFUSED, State.DISCARDED, State.SPLIT])
@pytest.mark.parametrize("run", ["other", RUN])
def test_a_request_that_created_nothing_blocks_nothing(state: State, run: str) -> None:
    assert classified(frame(change()), earlier(state, run=run)) == [FRESH]


@pytest.mark.parametrize("state", [State.ACCEPTED])
@pytest.mark.parametrize(
    ("known", "described"),
    [
        ({"operation": "REVOKE"}, "revoke"),
        ({"remove_date": UNTIL}, f"grant until {UNTIL}"),
        ({"start_date": UNTIL}, f"grant from {UNTIL}"),
        ({"start_date": "S", "remove_date": "E"}, "grant from S until E"),
    ],
)
def test_another_intention_in_progress_holds_a_change_back(state: State, known: dict[str, Any], described: str) -> None:
    reason = (
        f"in_progress_conflict: run other has a {described} of it in progress; `access-batch track other` asks whether "
        "it has ended, then run the same command again"
    )
    assert classified(frame(change()), earlier(state, **known)) == [("held_back", reason, None, False)]


@pytest.mark.parametrize("state", [State.PLANNED, State.SENDING, State.UNCONFIRMED, State.ACCEPTED])
def test_a_change_of_the_run_itself_is_submitted_and_not_fresh(state: State) -> None:
    assert classified(frame(change()), earlier(state, run=RUN, request=5)) == [("submitted", "", 5, False)]


def test_the_runs_own_request_takes_precedence_over_another_run() -> None:
    known = [earlier(State.ACCEPTED, run=RUN, request=5), earlier(State.ACCEPTED, request=6)]
    assert classified(frame(change()), *known) == [("submitted", "", 5, False)]


def test_a_change_that_another_run_has_undone_is_held_back_with_a_reason() -> None:
    own = earlier(State.ACCEPTED, run=RUN, request=5, tenant_state=DONE)
    undone = earlier(State.ACCEPTED, run="undo", request=6, operation="REVOKE", tenant_state=DONE)
    ((row_class, reason, number, fresh),) = classified(frame(change()), own, undone)
    assert (row_class, number, fresh) == ("held_back", 5, False)
    assert reason.startswith("run undo has since requested a revoke of this")
    assert classified(frame(change()), own, {**undone, "tenant_state": REJECTED}) == [("submitted", "", 5, False)]


def test_a_change_in_progress_blocks_even_if_a_later_one_is_finished() -> None:
    waiting = earlier(State.ACCEPTED, request=1, remove_date=UNTIL, tenant_state="EXECUTING")
    over = earlier(State.ACCEPTED, request=2, tenant_state=DONE)
    ((row_class, reason, _, _),) = classified(frame(change(operation="REVOKE", comment="c")), waiting, over)
    assert row_class == "held_back"
    assert reason.startswith(f"in_progress_conflict: run other has a grant until {UNTIL} of it in progress; ")


def test_the_latest_of_several_own_requests_counts() -> None:
    known = [earlier(State.ACCEPTED, run=RUN, request=9), earlier(State.ACCEPTED, run=RUN, request=5)]
    assert classified(frame(change()), *known) == [("submitted", "", 9, False)]


def test_the_latest_intention_decides_in_any_order_of_the_ledger() -> None:
    granted, revoked = earlier(State.ACCEPTED, request=4), earlier(State.ACCEPTED, request=5, operation="REVOKE")
    for known in ([granted, revoked], [revoked, granted]):
        assert [found[0] for found in classified(frame(change()), *known)] == ["held_back"]
        assert [found[0] for found in classified(frame(change(operation="REVOKE")), *known)] == ["already_submitted"]


def test_a_later_request_that_created_nothing_does_not_hide_an_earlier_one() -> None:
    known = [earlier(State.ACCEPTED, request=4), earlier(State.REFUSED, request=5, operation="REVOKE")]
    assert [found[0] for found in classified(frame(change()), *known)] == ["already_submitted"]


def test_comments_and_metadata_do_not_make_a_known_change_a_new_one() -> None:
    changes = frame(change(comment="again", metadata='{"k":"v"}'))
    assert [found[0] for found in classified(changes, earlier(State.ACCEPTED))] == ["already_submitted"]


def test_other_keys_in_the_ledger_do_not_matter() -> None:
    known = [
        earlier(State.ACCEPTED, identity="bob"),
        earlier(State.ACCEPTED, item="r2"),
        earlier(State.ACCEPTED, item_type="ENTITLEMENT"),
    ]
    assert classified(frame(change()), *known) == [FRESH]


def test_the_repeat_of_a_known_change_is_a_duplicate_of_its_line() -> None:
    found = classified(frame(change(), change()), earlier(State.ACCEPTED))
    assert [one[0] for one in found] == ["already_submitted", "duplicate_in_input"]


def test_without_changes_there_are_no_classes() -> None:
    assert classified(frame()) == []
    assert classified(frame(), earlier(State.ACCEPTED)) == []


# The tenant's answer about the earlier change.

ALL = list(RESUBMITTABLE)
REJECTED, CANCELLED, FAILED = "REJECTED", "CANCELLED", "PROVISIONING_FAILED"
DONE = "REQUEST_COMPLETED"


@pytest.mark.parametrize(
    ("tenant", "reason"),
    [
        ({"tenant_state": DONE, "tenant_since": "S"}, "accepted in run other at at-1, provisioned since S"),
        (
            {"tenant_state": "EXECUTING", "tenant_who": "Ann"},
            "accepted in run other at at-1, in progress, waiting for Ann",
        ),
        ({"tenant_state": "EXISTING_REQUEST"}, "accepted in run other at at-1, in progress"),
        ({"tenant_state": "BRAND_NEW"}, "accepted in run other at at-1, in progress (BRAND_NEW)"),
        (
            {"tenant_state": REJECTED, "tenant_who": "Ann", "tenant_comment": "no need", "tenant_since": "S"},
            "accepted in run other at at-1, rejected by Ann since S: no need; submit it again with --resubmit rejected",
        ),
        (
            {"tenant_state": CANCELLED, "tenant_who": "Bob"},
            "accepted in run other at at-1, cancelled by Bob; submit it again with --resubmit cancelled",
        ),
        (
            {"tenant_state": "ERROR", "tenant_comment": "no account"},
            "accepted in run other at at-1, failed: no account; submit it again with --resubmit failed",
        ),
        (
            {"tenant_state": CANCELLED, "tenant_comment": "A Duplicate request"},
            (
                "accepted in run other at at-1, cancelled by the tenant as a duplicate: A Duplicate request; "
                "the tenant had the same already, so --resubmit does not submit it again"
            ),
        ),
    ],
)
def test_an_earlier_change_is_skipped_with_its_outcome(tenant: dict[str, Any], reason: str) -> None:
    known = earlier(State.ACCEPTED, **tenant)
    assert classified(frame(change()), known) == [("already_submitted", reason, None, False)]


@pytest.mark.parametrize(("state", "word"), [(REJECTED, "rejected"), (CANCELLED, "cancelled"), (FAILED, "failed")])
@pytest.mark.parametrize("run", ["other", RUN])
def test_only_outcomes_that_resubmit_names_are_submitted_again(state: str, word: str, run: str) -> None:
    known = earlier(State.ACCEPTED, tenant_state=state, run=run)
    others = [tenant_outcome for tenant_outcome in RESUBMITTABLE if tenant_outcome != word]
    assert classified(frame(change()), known, resubmit=[TenantOutcome(word)]) == [FRESH]
    assert classified(frame(change()), known, resubmit=others) == classified(frame(change()), known) != [FRESH]


@pytest.mark.parametrize("state", ["", "EXECUTING", DONE, "BRAND_NEW", "EXISTING_REQUEST"])
@pytest.mark.parametrize("run", ["other", RUN])
def test_a_change_in_progress_or_provisioned_is_never_submitted_again(state: str, run: str) -> None:
    known = earlier(State.ACCEPTED, tenant_state=state, run=run)
    assert (
        classified(frame(change()), known, resubmit=list(TenantOutcome))
        == classified(frame(change()), known)
        != [FRESH]
    )


def test_a_duplicate_at_the_tenant_is_never_submitted_again() -> None:
    known = earlier(State.ACCEPTED, tenant_state=CANCELLED, tenant_comment="duplicate of another request")
    assert classified(frame(change()), known, resubmit=list(TenantOutcome))[0][0] == "already_submitted"


@pytest.mark.parametrize("run", ["other", RUN])
def test_a_resubmitted_change_waits_for_its_own_end(run: str) -> None:
    first = earlier(State.ACCEPTED, tenant_state=REJECTED, request=4, run=run)
    for state in ("", "EXECUTING", DONE):
        second = earlier(State.ACCEPTED, tenant_state=state, request=5, run=run)
        for known in ([first, second], [second, first]):
            assert not classified(frame(change()), *known, resubmit=ALL)[0][3]
    again = earlier(State.ACCEPTED, tenant_state=REJECTED, request=5, run=run)
    assert classified(frame(change()), first, again, resubmit=ALL) == [FRESH]


def test_a_run_does_not_resubmit_a_change_that_another_run_has_submitted() -> None:
    known = [earlier(State.ACCEPTED, tenant_state=REJECTED, request=4, run=RUN), earlier(State.ACCEPTED, request=5)]
    assert [found[0] for found in classified(frame(change()), *known, resubmit=ALL)] == ["already_submitted"]


@pytest.mark.parametrize("known", [{"operation": "REVOKE"}, {"remove_date": UNTIL}, {"start_date": UNTIL}])
@pytest.mark.parametrize("state", [DONE, REJECTED, CANCELLED, FAILED])
def test_a_finished_other_intention_does_not_hold_a_change_back(known: dict[str, Any], state: str) -> None:
    assert classified(frame(change()), earlier(State.ACCEPTED, tenant_state=state, **known)) == [FRESH]


@pytest.mark.parametrize("state", ["", "EXECUTING", "BRAND_NEW", "EXISTING_REQUEST"])
def test_an_unfinished_other_intention_holds_a_change_back(state: str) -> None:
    known = earlier(State.ACCEPTED, tenant_state=state, operation="REVOKE")
    assert [found[0] for found in classified(frame(change()), known)] == ["held_back"]


def test_access_granted_and_revoked_may_be_granted_again() -> None:
    granted = earlier(State.ACCEPTED, request=4)
    revoked = earlier(State.ACCEPTED, request=5, operation="REVOKE", tenant_state=DONE)
    assert classified(frame(change()), granted, revoked) == [FRESH]
    assert classified(frame(change(operation="REVOKE")), granted, revoked)[0][0] == "already_submitted"


@pytest.mark.parametrize("state", [REJECTED, CANCELLED])
def test_a_revoke_without_effect_leaves_the_earlier_grant_in_force(state: str) -> None:
    granted = earlier(State.ACCEPTED, request=4, tenant_state=DONE)
    revoked = earlier(State.ACCEPTED, request=5, operation="REVOKE", tenant_state=state)
    (again,) = classified(frame(change()), granted, revoked)
    assert again == ("already_submitted", "accepted in run other at at-4, provisioned", None, False)
    assert classified(frame(change(operation="REVOKE")), granted, revoked)[0][0] == "already_submitted"
    assert classified(frame(change(operation="REVOKE")), granted, revoked, resubmit=ALL) == [FRESH]


def test_a_change_to_resubmit_waits_for_the_opposite_in_progress() -> None:
    revoked = earlier(State.ACCEPTED, request=4, operation="REVOKE")
    granted = earlier(State.ACCEPTED, request=5, tenant_state=REJECTED)
    assert [found[0] for found in classified(frame(change()), revoked, granted, resubmit=ALL)] == ["held_back"]


# Any mixture.

_ANY_CHANGE = st.builds(
    change,
    st.sampled_from(["anna", "bob"]),
    st.sampled_from(["x", "y"]),
    operation=st.sampled_from(["GRANT", "GRANT", "GRANT", "REVOKE"]),
    item_type=st.sampled_from(["ROLE", "ROLE", "ENTITLEMENT"]),
    comment=st.sampled_from(["", "c"]),
    remove_date=st.sampled_from(["", "", "", UNTIL]),
)
_ANY_EARLIER = st.tuples(
    _ANY_CHANGE,
    st.sampled_from(State),
    st.sampled_from([RUN, "spring", "summer"]),
    st.sampled_from([("", ""), ("", ""), ("EXECUTING", ""), (DONE, ""), (REJECTED, ""), (CANCELLED, "duplicate")]),
)


def key(one: dict[str, Any]) -> tuple[str, ...]:
    return tuple(one[name] for name in KEY)


def intention(one: dict[str, Any]) -> tuple[str, ...]:
    return tuple(one[name] for name in INTENTION)


def end(line: dict[str, Any]) -> TenantOutcome:
    accepted = line["state"] == "ACCEPTED" and line["tenant_state"]
    return tenant_outcome(line["tenant_state"], line["tenant_comment"]) if accepted else TenantOutcome.OPEN


def counts(line: dict[str, Any], wanted: dict[str, Any], resubmit: set[TenantOutcome]) -> bool:
    """Whether an earlier change matters for a wanted one."""
    if key(line) != key(wanted) or line["state"] in ("REFUSED", "SPLIT", "DISCARDED"):
        return False
    if line["run"] == RUN or intention(line) == intention(wanted):
        return end(line) not in resubmit - {TenantOutcome.DUPLICATE}
    return end(line) not in {TenantOutcome.REJECTED, TenantOutcome.CANCELLED, TenantOutcome.DUPLICATE}


def model(
    changes: list[dict[str, str]], known: list[dict[str, Any]], resubmit: set[TenantOutcome]
) -> list[tuple[str, int | None, bool]]:
    """The table applied to one change at a time: class, own request, fresh. A process works on the run `summer`."""
    expected: list[tuple[str, int | None, bool]] = []
    for position, one in enumerate(changes):
        siblings = [other for other in changes if key(other) == key(one)]
        free = [
            line for line in known if key(line) == key(one) and line["state"] == "PLANNED" and line["run"] == "spring"
        ]
        live = sorted(
            (line for line in known if line not in free and counts(line, one, resubmit)),
            key=lambda line: int(line["request"]),
        )
        own = [line for line in live if line["run"] == RUN]
        others = [line for line in live if line["run"] != RUN]
        if any(intention(sibling) != intention(one) for sibling in siblings):
            expected.append(("conflict_in_input", None, False))
        elif any(key(before) == key(one) for before in changes[:position]):
            expected.append(("duplicate_in_input", None, False))
        elif own:
            overtaken = live[-1]["run"] != RUN and intention(live[-1]) != intention(one)
            expected.append(("held_back" if overtaken else "submitted", own[-1]["request"], False))
        elif not others:
            expected.append(("submitted", None, True))
        elif any(line["state"] in ("SENDING", "UNCONFIRMED") for line in others):
            expected.append(("held_back", None, False))
        elif intention(others[-1]) != intention(one):
            in_the_way = [x for x in others if intention(x) != intention(one) and end(x) is TenantOutcome.OPEN]
            expected.append(("held_back", None, False) if in_the_way else ("submitted", None, True))
        elif others[-1]["state"] != "PLANNED" and all(intention(line) == intention(one) for line in free):
            expected.append(("already_submitted", None, False))
        else:
            expected.append(("held_back", None, False))
    return expected


@settings(max_examples=90)
@given(
    wanted=st.lists(_ANY_CHANGE, max_size=8),
    remembered=st.lists(_ANY_EARLIER, max_size=8),
    resubmit=st.sets(st.sampled_from([TenantOutcome.REJECTED, TenantOutcome.DUPLICATE])),
    order=st.randoms(use_true_random=False),
)
def test_any_mixture_is_classified_by_the_table(
    wanted: list[dict[str, str]],
    remembered: list[tuple[dict[str, str], State, str, tuple[str, str]]],
    resubmit: set[TenantOutcome],
    order: Any,
) -> None:
    known = [
        {
            **{name: one.get(name) for name in KNOWN_SCHEMA},
            **UNTRACKED,
            "tenant_state": tenant_state,
            "tenant_comment": comment,
            "state": state.value,
            "run": run,
            "request": number,
            "at": "t",
        }
        for number, (one, state, run, (tenant_state, comment)) in enumerate(remembered, 1)
    ]
    expected = model(wanted, known, resubmit)
    order.shuffle(known)
    found = classified(frame(*wanted), *known, resubmit=resubmit, busy={"summer": "it is busy"})
    assert [(row_class, own, fresh) for row_class, _, own, fresh in found] == expected
    for row_class, reason, own, fresh in found:
        assert bool(reason) == (row_class != "submitted"), "whatever is not submitted has a reason"
        assert not (fresh and own)


def test_an_empty_first_chunk_does_not_change_the_classes() -> None:
    changes = frame(change(), change(), change("bob"), change("eve"), change("eve", operation="REVOKE"))
    known = pl.DataFrame(
        [earlier(State.ACCEPTED, identity="bob"), earlier(State.SENDING), earlier(State.REFUSED)], schema=KNOWN_SCHEMA
    )
    whole = classify(changes, known, run=RUN)
    assert classify(in_odd_chunks(changes), in_odd_chunks(known), run=RUN).equals(whole)
    assert whole["class"].to_list() == [
        "held_back", "duplicate_in_input", "already_submitted", "conflict_in_input", "conflict_in_input",
    ]  # fmt: skip


BEFORE, AFTER = datetime(2026, 11, 20, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC)


def by_now(wanted: dict[str, Any], now: datetime | None, *known: dict[str, Any]) -> tuple[str, str]:
    found = classify(frame(wanted), pl.DataFrame(list(known), schema=KNOWN_SCHEMA), run=RUN, now=now)
    row_class, reason = found.select("class", "reason").row(0)
    return row_class, reason


def completed(request: int = 1, **others: str) -> dict[str, Any]:
    return earlier(State.ACCEPTED, request=request, tenant_state="REQUEST_COMPLETED", **others)


@pytest.mark.parametrize(
    ("wanted", "known", "now", "found"),
    [
        (change(), [completed(remove_date=UNTIL)], BEFORE, "held_back"),
        (change(), [completed(remove_date="2027-01-31T00:00:00.500Z")], BEFORE, "held_back"),
        (change(start_date="2027-01-01T00:00:00Z"), [completed(remove_date=UNTIL)], BEFORE, "held_back"),
        (change(start_date="2027-02-01T00:00:00Z"), [completed(remove_date=UNTIL)], BEFORE, "submitted"),
        (change(), [completed(remove_date=UNTIL)], AFTER, "submitted"),
        (change(), [completed(remove_date="none")], BEFORE, "submitted"),
        (change(), [completed(), completed(2, remove_date=UNTIL)], BEFORE, "held_back"),
        (change(), [completed(remove_date=UNTIL), completed(2, operation="REVOKE")], BEFORE, "submitted"),
        (change(), [completed(remove_date=UNTIL), completed(2, remove_date="none")], BEFORE, "submitted"),
        (change(remove_date="none"), [completed(remove_date=UNTIL)], BEFORE, "submitted"),
        (change(remove_date="none"), [completed()], BEFORE, "submitted"),
        (change(remove_date="none"), [completed(remove_date="none")], BEFORE, "already_submitted"),
        (change(remove_date="2027-06-30T00:00:00Z"), [completed(remove_date=UNTIL)], BEFORE, "submitted"),
        (change(operation="REVOKE"), [completed(remove_date=UNTIL)], BEFORE, "submitted"),
        (change(), [completed(remove_date=UNTIL)], None, "submitted"),
    ],
)
def test_a_grant_without_an_end_date_never_removes_one_that_an_earlier_run_has_set(
    wanted: dict[str, Any], known: list[dict[str, Any]], now: datetime | None, found: str
) -> None:
    row_class, reason = by_now(wanted, now, *known)
    assert row_class == found
    assert ("a grant without a date would remove that end date" in reason) is (found == "held_back")


def test_an_end_date_that_is_being_removed_holds_other_changes_back() -> None:
    open_one = earlier(State.ACCEPTED, remove_date="none")
    row_class, reason = by_now(change(remove_date=UNTIL), BEFORE, open_one)
    assert row_class == "held_back"
    assert "run other has a grant without an end date of it in progress" in reason
