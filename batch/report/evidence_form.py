"""What the manifest and the signatures of an evidence pack look like. Pure.

Everything else reads them only once they have this form: no text, number or member that access-batch never writes is
shown, counted or compared.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from batch.report.evidence_pack import MANIFEST, SIGNATURES, as_document
from batch.text import moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LISTED: Final = 20
_MOST_PEOPLE: Final = 20
_MOST_SHOWN: Final = 80


def manifest_faults(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What of a manifest access-batch has not written like this."""
    try:
        _Manifest.model_validate(manifest)
    except ValidationError as error:
        for one in islice(error.errors(include_url=False, include_input=False, include_context=False), _LISTED):
            place = repr(".".join(map(str, one["loc"]))[:_MOST_SHOWN])
            why = _WHY.get(one["type"], "{} is not as access-batch writes it")
            yield f"{MANIFEST}: {why.format(place)}"


def signatures_in(content: bytes) -> dict[str, Any]:
    """The signatures of a pack.

    Args:
        content: Of their file.

    Raises:
        ValueError: access-batch has not written it.
    """
    try:
        document = json.loads(content)
        _Signatures.model_validate(document)
        is_ours = as_document(document) == content
    except (ValueError, RecursionError):
        is_ours = False
    if not is_ours:
        raise ValueError(f"{SIGNATURES} was not written by access-batch")
    found: dict[str, Any] = document
    return found


_WHY: Final = {"extra_forbidden": "{} is nothing that access-batch writes", "missing": "{} is missing"}


def _instant(text: str) -> str:
    if moment(text) is None:
        raise ValueError("there is no such instant")
    return text


_Digits = Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{64}\z")]
_Id = Annotated[str, StringConstraints(pattern=r"\A[0-9a-z-]{1,64}\z")]
_Head = Annotated[str, StringConstraints(pattern=r"\A[1-9][0-9]{0,17}:[0-9a-f]{64}\z")]
_Base64 = Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9+/]+={0,2}\z")]
_Moment = Annotated[
    str,
    StringConstraints(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\z"),
    AfterValidator(_instant),
]
_Count = Annotated[int, Field(ge=0, lt=1 << 63)]
_Single = str | int | float | bool | None


class _Part(BaseModel):
    # Strict: a number is no truth value, and 2 is not 2.0.
    model_config = ConfigDict(strict=True, extra="forbid")


class _Seal(_Part):
    public: _Digits
    signature: _Base64


class _Person(_Part):
    at: _Moment
    signature: _Base64


class _Signatures(_Part):
    machine: _Seal
    people: Annotated[list[_Person], Field(max_length=_MOST_PEOPLE)]


class _About(_Part):
    input: str
    run: Annotated[list[str], Field(min_length=3, max_length=4)]
    name: str
    token: str | None
    urls: list[str]


class _HeadPart(_Part):
    before: Literal[""]
    after: _Head


class _Totals(_Part):
    changes: _Count
    standings: dict[str, _Count]
    requests: dict[str, _Count]
    attempts: _Count
    events: _Count


class _Rows(_Part):
    columns: list[str]
    identity_by: str
    read: _Count
    unreadable: _Count


class _File(_Part):
    bytes: _Count
    sha256: _Digits
    packed_sha256: _Digits


class _Manifest(_Part):
    format: str
    made_at: _Moment
    made_with: dict[Literal["access-batch", "python"], str]
    run: _Id
    ledger: _Id
    about: _About
    head: _HeadPart
    keys: list[_Digits]
    totals: _Totals
    rows: _Rows | None
    missing: dict[Literal["plan", "rows", "results"], str]
    signed_by_people: _Count
    settings_when_made: dict[str, _Single | list[_Single]]
    files: dict[str, _File]
