"""Any input, read and planned: every row in exactly one class, every request legal, and exactly the wanted pairs.

The inputs consist of cells with known meanings. A model of the rules in plain Python, which shares no code with the
product, computes the expected result.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batch.api.dialects import DIALECTS
from batch.pipeline import classify_input, plan_fresh
from batch.read import LoadedInputs, read_loaded
from batch.read.inputs import Content
from batch.validate.rows import validate
from tests.plan.changes import RUN, bodies_of, hex_id, illegalities, in_odd_chunks, pairs_of

NOW: Final = datetime(2026, 11, 23, tzinfo=UTC)
BAD: Final = "bad"

# For each column, cells as people write them and their meaning; BAD if no row with the cell is valid.
OPERATIONS: Final = {
    "": "GRANT",
    "GRANT": "GRANT",
    " grant ": "GRANT",
    "Revoke": "REVOKE",
    "REVOKE": "REVOKE",
    "ADD": BAD,
}
IDENTITIES: Final = {
    **{hex_id(number): hex_id(number) for number in range(3)},
    " 2c918085-68c5-29c6-0168-ccA6f90c1313": "2c918085-68c5-29c6-0168-ccA6f90c1313",
    "0012": BAD,
    "": BAD,
}
TYPES: Final = {
    "ROLE": "ROLE",
    "role": "ROLE",
    "Access_Profile ": "ACCESS_PROFILE",
    "ENTITLEMENT": "ENTITLEMENT",
    "GROUP": BAD,
    "": BAD,
}
ITEMS: Final = [hex_id(number) for number in (0xA, 0xB, 0xC)]
COMMENTS: Final = {
    "": "",
    " ": "",
    "joiner": "joiner",
    'says "hi", twice; ok': 'says "hi", twice; ok',
    "two\nlines": "two\nlines",
    "bell\a": BAD,
}
DATES: Final = {
    "": "",
    "2027-01-31": "2027-01-31T00:00:00Z",
    "2027-01-31T01:00:00+01:00": "2027-01-31T00:00:00Z",
    "2027-06-30 12:00Z": "2027-06-30T12:00:00Z",
    "2025-01-31": BAD,
    "2027-02-30": BAD,
    "2027-01-31T09:00": BAD,
    "soon": BAD,
}
TICKETS: Final = {"": "{}", " T-1 ": '{"ticket": "T-1"}', 'T"2\\': '{"ticket": "T\\"2\\\\"}', "T\x02": BAD}

HEADERS: Final = [
    "operation",
    "identity_id",
    "item_type",
    "item_id",
    "comment",
    "start_date",
    "remove_date",
    "metadata.ticket",
]
Row = list[str]


@dataclass(frozen=True, kw_only=True)
class Input:
    """An input file: its records, some of them broken, and how it is written."""

    records: list[Row | str]
    delimiter: str
    quoting: int
    newline: str
    header: list[str]
    encoding: str


def mostly(good: list[str], others: list[str]) -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from(good), st.sampled_from(good), st.sampled_from(good), st.sampled_from(others))


def _cells(meanings: dict[str, str], *usual: str) -> st.SearchStrategy[str]:
    return mostly(list(usual), list(meanings))


_ITEM_CELLS = st.one_of(
    st.sampled_from(ITEMS),
    st.sampled_from(ITEMS),
    st.builds(str.join, st.sampled_from(["|", " | "]), st.lists(st.sampled_from(ITEMS), min_size=2, max_size=3)),
    st.sampled_from(["", f"{ITEMS[0]}|", f"{ITEMS[0]}||{ITEMS[1]}", f"{ITEMS[0]}|x", "1e5"]),
)
_ROWS = st.tuples(
    _cells(OPERATIONS, "GRANT", ""),
    _cells(IDENTITIES, *list(IDENTITIES)[:4]),
    _cells(TYPES, "ROLE", "ENTITLEMENT"),
    _ITEM_CELLS,
    _cells(COMMENTS, "", "joiner"),
    mostly([""], list(DATES)),
    _cells(DATES, "", "2027-01-31"),
    _cells(TICKETS, "", " T-1 "),
).map(list)
# `{0}` is the delimiter: too few cells, too many, a stray quote, and two empty lines.
_BROKEN = st.sampled_from(["lonely", "a{0}b", "{0}" * 9 + "x", 'a{0}b"c{0}d{0}e{0}f{0}g{0}h{0}i', "", "{0}" * 7])
_SOUND: Final[Row] = ["", hex_id(0), "ROLE", ITEMS[0], "", "", "", ""]
# There is always one row, because a file without rows is refused as a whole.
_RECORDS = st.lists(st.one_of(_ROWS, _ROWS, _ROWS, _ROWS, _BROKEN), max_size=12).map(lambda records: [*records, _SOUND])
_INPUTS = st.builds(
    Input,
    records=_RECORDS,
    delimiter=st.sampled_from(",;\t"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    newline=st.sampled_from(["\n", "\r\n"]),
    header=st.sampled_from([HEADERS, [f" {name.upper()} " if "." not in name else name for name in HEADERS]]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)


def written(file: Input) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=file.delimiter, quoting=file.quoting, lineterminator=file.newline)  # type: ignore[arg-type]
    writer.writerow(file.header)
    for record in file.records:
        if isinstance(record, str):
            out.write(record.format(file.delimiter) + file.newline)
        else:
            writer.writerow(record)
    return out.getvalue().encode(file.encoding)


# The oracle.

Meaning = dict[str, Any]


def is_blank(record: Row | str) -> bool:
    return not record.replace("{0}", "") if isinstance(record, str) else not any(cell.strip() for cell in record)


def meaning(row: Row, *, later_api: bool) -> Meaning | None:
    """The intention of a row; None if it breaks a rule."""
    operation, identity, kind, items, comment, start, end, ticket = row
    parts = [part.strip() for part in items.split("|")]
    wanted = {
        "operation": OPERATIONS[operation],
        "identity": IDENTITIES[identity],
        "kind": TYPES[kind],
        "comment": COMMENTS[comment],
        "start": DATES[start],
        "end": DATES[end],
        "metadata": TICKETS[ticket],
    }
    is_revoke = wanted["operation"] == "REVOKE"
    broken = (
        BAD in wanted.values()
        or any(part not in ITEMS for part in parts)
        or (is_revoke and not wanted["comment"])
        or (wanted["start"] and (is_revoke or not later_api))
        or (wanted["end"] and wanted["kind"] == "ENTITLEMENT" and not later_api)
        or (wanted["start"] and wanted["end"] and wanted["start"] >= wanted["end"])
    )
    return None if broken else {**wanted, "items": parts}


def expected(file: Input, *, later_api: bool) -> tuple[Counter[str], Counter[tuple[str, ...]]]:
    """The number of rows by class, and every pair to request with its comment, dates and metadata."""
    records = [record for record in file.records if not is_blank(record)]
    meanings = [None if isinstance(record, str) else meaning(record, later_api=later_api) for record in records]
    intentions: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for wanted in meanings:
        for item in wanted["items"] if wanted else ():
            key = (wanted["identity"], wanted["kind"], item)  # type: ignore[index] # an empty loop where there is none
            intentions.setdefault(key, set()).add((wanted["operation"], wanted["start"], wanted["end"]))  # type: ignore[index]
    classes: Counter[str] = Counter()
    pairs: Counter[tuple[str, ...]] = Counter()
    taken: set[tuple[str, ...]] = set()
    for wanted in meanings:
        if wanted is None:
            classes["rejected"] += 1
            continue
        found = set()
        for item in wanted["items"]:
            key = (wanted["identity"], wanted["kind"], item)
            if len(intentions[key]) > 1:
                found.add("conflict_in_input")
            elif key in taken:
                found.add("duplicate_in_input")
            else:
                found.add("submitted")
                taken.add(key)
                rest = (wanted[name] for name in ("comment", "start", "end", "metadata"))
                pairs[(wanted["operation"], *key, *rest)] += 1
        classes[next(name for name in ("submitted", "conflict_in_input", "duplicate_in_input") if name in found)] += 1
    return classes, pairs


@pytest.mark.thorough
@settings(max_examples=25)
@given(file=_INPUTS, api=st.sampled_from(["beta", "v2025"]))
@example(
    file=Input(
        records=[
            ["GRANT", hex_id(1), "ROLE", "|".join(ITEMS), "two\nlines", "", "2027-01-31", ""],
            "lonely",
            ["", hex_id(1), "role", ITEMS[0], "", "", "2027-01-31T01:00:00+01:00", " T-1 "],
            "",
            ["Revoke", hex_id(1), "ROLE", ITEMS[1], "joiner", "", "2027-01-31", ""],
            ["Revoke", hex_id(2), "ROLE", ITEMS[1], "", "", "", ""],
        ],
        delimiter=";",
        quoting=csv.QUOTE_MINIMAL,
        newline="\r\n",
        header=HEADERS,
        encoding="utf-8",
    ),
    api="beta",
)
def test_every_row_has_one_class_and_the_plan_requests_exactly_the_wanted_pairs(file: Input, api: str) -> None:
    later_api = api != "beta"
    classes, pairs = expected(file, later_api=later_api)

    table = read_loaded(LoadedInputs((Content("in.csv", written(file)),), "digest"))
    dialect = DIALECTS[api]
    validated = validate(table.rows, dialect=dialect, now=NOW)
    classified = classify_input(table, validated, plans=None, tenant="t", run=RUN)
    plan = plan_fresh(classified, dialect)

    assert {name.value: count for name, count in classified.rows.items() if count} == classes
    assert sum(classified.rows.values()) == sum(not is_blank(record) for record in file.records)

    rejected = classified.rejected["row"].to_list()
    changed = classified.changes["row"].unique().to_list()
    assert sorted([*rejected, *changed]) == list(range(table.rows.height)), "each row is rejected or has changes"

    bodies = bodies_of(plan.changes)
    assert [illegalities(body, later_api=later_api) for body in bodies] == [[]] * plan.requests
    assert pairs_of(bodies) == pairs
    assert set(pairs.values()) <= {1}
    assert plan.lower_bound <= plan.requests


@pytest.mark.thorough
@settings(max_examples=15)
@given(file=_INPUTS, api=st.sampled_from(["beta", "v2025"]))
def test_the_same_input_gives_the_same_plan(file: Input, api: str) -> None:
    def planned() -> Any:
        table = read_loaded(LoadedInputs((Content("in.csv", written(file)),), "digest"))
        validated = validate(table.rows, dialect=DIALECTS[api], now=NOW)
        return plan_fresh(classify_input(table, validated, plans=None, tenant="t", run=RUN), DIALECTS[api]).changes

    assert planned().equals(planned())


def test_several_files_are_one_input_whose_rows_keep_their_files_and_lines() -> None:
    text = "identity_id,item_type,item_id\n"
    first = text + f"{hex_id(1)},ROLE,{ITEMS[0]}\n" + "x\n"
    second = text + f"\n{hex_id(1)},ROLE,{ITEMS[0]}\n" + f"{hex_id(2)},ROLE,{ITEMS[0]}\n"
    contents = (Content("a.csv", first.encode()), Content("b.csv", second.encode()))
    table = read_loaded(LoadedInputs(contents, "digest"))
    validated = validate(table.rows, dialect=DIALECTS["beta"], now=NOW)
    classified = classify_input(table, validated, plans=None, tenant="t", run=RUN)
    assert classified.changes.select("file", "line", "class", "reason").rows() == [
        ("a.csv", 2, "submitted", ""),
        ("b.csv", 3, "duplicate_in_input", "repeats line 2 of a.csv"),
        ("b.csv", 4, "submitted", ""),
    ]
    assert Counter({name.value: count for name, count in classified.rows.items() if count}) == Counter(
        submitted=2, rejected=1, duplicate_in_input=1
    )
    assert plan_fresh(classified, DIALECTS["beta"]).requests == 1


def test_validated_rows_in_odd_chunks_are_classified_alike() -> None:
    rows = "".join(f"{hex_id(number)},ROLE,{ITEMS[number % 2]}|{ITEMS[2]}\n" for number in (1, 2, 1))
    table = read_loaded(LoadedInputs((Content("in.csv", f"identity_id,item_type,item_id\n{rows}".encode()),), "digest"))
    validated = validate(table.rows, dialect=DIALECTS["beta"], now=NOW)
    odd = type(validated)(changes=in_odd_chunks(validated.changes), rejected=validated.rejected)
    whole = classify_input(table, validated, plans=None, tenant="t", run=RUN)
    assert classify_input(table, odd, plans=None, tenant="t", run=RUN).changes.equals(whole.changes)
