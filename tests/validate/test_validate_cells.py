"""Cells in canonical form: dates and metadata."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plan.changes import NOW, broken_rules, judged, only_change


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("2027-01-31", "2027-01-31T00:00:00Z"),
        (" 2027-01-31 ", "2027-01-31T00:00:00Z"),
        ("2027-01-31Z", "2027-01-31T00:00:00Z"),
        ("2027-01-31+01:00", "2027-01-30T23:00:00Z"),
        ("2027-01-31T09:00Z", "2027-01-31T09:00:00Z"),
        ("2027-01-31T09:00:00Z", "2027-01-31T09:00:00Z"),
        ("2027-01-31t09:00:00z", "2027-01-31T09:00:00Z"),
        ("2027-01-31 09:00:00Z", "2027-01-31T09:00:00Z"),
        ("2027-01-31 09:00:00 Z", "2027-01-31T09:00:00Z"),
        ("2027-01-31T09:00:00+02", "2027-01-31T07:00:00Z"),
        ("2027-01-31T09:00:00+0200", "2027-01-31T07:00:00Z"),
        ("2027-01-31T09:00:00+02:00", "2027-01-31T07:00:00Z"),
        ("2027-01-31T09:00:00-05:30", "2027-01-31T14:30:00Z"),
        ("2027-01-31 09:00 +0545", "2027-01-31T03:15:00Z"),
        ("2027-01-31T23:59:59-00:01", "2027-02-01T00:00:59Z"),
        ("2027-01-31T09:00:00.5Z", "2027-01-31T09:00:00.500Z"),
        ("2027-01-31T09:00:00,25Z", "2027-01-31T09:00:00.250Z"),
        ("2027-01-31T09:00:00.000Z", "2027-01-31T09:00:00Z"),
        ("2027-01-31T09:00:00.123456789+01:00", "2027-01-31T08:00:00.123Z"),
        ("2028-02-29", "2028-02-29T00:00:00Z"),
        ("9999-12-31", "9999-12-31T00:00:00Z"),
    ],
)
def test_a_date_is_sent_as_an_instant_in_utc(written: str, sent: str) -> None:
    assert only_change(remove_date=written)["remove_date"] == sent
    assert only_change("v2025", start_date=written)["start_date"] == sent


@pytest.mark.parametrize(
    "written",
    [
        "2027-02-29",
        "2027-13-01",
        "2027-00-10",
        "2027-01-32T09:00Z",
        "2027-01-31T25:00Z",
        "2027-01-31T24:00Z",
        "2027-01-31T09:60Z",
        "2027-01-31T09:00:61Z",
        "2027-01-31T09:00+25:00",
        "2027-01-31T09:00+02:60",
        "2027-1-3",
        "27-01-31",
        "20270131",
        "2027-W05-1",
        "2027-01-31T09Z",
        "2027-01-31T",
        "2027-01-31T09:00:00.Z",
        "2027-01-31T09:00:00Z Z",
        "01/31/2027",
        "31.01.2027",
        "31 Jan 2027",
        "tomorrow",
        "\u0662\u0660\u0662\u0667-\u0660\u0661-\u0663\u0661",
        "1801353600",
    ],
)
def test_text_that_is_no_iso_8601_date_is_unreadable(written: str) -> None:
    assert broken_rules(remove_date=written) == ["remove_date_readable"]


def test_an_impossible_date_without_a_zone_is_unreadable_too() -> None:
    assert "remove_date_readable" in broken_rules(remove_date="2027-02-30T09:00")


@pytest.mark.parametrize("written", ["2027-01-31T09:00", "2027-01-31 09:00:00", "2027-01-31T09:00:00.5"])
def test_a_time_of_day_without_a_zone_is_refused_not_guessed(written: str) -> None:
    assert broken_rules("v2025", start_date=written) == ["start_date_has_zone"]
    assert broken_rules("v2025", remove_date=written) == ["remove_date_has_zone"]


def test_an_instant_after_the_last_year_of_rfc_3339_is_never_sent() -> None:
    # In UTC this is the year 10000, for which RFC 3339 has no digits.
    validated = judged({"remove_date": "9999-12-31T23:59:59-01:00"})
    assert all(len(sent) == len("2027-01-31T00:00:00Z") for sent in validated.changes["remove_date"])


def test_dates_that_are_equal_when_sent_are_not_ordered() -> None:
    # Dates are sent with milliseconds at the finest.
    broken = broken_rules("v2025", start_date="2027-01-31T09:00:00.0001Z", remove_date="2027-01-31T09:00:00.0002Z")
    assert broken == ["start_before_remove"]


@pytest.mark.parametrize("name", ["start_date", "remove_date"])
def test_a_date_must_come_after_now_to_the_second(name: str) -> None:
    def at(instant: datetime) -> list[str]:
        return broken_rules("v2025", **{name: f"{instant:%Y-%m-%dT%H:%M:%SZ}"})

    assert at(NOW - timedelta(seconds=1)) == [f"{name}_in_future"]
    assert at(NOW) == [f"{name}_in_future"]
    assert at(NOW + timedelta(seconds=1)) == []


_ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@settings(max_examples=60)
@given(
    instants=st.lists(
        st.datetimes(datetime(2026, 11, 26), datetime(9000, 1, 1), timezones=_ZONES),  # noqa: DTZ001 - hypothesis wants them naive
        min_size=1,
        max_size=20,
    ),
    separator=st.sampled_from("Tt "),
)
def test_an_instant_is_the_same_in_every_zone(instants: list[datetime], separator: str) -> None:
    cells: list[dict[str, str | None]] = [{"remove_date": instant.isoformat(separator)} for instant in instants]
    validated = judged(*cells)
    sent = [datetime.fromisoformat(text) for text in validated.changes["remove_date"]]
    wanted = [instant.astimezone(UTC) for instant in instants]
    assert sent == [instant.replace(microsecond=instant.microsecond // 1000 * 1000) for instant in wanted]
    assert all(text.endswith("Z") for text in validated.changes["remove_date"])


def test_metadata_becomes_a_json_object_in_the_order_of_the_columns_without_blank_cells() -> None:
    cells: dict[str, str | None] = {
        "metadata.zone": "z", "comment": "c", "metadata.a": " padded ", "metadata.m": " ", "metadata.n": None,
    }  # fmt: skip
    assert only_change("beta", **cells)["metadata"] == '{"zone":"z","a":"padded"}'


def test_a_row_with_blank_metadata_has_none() -> None:
    validated = judged({"metadata.a": "1"}, {"metadata.a": " ", "metadata.b": ""}, {})
    assert validated.changes["metadata"].to_list() == ['{"a":"1"}', "", ""]


_PRINTABLE = st.text(st.characters(exclude_categories=["Cc", "Cs"], include_characters="\t\n"), max_size=8)


@settings(max_examples=60)
@given(
    metadata=st.dictionaries(_PRINTABLE.filter(lambda key: key.strip() == key != ""), _PRINTABLE, max_size=4),
)
def test_any_printable_metadata_can_be_read_back_from_its_json(metadata: dict[str, str]) -> None:
    cells: dict[str, str | None] = {f"metadata.{key}": value for key, value in metadata.items()}
    sent = only_change("beta", **cells)["metadata"]
    kept = {key: value.strip() for key, value in metadata.items() if value.strip()}
    assert list(json.loads(sent or "{}").items()) == list(kept.items())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ('say "hi"', 'a "b"'),
        ("back\\slash", "\\"),
        ("é", "naïve 🎉"),
        ("{}", "{}"),
        ("k", "a\nb\tc"),
        ("*", "^.*$"),
        ("a.b", ","),
    ],
)
def test_odd_keys_and_values_of_metadata_stay_as_they_are(key: str, value: str) -> None:
    cells: dict[str, str | None] = {f"metadata.{key}": value, "metadata.last": "1"}
    assert json.loads(only_change("beta", **cells)["metadata"]) == {key: value, "last": "1"}
