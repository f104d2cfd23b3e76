"""Refused requests: they are divided until the bad change stands alone, and too many of them stop the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batch.answers.stop_rule import ALL_REFUSED_AFTER, HALF_REFUSED_AFTER
from batch.errors import (
    TooManyRefusalsError,
)
from batch.states import State
from tests.builders import change, product
from tests.ledger.ledger_helpers import ACCEPTED, REFUSED, Place, singles, write
from tests.loops.send_stage import ScriptedTenant, Stage, always, in_turn

if TYPE_CHECKING:
    from batch.ledger.store import Ledger
    from batch.model import Answer, Request


async def test_a_refused_request_is_divided_until_the_bad_change_stands_alone(ledger: Ledger, path: Place) -> None:
    async def reply(request: Request, _token: str) -> Answer:
        bad = "i3" in request.recipients and "r2" in {item.id for item in request.items}
        return REFUSED if bad else ACCEPTED

    wanted = product([f"i{n}" for n in range(7)], [f"r{n}" for n in range(5)])
    stage = Stage(ledger, path, write(ledger, wanted, [change("j1", "r1")]))
    tenant = ScriptedTenant(reply)
    await stage.submitter(tenant).submit(3)
    expected = {(line["identity_id"], line["item_id"]): 1 for line in wanted} | {("j1", "r1"): 1}
    del expected["i3", "r2"]
    assert tenant.accepted == expected
    (refused,) = ledger.requests.in_state(stage.run, State.REFUSED)
    assert (refused.recipients, [item.id for item in refused.items]) == (("i3",), ["r2"])
    assert ledger.runs.tally(stage.run).changes["ACCEPTED"] == 35
    assert ledger.requests.in_state(stage.run, State.PLANNED) == ()


async def test_sending_stops_if_the_first_requests_are_all_refused(ledger: Ledger, path: Place) -> None:
    stage = Stage(ledger, path, write(ledger, *singles(ALL_REFUSED_AFTER + 5)))
    tenant = always(REFUSED)
    with pytest.raises(TooManyRefusalsError, match=r"20 of 20 .* Bad item") as caught:
        await stage.submitter(tenant).submit(1)
    assert f"discard {stage.run.id}" in caught.value.next_step
    assert len(tenant.posts) == ALL_REFUSED_AFTER
    assert stage.states() == {"REFUSED": ALL_REFUSED_AFTER, "PLANNED": 5}


async def test_a_run_stopped_by_refusals_continues_once_the_tenant_is_fixed(ledger: Ledger, path: Place) -> None:
    requests = [product([f"{n}-1", f"{n}-2"], ["r1"]) for n in range(ALL_REFUSED_AFTER + 5)]
    stage = Stage(ledger, path, write(ledger, *requests))
    with pytest.raises(TooManyRefusalsError):
        await stage.submitter(always(REFUSED)).submit(1)
    tenant = always(ACCEPTED)
    await stage.submitter(tenant).submit(1)
    assert tenant.accepted == {(line["identity_id"], line["item_id"]): 1 for wanted in requests for line in wanted}
    assert ledger.requests.in_state(stage.run, State.REFUSED) == ()


@pytest.mark.parametrize(("refused", "stops"), [(HALF_REFUSED_AFTER // 2, True), (HALF_REFUSED_AFTER // 2 - 1, False)])
async def test_sending_stops_if_half_of_many_requests_are_refused(
    refused: int,
    stops: bool,  # noqa: FBT001
    ledger: Ledger,
    path: Place,
) -> None:
    stage = Stage(ledger, path, write(ledger, *singles(HALF_REFUSED_AFTER + 5)))
    tenant = in_turn(ACCEPTED, *[REFUSED] * refused)
    if stops:
        with pytest.raises(TooManyRefusalsError, match="50 of 100"):
            await stage.submitter(tenant).submit(1)
        assert len(tenant.posts) == HALF_REFUSED_AFTER
    else:
        await stage.submitter(tenant).submit(1)
        assert stage.states() == {"REFUSED": refused, "ACCEPTED": HALF_REFUSED_AFTER + 5 - refused}


async def test_parts_of_refused_requests_do_not_count_as_refused_requests(ledger: Ledger, path: Place) -> None:
    requests = [product([f"{n}-{m}" for m in range(5)], ["r1", "r2"]) for n in range(ALL_REFUSED_AFTER // 5)]
    stage = Stage(ledger, path, write(ledger, *requests))
    tenant = always(REFUSED)
    await stage.submitter(tenant).submit(1)
    assert len(tenant.posts) > ALL_REFUSED_AFTER
    assert stage.states()["REFUSED"] == 10 * len(requests)


@pytest.mark.thorough
async def test_a_few_large_requests_stop_the_run_after_enough_people_and_items_were_refused(
    ledger: Ledger, path: Place
) -> None:
    requests = [product([f"{n}-{m}" for m in range(5)], [f"r{n}-{m}" for m in range(5)]) for n in range(8)]
    stage = Stage(ledger, path, write(ledger, *requests))
    tenant = always(REFUSED)
    with pytest.raises(TooManyRefusalsError, match=r"Nothing was accepted, and .* 2\d identities"):
        await stage.submitter(tenant).submit(1)
    assert len(tenant.posts) < 250
    assert ledger.requests.in_state(stage.run, State.PLANNED)


async def test_a_single_bad_identity_does_not_stop_the_run(ledger: Ledger, path: Place) -> None:
    requests = [product(["bad"], [f"r{n}-{m}" for m in range(25)]) for n in range(3)]
    stage = Stage(ledger, path, write(ledger, *requests))
    await stage.submitter(always(REFUSED)).submit(1)
    assert ledger.runs.tally(stage.run).changes["REFUSED"] == 75
