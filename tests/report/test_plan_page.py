"""A plan as a page: whole, harmless, small, and readable without a mouse or eyes."""

from __future__ import annotations

import csv
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.names.known import KnownNames
from batch.report.page import MOST_LINES
from batch.report.plan_files import write_plan_files
from batch.report.plan_page import plan_page
from batch.status.approvals_ahead import ApprovalsAhead, Awaited
from batch.status.tenant_facts import ItemFacts
from tests.plan.changes import hex_id
from tests.report.plans import ROLE, line, view

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta"}


class Page(HTMLParser):
    """A page as a browser would take it apart; fails if elements are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data)


def page_of(*lines: str, **more: object) -> tuple[str, Page]:
    text = "".join(plan_page(view(*lines, **more)))  # type: ignore[arg-type]
    return text, Page(text)


APPROVALS = ApprovalsAhead(changes=2, known=2, by_approver=(Awaited(kind="OWNER", steps=2, owner="o", name="Olga"),))


def test_a_manager_reads_who_gets_what_and_what_is_left_out() -> None:
    names = KnownNames(people={hex_id(1): "Anna Lee"}, items={("ROLE", ROLE): "Clerk"})
    text, page = page_of(
        line(1, end="2030-01-01"),
        line(2, operation="REVOKE"),
        line(1, end="2030-01-01"),
        names=names,
        by="department",
        approvals=APPROVALS,
        warnings=["Mind the gap."],
    )
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert page.texts.count("Plan: 1 revoke and 1 grant for 2 people at https://acme.example") == 2, "title and heading"
    for words in ("Anna Lee", "role Clerk", "2030-01-01", "Sales", "Mind the gap.", "repeats line …"):
        assert words in page.texts
    assert "Olga, as owner of the item" in page.texts
    assert "Packing saves requests, not approvals and not e-mails." in page.texts
    assert "3 read, 2 part of the plan, 1 repeated" in page.texts


def test_a_screen_reader_finds_headings_captions_and_the_heads_of_rows_and_columns() -> None:
    _, page = page_of(line(1), line(2), by="department", approvals=APPROVALS)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("h1") == 1
    assert tags.count("table") == tags.count("caption") == tags.count("thead") == 6
    assert {attributes.get("scope") for tag, attributes in page.tags if tag == "th"} == {"col", "row"}
    assert dict(page.tags)["html"] == {"lang": "en"}


def test_the_page_asks_for_nothing_and_runs_nothing() -> None:
    text, page = page_of(line(1))
    assert not {"script", "link", "img", "iframe", "object", "a", "form"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name in {"src", "href", "onclick"}]
    assert "default-src 'none'" in text
    assert "url(" not in text
    assert "@import" not in text


@pytest.mark.thorough
@given(st.text(min_size=1, max_size=60))
def test_no_text_becomes_markup(text: str) -> None:
    evil = f"</td><script>alert(1)</script>{text}"
    facts = {"items": {("ROLE", ROLE): ItemFacts(name=evil, owner=evil)}}
    names = KnownNames(people={hex_id(1): evil}, items={})
    _, page = page_of(line(1), names=names, facts=facts, warnings=[evil])
    assert "script" not in {tag for tag, _ in page.tags}
    assert sum("<script>" in one for one in page.texts) == 6


def test_a_long_table_is_cut_with_a_sentence_that_names_the_file() -> None:
    lines = [line(person, item) for person in range(1, 70) for item in range(100, 140)]
    text, page = page_of(*lines)
    assert f"Only the first {MOST_LINES:,} are shown here: plan.csv has every change." in page.texts
    assert len(text) < 5_000_000
    whole, _ = page_of(*lines[:MOST_LINES])
    assert "Only the first" not in whole


def test_texts_without_end_do_not_make_the_page_large() -> None:
    names = KnownNames(people={hex_id(person): "<&>" * 700 for person in range(1, 3000)}, items={})
    text, _ = page_of(*(line(person) for person in range(1, 3000)), names=names)
    assert len(text) < 5_000_000
    assert "Only the first" in text


@pytest.fixture
def written(tmp_path: Path) -> list[dict[str, str]]:
    names = KnownNames(people={hex_id(1): "=cmd|' /C calc'!A0"}, items={("ROLE", ROLE): "+Clerk"})
    made = view(line(1), line(2, department="@x"), line(1), "GRANT,-1,ROLE,y,,,", names=names, by="department")
    files = write_plan_files(tmp_path, made, complain=pytest.fail)
    assert files == {"plan": str(tmp_path / "plan.csv"), "page": str(tmp_path / "plan.html")}
    with (tmp_path / "plan.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_csv_file_has_one_row_a_change_with_names_line_class_reason_and_request(
    written: list[dict[str, str]],
) -> None:
    found = [(row["_line"], row["_class"], row["_rule"], row["_reason"], row["_request"]) for row in written]
    assert found[:3] == [
        ("2", "submitted", "", "", "1"),
        ("3", "submitted", "", "", "1"),
        ("4", "duplicate_in_input", "", "repeats line 2 of in.csv", ""),
    ]
    assert found[3][:3] == ("5", "rejected", "identity_id_shape; item_id_shape")
    assert {row["_file"] for row in written} == {"in.csv"}


def test_no_cell_of_the_csv_file_is_a_formula(written: list[dict[str, str]]) -> None:
    cells = [cell for row in written for cell in row.values()]
    assert [cell for cell in cells if cell[:1] in {"=", "+", "-", "@"}] == []
    assert [row["_input_department"] for row in written] == ["Sales", "'@x", "Sales", ""]
    assert written[0]["_item_name"] == "'+Clerk"
