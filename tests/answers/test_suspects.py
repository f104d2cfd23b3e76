"""What the answers of one process tell about the ids that were sent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batch.answers.suspects import RefusalHistory, identities, items, named
from batch.api.dialects import Operation
from tests.answers.fussy_tenant import a_request

NOT_NAMED = "Bad request."
BLAMES_P = "The identity P was not found."
PAIR = a_request(["p"], ["i"])
(PERSON,), (ITEM,) = identities(PAIR), items(PAIR)


def test_what_was_accepted_is_under_no_suspicion() -> None:
    evidence = RefusalHistory()
    evidence.refused(PAIR, NOT_NAMED)
    evidence.accepted(a_request(["p", "q"], ["j"]))
    assert evidence.suspicion(PERSON) == 0
    assert evidence.suspicion(ITEM) > 0


def test_suspicion_grows_with_each_refusal() -> None:
    evidence = RefusalHistory()
    degrees = [evidence.suspicion(ITEM)]
    for people in ("pq", "rs", "t"):
        evidence.refused(a_request(people, "ij"), NOT_NAMED)
        degrees.append(evidence.suspicion(ITEM))
    assert degrees == sorted(set(degrees))


@pytest.mark.parametrize("refused_first", [True, False])
def test_a_refusal_beside_a_good_id_accuses_whichever_came_first(refused_first: bool) -> None:  # noqa: FBT001
    evidence = RefusalHistory()
    if refused_first:
        evidence.refused(PAIR, NOT_NAMED)
        assert not evidence.accuses(PERSON)
    evidence.accepted(a_request(["g"], ["i"]))
    if not refused_first:
        evidence.refused(PAIR, NOT_NAMED)
    assert evidence.accuses(PERSON)
    assert not evidence.accuses(ITEM)


def test_a_message_that_blames_one_id_of_a_single_change_accuses_it() -> None:
    evidence = RefusalHistory()
    evidence.refused(PAIR, BLAMES_P)
    assert evidence.accuses(PERSON)
    assert not evidence.accuses(ITEM)


@pytest.mark.parametrize("said", [NOT_NAMED, BLAMES_P])
def test_one_witness_is_not_enough_to_convict_and_a_second_one_is(said: str) -> None:
    evidence = RefusalHistory()
    evidence.accepted(a_request(["g"], ["i", "j"]))
    evidence.refused(PAIR, said)
    evidence.refused(PAIR, said)
    assert not evidence.convicts(PERSON)
    evidence.refused(a_request(["p"], ["j"]), NOT_NAMED)
    assert evidence.convicts(PERSON)


def test_a_message_that_names_both_accuses_neither() -> None:
    evidence = RefusalHistory()
    evidence.refused(PAIR, "p may not have i.")
    assert not evidence.accuses(PERSON)
    assert not evidence.accuses(ITEM)


def test_the_refusal_of_several_changes_accuses_nobody() -> None:
    evidence = RefusalHistory()
    evidence.accepted(a_request(["g"], ["i", "j"]))
    evidence.refused(a_request(["p"], ["i", "j"]), "The identity p was not found.")
    assert not evidence.accuses(PERSON)


def test_an_acceptance_makes_a_conviction_void() -> None:
    evidence = RefusalHistory()
    evidence.refused(PAIR, BLAMES_P)
    evidence.refused(a_request(["p"], ["k"]), BLAMES_P)
    assert evidence.convicts(PERSON)
    evidence.accepted(a_request(["p"], ["j"]))
    assert not evidence.accuses(PERSON)
    assert not evidence.convicts(PERSON)


def test_a_grant_tells_nothing_of_a_revoke_nor_one_date_of_another() -> None:
    evidence = RefusalHistory()
    evidence.accepted(PAIR)
    assert all(map(evidence.suspicion, identities(replace(PAIR, operation=Operation.REVOKE))))
    dated = replace(PAIR, items=(replace(PAIR.items[0], remove_date="2030-01-31T00:00:00Z"),))
    assert all(map(evidence.suspicion, items(dated)))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("The item 2c918084-0f1a was not found.", True),
        ("The item 2C918084-0F1A was not found.", True),
        ('{"id":"2c918084-0f1a"}', True),
        ("2c918084-0f1a-7", False),
        ("x2c918084-0f1a", False),
        ("2c918084", False),
        ("", False),
    ],
)
def test_an_id_is_named_as_a_word_of_its_own(said: str, expected: bool) -> None:  # noqa: FBT001
    suspects = items(a_request(["p"], ["2c918084-0f1a"]))
    assert bool(named(suspects, said)) is expected
