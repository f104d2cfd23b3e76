"""Suspects: what the answers of one process show about the ids in its requests."""

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


def test_an_accepted_id_is_no_suspect() -> None:
    history = RefusalHistory()
    history.refused(PAIR, NOT_NAMED)
    history.accepted(a_request(["p", "q"], ["j"]))
    assert history.suspicion(PERSON) == 0
    assert history.suspicion(ITEM) > 0


def test_each_refusal_makes_an_id_more_suspect() -> None:
    history = RefusalHistory()
    degrees = [history.suspicion(ITEM)]
    for people in ("pq", "rs", "t"):
        history.refused(a_request(people, "ij"), NOT_NAMED)
        degrees.append(history.suspicion(ITEM))
    assert degrees == sorted(set(degrees))


@pytest.mark.parametrize("refused_first", [True, False])
def test_a_refusal_with_a_good_id_makes_the_other_a_likely_cause_in_either_order(refused_first: bool) -> None:  # noqa: FBT001
    history = RefusalHistory()
    if refused_first:
        history.refused(PAIR, NOT_NAMED)
        assert not history.is_likely(PERSON)
    history.accepted(a_request(["g"], ["i"]))
    if not refused_first:
        history.refused(PAIR, NOT_NAMED)
    assert history.is_likely(PERSON)
    assert not history.is_likely(ITEM)


def test_an_id_that_the_message_blames_is_a_likely_cause() -> None:
    history = RefusalHistory()
    history.refused(PAIR, BLAMES_P)
    assert history.is_likely(PERSON)
    assert not history.is_likely(ITEM)


@pytest.mark.parametrize("message", [NOT_NAMED, BLAMES_P])
def test_the_second_refused_single_change_makes_the_cause_certain(message: str) -> None:
    history = RefusalHistory()
    history.accepted(a_request(["g"], ["i", "j"]))
    history.refused(PAIR, message)
    history.refused(PAIR, message)
    assert not history.is_certain(PERSON)
    history.refused(a_request(["p"], ["j"]), NOT_NAMED)
    assert history.is_certain(PERSON)


def test_a_message_that_names_both_ids_blames_neither() -> None:
    history = RefusalHistory()
    history.refused(PAIR, "p may not have i.")
    assert not history.is_likely(PERSON)
    assert not history.is_likely(ITEM)


def test_the_refusal_of_several_changes_makes_no_id_a_likely_cause() -> None:
    history = RefusalHistory()
    history.accepted(a_request(["g"], ["i", "j"]))
    history.refused(a_request(["p"], ["i", "j"]), "The identity p was not found.")
    assert not history.is_likely(PERSON)


def test_an_acceptance_clears_an_id_that_was_certain() -> None:
    history = RefusalHistory()
    history.refused(PAIR, BLAMES_P)
    history.refused(a_request(["p"], ["k"]), BLAMES_P)
    assert history.is_certain(PERSON)
    history.accepted(a_request(["p"], ["j"]))
    assert not history.is_likely(PERSON)
    assert not history.is_certain(PERSON)


def test_a_grant_clears_neither_a_revoke_nor_another_date() -> None:
    history = RefusalHistory()
    history.accepted(PAIR)
    assert all(map(history.suspicion, identities(replace(PAIR, operation=Operation.REVOKE))))
    dated = replace(PAIR, items=(replace(PAIR.items[0], remove_date="2030-01-31T00:00:00Z"),))
    assert all(map(history.suspicion, items(dated)))


@pytest.mark.parametrize(
    ("message", "expected"),
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
def test_a_message_names_an_id_only_as_a_whole_word(message: str, expected: bool) -> None:  # noqa: FBT001
    suspects = items(a_request(["p"], ["2c918084-0f1a"]))
    assert bool(named(suspects, message)) is expected
