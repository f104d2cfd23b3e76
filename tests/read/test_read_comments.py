"""Comments: a text for rows without one, or a template with each row's own comment and ticket."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from batch.api.dialects import DIALECTS
from batch.errors import UsageError
from batch.model import IdentityBy
from batch.read import LoadedInputs, make_interpretation, read_loaded
from batch.read.inputs import Content
from batch.validate.digest import input_digest
from batch.validate.rows import validate
from tests.plan.changes import hex_id

if TYPE_CHECKING:
    from batch.read import Table

NOW = datetime(2026, 11, 30, tzinfo=UTC)
HEADER = "operation,identity_id,item_type,item_id,comment,ticket"
BOTH = "{comment} [{ticket}]"
PATTERN = r"INC\d{7}"


def row(person: int, comment: str, ticket: str, *, operation: str = "GRANT") -> str:
    return f"{operation},{hex_id(person)},ROLE,{hex_id(0xA)},{comment},{ticket}"


def read(*lines: str, comment: str = "", pattern: str = "", header: str = HEADER) -> Table:
    text = "\n".join((header, *lines, ""))
    interpretation = make_interpretation(comment=comment, ticket_pattern=pattern)
    return read_loaded(LoadedInputs((Content("in.csv", text.encode()),), "digest", interpretation))


def comments(table: Table) -> list[str]:
    return validate(table.rows, dialect=DIALECTS["beta"], now=NOW).changes.get_column("comment").to_list()


def reasons(table: Table) -> list[tuple[int, str, str]]:
    rejected = validate(table.rows, dialect=DIALECTS["beta"], now=NOW).rejected
    return [(one["row"], one["rule"], one["message"]) for one in rejected.to_dicts()]


def test_a_template_has_the_rows_own_comment_and_ticket() -> None:
    table = read(row(1, " new hire ", " INC0000001 "), row(2, "", "INC0000002"), comment=BOTH, pattern=PATTERN)
    assert comments(table) == ["new hire [INC0000001]", "[INC0000002]"]
    assert table.originals.get_column("comment").to_list() == [" new hire ", None]


def test_a_comment_that_says_nothing_is_left_out() -> None:
    assert comments(read(row(1, "n/a", "INC1", operation="REVOKE"), comment=BOTH)) == ["[INC1]"]


def test_a_text_without_placeholders_is_for_rows_without_a_comment() -> None:
    assert comments(read(row(1, "own", ""), row(2, "", ""), comment="quarter")) == ["own", "quarter"]


@pytest.mark.parametrize("ticket", ["INC123", "XINC0000001", "INC0000001 and more", "inc0000001"])
def test_a_row_whose_ticket_does_not_match_is_rejected(ticket: str) -> None:
    found = reasons(read(row(1, "why", "INC0000001"), row(2, "why", ticket), comment=BOTH, pattern=PATTERN))
    assert found == [(1, "ticket_given", f"ticket '{ticket}' does not match {PATTERN}: correct it")]


@pytest.mark.parametrize(("comment", "pattern"), [(BOTH, ""), ("", PATTERN), (BOTH, PATTERN)])
def test_a_row_without_a_ticket_is_rejected_if_one_is_wanted(comment: str, pattern: str) -> None:
    missing = "the ticket is missing: give one in the column `ticket`"
    for nothing in (" ", "N/A"):
        assert reasons(read(row(1, "why", nothing), comment=comment, pattern=pattern)) == [(0, "ticket_given", missing)]
    without = f"GRANT,{hex_id(1)},ROLE,{hex_id(0xA)},why"
    header = HEADER.removesuffix(",ticket")
    assert reasons(read(without, comment=comment, pattern=pattern, header=header)) == [(0, "ticket_given", missing)]


def test_a_ticket_that_nobody_wants_changes_nothing() -> None:
    with_ticket, without = read(row(1, "why", "T-1")), read(row(1, "why", ""))
    assert comments(with_ticket) == ["why"]
    assert input_digest(with_ticket, IdentityBy.AUTO) == input_digest(without, IdentityBy.AUTO)


def test_the_rendered_comment_identifies_the_input() -> None:
    rendered = read(row(1, "why", "INC0000001"), comment=BOTH)
    written = read(row(1, "why [INC0000001]", ""))
    another = read(row(1, "why", "INC0000002"), comment=BOTH)
    of_rendered, of_written, of_another = (input_digest(one, IdentityBy.AUTO) for one in (rendered, written, another))
    assert of_rendered == of_written != of_another


def test_comments_in_our_own_files_are_whole_unless_they_have_tickets() -> None:
    header = f"{HEADER.removesuffix(',ticket')},_run"
    own = f"GRANT,{hex_id(1)},ROLE,{hex_id(0xA)},why [INC0000001],abc"
    table = read(own, comment=BOTH, pattern=PATTERN, header=header)
    assert (comments(table), reasons(table)) == (["why [INC0000001]"], [])
    plain = read(own, comment="by default", pattern=PATTERN, header=header)
    assert (comments(plain), reasons(plain)) == (["why [INC0000001]"], [])
    with_tickets = read(f"{row(1, 'why', 'INC0000001')},abc", comment=BOTH, header=f"{HEADER},_run")
    assert comments(with_tickets) == ["why [INC0000001]"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"comment": "{comment} run {run}"}, "each item's clientMetadata names its request"),
        ({"comment": "{Ticket}"}, "The placeholders are {comment}, the row's own, and {ticket}"),
        ({"comment": "{}"}, "The placeholders are"),
        ({"comment": "{comment} [{ticket]"}, "a comment has no other braces"),
        ({"comment": "{{comment}}"}, "a comment has no other braces"),
        ({"ticket_pattern": r"CHG\d+)|(?:."}, "Write a regular expression"),
        ({"ticket_pattern": "INC("}, "Write a regular expression"),
    ],
)
def test_what_can_not_be_used_is_refused_before_anything_is_read(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_interpretation(**given)
    assert says in caught.value.next_step
    assert caught.value.next_step.startswith("Nothing was sent.")
