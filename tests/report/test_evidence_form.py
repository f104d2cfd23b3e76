"""The form of a manifest and of signatures: nothing that access-batch never writes is read any further."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from batch.report.evidence_form import manifest_faults, signatures_in
from batch.report.evidence_pack import as_document

if TYPE_CHECKING:
    from collections.abc import Iterator

DIGITS = "0123456789abcdef" * 4
MANIFEST: dict[str, Any] = {
    "format": "access-batch evidence 1",
    "made_at": "2026-11-30T06:08:34Z",
    "made_with": {"access-batch": "0.1.0", "python": "3.11.7"},
    "run": "b2f152d4a369",
    "ledger": "aae08110307e42ab99a612130e2b4fcb",
    "about": {
        "input": DIGITS,
        "run": ["[]", "v3", "2026-11-30T06:08:11.294Z"],
        "name": "acme",
        "token": None,
        "urls": [],
    },
    "head": {"before": "", "after": f"8:{DIGITS}"},
    "keys": [DIGITS],
    "totals": {
        "changes": 2,
        "standings": {"refused": 0, "provisioned": 2},
        "requests": {"ACCEPTED": 2},
        "attempts": 2,
        "events": 8,
    },
    "rows": {"columns": ["_file", "_line"], "identity_by": "auto", "read": 5, "unreadable": 0},
    "missing": {"plan": "it was not found"},
    "signed_by_people": 1,
    "settings_when_made": {"api": "v3", "rate": None, "strict": False, "timeout": 60.0, "where": ["a", "b"]},
    "files": {"report.csv": {"bytes": 879, "sha256": DIGITS, "packed_sha256": DIGITS}},
}
SIGNATURES: dict[str, Any] = {
    "machine": {"public": DIGITS, "signature": "aGFuZA=="},
    "people": [{"at": "2026-11-30T06:08:34Z", "signature": "aGFuZA=="}],
}
ODD: tuple[object, ...] = ({"x": {}}, [[]], [["x", []]], {"": [[0]]})
"""In no place of either."""


def test_what_access_batch_writes_has_the_form() -> None:
    assert [*manifest_faults(MANIFEST)] == []
    assert [*manifest_faults({**MANIFEST, "rows": None, "missing": {}})] == []
    assert signatures_in(as_document(SIGNATURES)) == SIGNATURES
    assert signatures_in(as_document({**SIGNATURES, "people": []}))["people"] == []


def test_whatever_is_missing_or_of_another_kind_is_named() -> None:
    for place in places(MANIFEST):
        for odd in ODD:
            assert [*manifest_faults(changed(MANIFEST, place, odd))], (place, odd)
    for name in MANIFEST.keys() - {"format"}:
        less = {other: value for other, value in MANIFEST.items() if other != name}
        assert [*manifest_faults(less)] == [f"manifest.json: '{name}' is missing"]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("totals", "attempts"), True),
        (("totals", "attempts"), 2.0),
        (("totals", "standings", "refused"), False),
        (("totals", "events"), "8"),
        (("totals", "events"), -8),
        (("rows", "read"), 5.0),
        (("files", "report.csv", "bytes"), 879.0),
        (("made_at",), "never"),
        (("made_at",), "2026-13-30T06:08:34Z"),
        (("run",), "b2f152d4a369\n"),
        (("head", "before"), "7:x"),
        (("head", "after"), f"08:{DIGITS}"),
        (("keys",), [DIGITS.upper()]),
    ],
)
def test_a_value_that_only_looks_like_it_is_named(place: tuple[str, ...], value: object) -> None:
    (fault,) = manifest_faults(changed(MANIFEST, place, value))
    assert fault.startswith(f"manifest.json: '{'.'.join(place)}")
    assert fault.endswith("is not as access-batch writes it")


@pytest.mark.parametrize("place", [(), ("about",), ("head",), ("totals",), ("rows",), ("files", "report.csv")])
def test_what_somebody_has_added_is_named(place: tuple[str, ...]) -> None:
    (fault,) = manifest_faults(changed(MANIFEST, (*place, "approved_by"), "CFO"))
    assert fault == f"manifest.json: '{'.'.join([*place, 'approved_by'])}' is nothing that access-batch writes"


def test_of_very_many_faults_some_are_named_and_none_at_length() -> None:
    faults = [*manifest_faults({**MANIFEST, **{f"{n}{'x' * 10_000}": 1 for n in range(1000)}})]
    assert 0 < len(faults) < 50
    assert max(map(len, faults)) < 200


def test_signatures_that_access_batch_never_writes_are_refused() -> None:
    person = SIGNATURES["people"][0]
    odd: list[Any] = [
        *(changed(SIGNATURES, place, odd) for place in places(SIGNATURES) for odd in (*ODD, None, 5, "", "é")),
        *({**SIGNATURES, "people": [{**person, "at": at}]} for at in ("never", "2026-11-30", "2026-02-30T06:08:34Z")),
        {**SIGNATURES, "people": [person] * 10_000},
        {**SIGNATURES, "approved_by": "CFO"},
        {"machine": SIGNATURES["machine"]},
        [],
    ]
    contents = [as_document(one) for one in odd]
    contents += [b"", b"\xff", b"[" * 200_000, b'{"a":' * 200_000, b"1" * 10_000, as_document(SIGNATURES) + b"\n"]
    for content in contents:
        with pytest.raises(ValueError, match=r"^signatures\.json was not written by access-batch$"):
            signatures_in(content)


def places(value: object, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document, but its root."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in pairs:
        yield (*above, name)
        yield from places(inner, (*above, name))


def changed(document: dict[str, Any], place: tuple[Any, ...], value: object) -> dict[str, Any]:
    """A copy of a document with another value in one place."""
    found = copy.deepcopy(document)
    inner: Any = found
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return found
