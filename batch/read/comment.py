"""The comment of each row: a template with the row's own comment and its ticket. Pure."""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from batch.errors import UsageError
from batch.read.columns import SAYS_NOTHING
from batch.text import on_one_line

TICKET: Final = "ticket"
"""The column with the number of a change or an incident in another system."""

TICKET_PROBLEM: Final = "_ticket_problem"
"""The column that says why a row's ticket is not accepted."""

_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_OURS: Final = ("comment", TICKET)
_NOTHING_SENT: Final = "Nothing was sent."
_MOST_SHOWN: Final = 60


def check_template(template: str) -> None:
    """Check that a comment has no placeholders but ours.

    Raises:
        UsageError: It has.
    """
    named = _PLACEHOLDER.findall(template)
    if "run" in named:
        raise UsageError(
            "--comment: {run} can't stand in a comment: a run has its id only once its rows and comments are known.",
            next_step=f"{_NOTHING_SENT} Leave it out: each item's clientMetadata names its request, and so its run.",
        )
    if unknown := [name for name in named if name not in _OURS]:
        raise UsageError(
            f"--comment: there is no placeholder {{{on_one_line(unknown[0], most=_MOST_SHOWN)}}}.",
            next_step=f"{_NOTHING_SENT} The placeholders are {{comment}}, the row's own, and {{ticket}}.",
        )
    if re.search("[{}]", _PLACEHOLDER.sub("", template)):
        raise UsageError(
            "--comment: a brace has no partner.",
            next_step=f"{_NOTHING_SENT} Write {{comment}} or {{ticket}}; a comment has no other braces.",
        )


def check_pattern(pattern: str) -> None:
    """Check that a pattern of tickets can be used.

    Raises:
        UsageError: It can't.
    """
    try:
        # By itself too: otherwise its brackets could close the group around it.
        for one in (pattern, _whole(pattern)):
            pl.Series([""]).str.contains(one)
    except pl.exceptions.PolarsError:
        raise UsageError(
            f"--ticket-pattern: {on_one_line(pattern, most=_MOST_SHOWN)!r} can't be read as a pattern.",
            next_step=rf"{_NOTHING_SENT} Write a regular expression, such as 'INC\d{{7}}'.",
        ) from None


def has_ticket(template: str) -> bool:
    """Whether a comment names the ticket."""
    return TICKET in _PLACEHOLDER.findall(template)


def with_comments(rows: pl.DataFrame, template: str, pattern: str, *, is_own: bool) -> pl.DataFrame:
    """The rows with their whole comments, and with TICKET_PROBLEM if tickets are wanted.

    Args:
        rows: With our columns.
        template: A comment for rows without one; or, with placeholders, for all rows. Empty to leave all as they are.
        pattern: That tickets must match; empty for none.
        is_own: Whether access-batch wrote the file. Without tickets, its comments are whole already.
    """
    placeholders = _PLACEHOLDER.findall(template)
    if is_own and TICKET not in rows.columns:
        if placeholders:
            return rows
        pattern = ""
    own, ticket = _cell(rows, "comment"), _said(_cell(rows, TICKET))
    columns = []
    if placeholders:
        own = _said(own)
        values = {"comment": own, TICKET: ticket}
        # Every second part is the name of a placeholder.
        parts = [values[part] if n % 2 else pl.lit(part) for n, part in enumerate(_PLACEHOLDER.split(template)) if part]
        columns.append(pl.concat_str(parts).str.strip_chars().alias("comment"))
    elif template:
        whole = pl.col("comment") if "comment" in rows.columns else pl.lit(None, pl.String)
        columns.append(pl.when(own == "").then(pl.lit(template)).otherwise(whole).alias("comment"))
    if pattern or TICKET in placeholders:
        columns.append(_problem(ticket, pattern).alias(TICKET_PROBLEM))
    return rows.with_columns(columns) if columns else rows


def _problem(ticket: pl.Expr, pattern: str) -> pl.Expr:
    """What is wrong with the tickets."""
    wrong = pl.format(
        "ticket '{}' does not match {}: correct it", ticket, pl.lit(on_one_line(pattern, most=_MOST_SHOWN))
    )
    is_wrong = ~ticket.str.contains(_whole(pattern)) if pattern else pl.lit(value=False)
    return (
        pl.when(ticket == "")
        .then(pl.lit("the ticket is missing: give one in the column `ticket`"))
        .when(is_wrong)
        .then(wrong)
    )


def _said(cell: pl.Expr) -> pl.Expr:
    """Empty instead of a word for nothing, such as N/A."""
    return pl.when(cell.str.contains(SAYS_NOTHING)).then(pl.lit("")).otherwise(cell)


def _whole(pattern: str) -> str:
    return rf"^(?:{pattern})\z"


def _cell(rows: pl.DataFrame, name: str) -> pl.Expr:
    """The cells of a column without surrounding space; empty if there is no such column."""
    return pl.col(name).fill_null("").str.strip_chars() if name in rows.columns else pl.lit("")
