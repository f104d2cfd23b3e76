"""What the ledger tells a report: every change and every event of one run, and who was at work."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from batch.ledger.machine_key import key_name
from batch.model import Answer, Failure
from tests.builders import NOW, change
from tests.ledger.ledger_helpers import ACCEPTED, ME, REFUSED, TENANT, change_status, claim, open_ledger, record, write

if TYPE_CHECKING:
    from tests.ledger.ledger_helpers import Place


def test_the_records_of_a_run_have_every_change_and_every_event(ledger_place: Place) -> None:
    with open_ledger(ledger_place) as ledger:
        run = write(ledger, [change("anna", "r1", comment="INC1")], [change("carl", "r3")], [change("dora", "r4")])
        other = write(ledger, [change("else", "r9")], digest="other")
        ledger.tenants.add_requester(TENANT, "requester")
        accepted = claim(ledger, run)
        record(ledger, accepted, ACCEPTED)
        record(ledger, claim(ledger, run), REFUSED)
        ledger.tracks.write(
            run, [change_status(accepted.number, "anna", "EXECUTING", who="Olga", access_request="ar")], NOW
        )
    with open_ledger(ledger_place, only_read=True) as ledger:
        records, elsewhere = ledger.records(run), ledger.records(other)
        (signer,) = ledger.signers()
    shown = ("identity_id", "item_id", "state", "comment", "tenant_state", "who", "access_request")
    assert records.changes.select(shown).rows() == [
        ("anna", "r1", "ACCEPTED", "INC1", "EXECUTING", "Olga", "ar"),
        ("carl", "r3", "REFUSED", "", None, None, None),
        ("dora", "r4", "PLANNED", "", None, None, None),
    ]
    events = records.events.get_column("event").to_list()
    assert events == ["planned", "claimed", "accepted", "claimed", "refused", "tracked"]
    refused = records.events.row(4, named=True)
    assert refused["status"] == 400
    assert refused["reason"]
    assert records.requesters == ("requester",)
    assert records.machines == (key_name(signer.public),)
    assert elsewhere.changes.get_column("identity_id").to_list() == ["else"]


def test_what_settling_found_is_among_the_events(ledger_place: Place) -> None:
    with open_ledger(ledger_place) as ledger:
        run = write(ledger, [change("anna", "r1")])
        request = claim(ledger, run)
        record(ledger, request, Answer(failure=Failure.BROKEN))
        ledger.requests.settle(request, arrived=True, now=NOW, process=ME, access_requests=["ar"])
        found = ledger.records(run).events.get_column("found").to_list()
    assert found[:-1] == [None] * (len(found) - 1)
    assert json.loads(found[-1]) == {"access_requests": ["ar"]}
