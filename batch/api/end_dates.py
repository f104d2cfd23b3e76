"""How the API changes the end date of access that somebody holds: by a grant with the new date, or without one.

Source: `removeDate` of `createAccessRequest` in the vendor's OpenAPI documents: a grant without it, for access that has
an end date, removes that date.
"""

from __future__ import annotations

from typing import Final

EXTEND: Final = "EXTEND"
"""The word for a grant that only sets, changes or removes the end date of access that is held."""

NO_END: Final = "none"
"""In place of an end date: the grant has none, so that the present one is removed. A grant with no date at all wants
access, and is never sent to somebody who holds it already."""


def sent_end(remove_date: str) -> str:
    """The end date as it stands in a request; empty for none."""
    return "" if remove_date == NO_END else remove_date
