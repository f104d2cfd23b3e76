"""The report of a run: every change once, totals that add up, causes and waits; and nobody's name if redacted."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch.errors import BrokenPromiseError, SettingsError
from batch.report.run_count import run_view
from batch.report.run_page import MOST_DETAILS, run_page
from batch.report.run_report import require_ours, write_report
from batch.report.run_view import POOR, Standing
from batch.states import State
from tests.plan.changes import hex_id
from tests.report.run_records import ACCEPTED, ENDED, RUN, SENT, done, event, run_of
from tests.report.test_plan_page import Page

if TYPE_CHECKING:
    from pathlib import Path

    from batch.report.run_view import RunView

ANSWER = "the tenant answered 400: no such identity {} (tracking id {})"
STATES = ("EXECUTING", "REQUEST_COMPLETED", "REJECTED", "CANCELLED", "ERROR", "EXISTING_REQUEST", "NEW_STATE")


def page_of(view: RunView) -> tuple[str, Page]:
    text = "".join(run_page(view, csv_name="report.csv"))
    return text, Page(text)


def standings(view: RunView) -> dict[str, int]:
    return {one.value: view.of(one) for one in Standing if view.of(one)}


def test_each_change_stands_where_the_ledger_left_it() -> None:
    view = run_of(
        [
            done(1, 1, tenant_state="REQUEST_COMPLETED"),
            done(1, 2, tenant_state="REJECTED", who="Olga", said="no"),
            done(1, 3, tenant_state="CANCELLED"),
            done(1, 4, tenant_state="CANCELLED", said="a duplicate of another"),
            done(1, 5, tenant_state="ERROR"),
            done(1, 6, tenant_state="EXECUTING", who="Olga"),
            done(1, 7, tenant_state="EXECUTING"),
            done(1, 8, tenant_state="EXISTING_REQUEST"),
            done(1, 9),
            done(2, 10, state="REFUSED"),
            done(3, 11, state="UNCONFIRMED"),
            done(4, 12, state="SENDING"),
            done(5, 13, state="PLANNED"),
            done(6, 14, state="DISCARDED"),
            done(7, 15, state="SPLIT"),
        ]
    )
    assert standings(view) == {**dict.fromkeys(map(str, Standing), 1), "unconfirmed": 2}
    assert view.total == 15


def test_a_change_that_was_divided_or_sent_again_counts_once_as_its_newest() -> None:
    divided = [done(1, state="SPLIT"), done(2, parent=1, state="REFUSED"), done(3, tenant_state="REQUEST_COMPLETED")]
    assert standings(run_of(divided)) == {"provisioned": 1}
    assert standings(run_of([done(1), done(2, state="DISCARDED")])) == {"no_report": 1}
    spelled = [done(1, identity_id="aa-bb"), done(2, identity_id="AABB", tenant_state="REJECTED")]
    assert standings(run_of(spelled)) == {"rejected": 1}
    other = done(2, account='{"id":"x"}')
    assert run_of([done(1), other]).total == 2, "of another account, it is another change"


@given(
    st.lists(
        st.tuples(
            st.integers(1, 6),
            st.integers(1, 4),
            st.integers(1, 3),
            st.sampled_from([one.value for one in State]),
            st.sampled_from([None, *STATES]),
            st.sampled_from(["", "Olga", "Kate, Olga"]),
            st.sampled_from(["", "because"]),
        ),
        max_size=30,
        unique_by=lambda one: one[:3],
    )
)
def test_the_totals_add_up_to_the_changes(drawn: list[tuple[Any, ...]]) -> None:
    changes = [
        done(request, person, item, state=state, comment=comment)
        | ({"tenant_state": said, "who": who, "said": "", "since": ENDED} if said and state == "ACCEPTED" else {})
        for request, person, item, state, said, who, comment in drawn
    ]
    view = run_of(changes)
    keys = {(one["identity_id"], one["item_id"]) for one in changes}
    assert view.total == sum(standings(view).values()) == len(keys) == view.lines.height
    assert sum(one.changes for one in view.refusals) == view.of(Standing.REFUSED)
    assert sum(one.changes for one in view.approvers) == view.of(Standing.AWAITING)
    assert sum(one.total for one in view.items) == view.total
    text, _ = page_of(view)
    shown = [int(one) for one in re.findall(r'<td class="n(?: bad)?">(\d+)</td></tr>', text.split("</section>")[0])]
    assert sum(shown[:-1]) == sum(shown[-1:]) == view.total


def test_totals_that_do_not_add_up_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    view = run_of([done(1)])
    monkeypatch.setattr("batch.report.run_count._items", lambda _lines: [])
    with pytest.raises(BrokenPromiseError, match="by item"):
        run_of([done(1)])
    assert callable(run_view)
    assert view.total == 1


def test_a_change_has_its_times_its_access_request_and_its_line() -> None:
    reported = done(1, tenant_state="REQUEST_COMPLETED", who="Olga", comment="INC1")
    events = [event(1, 1, "claimed"), event(2, 1, "accepted", ACCEPTED)]
    view = run_of([reported], events, file=["in.csv"], line=["7"], person=["Kate"], item=["Clerk"])
    (line,) = view.lines.to_dicts()
    assert line["request"] == f"{RUN}-1-t"
    assert (line["sent_at"], line["accepted_at"], line["since"]) == (SENT, ACCEPTED, ENDED)
    assert line["access_request"] == "ar"
    _, page = page_of(view)
    for text in ("Kate", "role Clerk", "INC1", "7 of in.csv", "ar", "Olga", "2026-11-23 11:00 UTC"):
        assert text in page.texts


def test_what_arrived_as_a_part_was_sent_with_the_whole() -> None:
    found = event(2, 2, "found", found='{"access_requests": ["one"]}')
    view = run_of([done(1, 1, state="SPLIT"), done(2, 1, parent=1)], [event(1, 1, "claimed"), found])
    assert view.lines.select("sent_at", "access_request").row(0) == (SENT, "one")
    divided = [event(1, 1, "claimed"), event(2, 1, "taken_over", ACCEPTED)]
    view = run_of([done(1, 1, state="SPLIT"), done(2, 1, parent=1)], divided)
    assert view.lines.select("sent_at", "accepted_at").row(0) == (SENT, ACCEPTED)
    several = event(2, 2, "found", found='{"access_requests": ["one", "two"]}')
    view = run_of([done(1, 1, state="SPLIT"), done(2, 1, parent=1)], [event(1, 1, "claimed"), several])
    assert view.lines.item(0, "access_request") == "", "of two, nobody knows which it is"


def test_what_the_ledger_does_not_know_is_said_to_be_unknown() -> None:
    _, page = page_of(run_of([done(1)], about={"requesters": ("a", "b"), "imported": True}))
    assert page.texts.count("not known") >= 4
    assert "not known; these users have sent requests to this tenant with this ledger: a, b" in page.texts
    assert any("imported" in one for one in page.texts)
    _, page = page_of(run_of([]))
    assert "No changes." in page.texts
    assert "The ledger knows of no attempt to send." in page.texts


def test_refusals_are_grouped_by_what_the_tenant_said() -> None:
    people = range(1, 4)
    changes = [done(one, one, state="REFUSED") for one in people] + [done(9, 9, state="REFUSED")]
    events = [event(one, one, "refused", reason=ANSWER.format(hex_id(one), one * "f")) for one in people]
    events.append(event(9, 9, "refused", reason="the tenant answered 400: a form is needed"))
    view = run_of(changes, events)
    assert [(one.name, one.changes) for one in view.refusals] == [
        ("the tenant answered 400: no such identity …", 3),
        ("the tenant answered 400: a form is needed", 1),
    ]
    assert hex_id(2) in view.lines.item(1, "reason"), "each change keeps its own words"


def test_the_longest_wait_comes_first() -> None:
    waits = [("Late", "2026-11-23T23:00:00Z"), ("Never told", ""), ("Early", "2026-11-20T10:00:00Z"), ("Late", ENDED)]
    view = run_of(
        [done(1, n, tenant_state="EXECUTING", who=who, since=since) for n, (who, since) in enumerate(waits, start=1)]
    )
    assert [(one.name, one.changes, one.first) for one in view.approvers] == [
        ("Early", 1, "2026-11-20T10:00:00Z"),
        ("Late", 2, ENDED),
        ("Never told", 1, ""),
    ]
    _, page = page_of(view)
    assert {"4 days", "23 h 0 min"} <= set(page.texts)


def test_the_pace_is_that_of_the_busiest_window() -> None:
    times = [f"2026-11-23T10:00:{second:02}.000Z" for second in (0, 1, 2, 30, 55, 56)]
    events = [event(n, n, "claimed", at) for n, at in enumerate(times, start=1)]
    events += [event(90, 2, "claimed", times[1], within=1), event(91, 1, "not_processed", status=429)]
    pace = run_of([done(n, n) for n in range(1, 7)], events).pace
    assert (pace.posts, pace.throttled, pace.busiest) == (6, 1, 3), "what travels in another body is no attempt"
    assert pace.bars == (3, 0, 0, 1, 0, 2)


def test_the_timeline_counts_changes_by_time() -> None:
    reported = [done(1, n, tenant_state="REQUEST_COMPLETED", since=SENT if n == 1 else ENDED) for n in (1, 2, 3)]
    reported.append(done(1, 4, tenant_state="REJECTED", since=""))
    sent, accepted, provisioned, ended = run_of(reported, [event(1, 1, "claimed")]).timeline
    assert (sent.total, accepted.total, provisioned.total) == (4, 4, 3)
    assert [number for _, number in provisioned.points] == [1, 3]
    assert (ended.points, ended.untimed) == ((), 1)


def test_what_needs_attention_is_on_the_page_and_the_rest_in_the_file(tmp_path: Path) -> None:
    changes = [done(n, n, tenant_state="REQUEST_COMPLETED") for n in range(1, MOST_DETAILS + 200)]
    changes.append(done(9_999, 9_999, state="REFUSED", comment="look here"))
    view = run_of(changes)
    text, page = page_of(view)
    assert view.lines.item(0, "standing") in POOR
    assert "look here" in page.texts
    assert f"1,000 of {len(changes):,} changes; report.csv has every change" in text
    files = write_report(tmp_path / "r.html", view, pytest.fail)
    assert files == {"report": str(tmp_path / "r.html"), "changes": str(tmp_path / "r.csv")}
    with (tmp_path / "r.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == len(changes)


def test_the_page_asks_for_nothing_and_runs_nothing() -> None:
    text, page = page_of(run_of([done(1, tenant_state="REQUEST_COMPLETED")], [event(1, 1, "claimed")]))
    assert not {"script", "link", "img", "iframe", "object", "a", "form", "use", "image"} & {
        tag for tag, _ in page.tags
    }
    assert not [name for _, attributes in page.tags for name in attributes if name in {"src", "href", "onclick"}]
    assert "default-src 'none'" in text
    assert "url(" not in text
    assert [tag for tag, _ in page.tags if tag in {"h1", "h2", "h3"}][:2] == ["h1", "h2"]
    images = [attributes for tag, attributes in page.tags if tag == "svg"]
    titles = [attributes.get("id") for tag, attributes in page.tags if tag == "title"]
    assert images
    assert all(one["role"] == "img" and one["aria-labelledby"] in titles for one in images)


@given(st.text(min_size=1, max_size=40))
def test_no_text_becomes_markup(text: str) -> None:
    evil = f"</td></title><script>alert(1)</script>{text}"
    change = done(1, tenant_state="EXECUTING", comment=evil, who=evil, said=evil, access_request=evil)
    refused = done(2, 2, state="REFUSED")
    events = [event(1, 1, "claimed"), event(2, 2, "refused", reason=evil)]
    about = {"inputs": (evil,), "requesters": (evil,), "head": evil, "api": evil}
    names: dict[str, Any] = {one: [evil, evil] for one in ("person", "item", "file", "line")}
    _, page = page_of(run_of([change, refused], events, about=about, **names))
    assert "script" not in {tag for tag, _ in page.tags}
    assert sum("<script>" in one for one in page.texts) >= 10


MARK = st.text("bcdfghkmnpqrstvwxz", min_size=9, max_size=14)


@given(st.lists(MARK, min_size=8, max_size=8, unique=True), st.text(min_size=4))
def test_a_redacted_report_has_no_person_and_no_comment(tmp_path_factory: Any, marks: list[str], key: str) -> None:
    person, name, approver, comment, said, account, metadata, words = marks
    changes = [
        done(1, identity_id=person, tenant_state="EXECUTING", who=f"{approver}, {name}", comment=comment)
        | {"said": said, "account": account, "metadata": metadata},
        done(2, identity_id=person.upper(), item_id=hex_id(7), state="REFUSED", comment=comment),
    ]
    events = [event(1, 1, "claimed"), event(2, 2, "refused", reason=f"the tenant answered 400: {words} {person}")]
    about = {"inputs": (f"{name}.csv",), "requesters": (approver,)}
    shown: dict[str, Any] = {"person": [name, name], "file": [f"{name}.csv"] * 2, "line": ["1", "2"]}
    view = run_of(changes, events, redact=key, about=about, **shown)
    place = tmp_path_factory.mktemp("redacted") / "r.html"
    write_report(place, view, pytest.fail)
    both = (place.read_text("utf-8") + place.with_suffix(".csv").read_text("utf-8")).lower()
    assert not [mark for mark in marks if mark in both]
    assert view.lines.get_column("identity_id").n_unique() == 1, "the same person, however the id is spelled"
    assert view.lines.get_column("identity_id")[0] in view.lines.filter(view.lines["who"] != "").item(0, "who")
    assert view.refusals[0].name.startswith("the tenant answered 400: message-")


def test_pseudonyms_of_two_reports_differ() -> None:
    first, second = (run_of([done(1)], redact=key).lines.item(0, "identity_id") for key in ("one", "two"))
    assert first != second
    assert first == run_of([done(7)], redact="one").lines.item(0, "identity_id")


def test_a_report_replaces_only_a_report(tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    require_ours(page)
    write_report(page, run_of([done(1)]), pytest.fail)
    require_ours(page)
    page.with_suffix(".csv").write_text("identity,item\n")
    with pytest.raises(SettingsError, match="has not written it as a report"):
        require_ours(page)
    page.with_suffix(".csv").unlink()
    for content in ("<html>mine</html>", ""):
        page.write_text(content)
        with pytest.raises(SettingsError, match="has not written it as a report"):
            require_ours(page)
    with pytest.raises(SettingsError, match="is a name for the file with every change"):
        require_ours(tmp_path / "in.csv")


def test_texts_without_end_do_not_make_the_page_large() -> None:
    changes = [done(n, n, comment="<&>" * 700 + str(n)) for n in range(1, 1500)]
    text, _ = page_of(run_of(changes))
    assert len(text) < 5_000_000


def test_every_colour_of_the_page_can_be_read_on_its_paper() -> None:
    text, _ = page_of(run_of([done(1)]))
    palettes = re.findall(r"(--ink: #[^}]*)}", text)
    assert len(palettes) == 3, "light, dark and print"
    for palette in palettes:
        colours = dict(re.findall(r"--(\w+): #([0-9a-f]+)", palette))
        for name in ("ink", "quiet", "bad", "good", "sent"):
            light, dark = sorted((luminance(colours[name]), luminance(colours["paper"])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, colours)


def luminance(colour: str) -> float:
    """By WCAG 2.2."""
    digits = colour if len(colour) == 6 else "".join(2 * one for one in colour)
    shares = (int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4))
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
