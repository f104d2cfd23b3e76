"""Date forms other than ISO 8601: what a format accepts, what it refuses, and the messages."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.errors import UsageError
from batch.read.date_forms import date_form, in_zone
from tests.plan.changes import broken_rules, judged, only_change


def sent(form: str, written: str) -> str:
    """The remove_date sent for a date written in a form."""
    return only_change(_dates=form, remove_date=written)["remove_date"]


def broken(form: str, written: str) -> list[str]:
    return broken_rules(_dates=form, remove_date=written)


@pytest.mark.parametrize(
    ("form", "written", "instant"),
    [
        ("us", "1/31/2027", "2027-01-31T00:00:00Z"),
        ("us", " 01/31/2027 ", "2027-01-31T00:00:00Z"),
        ("us", "3/4/2027", "2027-03-04T00:00:00Z"),
        ("US", "1/31/2027 9:05:07 GMT", "2027-01-31T09:05:07Z"),
        ("us", "01/31/2027 09:00:00 GMT+02:00", "2027-01-31T07:00:00Z"),
        ("us", "01/31/2027 09:00:00 z", "2027-01-31T09:00:00Z"),
        ("us", "01/31/2027 09:00:00 -0530", "2027-01-31T14:30:00Z"),
        ("eu", "3.4.2027", "2027-04-03T00:00:00Z"),
        ("eu", "31.01.2027 09:00:00 utc+01", "2027-01-31T08:00:00Z"),
        ("%d %b %Y", "31 JAN 2027", "2027-01-31T00:00:00Z"),
        ("%B %d, %Y", "march 4, 2027", "2027-03-04T00:00:00Z"),
        ("%d-%b-%y", "04-Sep-27", "2027-09-04T00:00:00Z"),
        ("%Y%m%d", "20270131", "2027-01-31T00:00:00Z"),
        ("%Y/%m/%d[ %H:%M %z]", "2027/1/31 23:30 +01:00", "2027-01-31T22:30:00Z"),
        ("%d%%%m%%%Y", "31%1%2027", "2027-01-31T00:00:00Z"),
        ("%d.%m.%Y (%H.%M%Z)", "31.01.2027 (9.00Z)", "2027-01-31T09:00:00Z"),
        ("%Y-%m-%d[ %H[:%M] %z]", "2027-01-31 9 Z", "2027-01-31T09:00:00Z"),
        ("iso", "2027-01-31", "2027-01-31T00:00:00Z"),
        ("excel", "46418", "2027-01-31T00:00:00Z"),
        ("Excel", "046418.0", "2027-01-31T00:00:00Z"),
        ("excel\x1fEurope/Berlin", "46418", "2027-01-30T23:00:00Z"),
        ("excel\x1fEurope/Berlin", "46418.4166666667", "2027-01-31T09:00:00Z"),
        ("iso\x1fEurope/Berlin", "2027-01-31", "2027-01-30T23:00:00Z"),
        ("iso\x1fEurope/Berlin", "2027-07-31T09:00", "2027-07-31T07:00:00Z"),
        ("iso\x1fEurope/Berlin", "2027-01-31T09:00Z", "2027-01-31T09:00:00Z"),
        ("iso\x1fAmerica/New_York", "2027-01-31T09:00:00.5", "2027-01-31T14:00:00.500Z"),
        ("us\x1fUTC", "1/31/2027 9:05:07", "2027-01-31T09:05:07Z"),
        ("%d.%m.%Y %H:%M\x1fEurope/Berlin", "31.1.2027 9:05", "2027-01-31T08:05:00Z"),
    ],
)
def test_a_date_in_its_form_is_sent_as_an_instant_in_utc(form: str, written: str, instant: str) -> None:
    assert sent(form, written) == instant


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("us", "2027-01-31"),
        ("us", "31/1/2027"),
        ("us", "2/29/2027"),
        ("us", "1/31/27"),
        ("us", "1/31/2027 09:00"),
        ("us", "1/31/2027 09:00:00 EST"),
        ("us", "1/31/2027 25:00:00 Z"),
        ("us", "\u0661/31/2027"),
        ("eu", "1/31/2027"),
        ("%Y%m%d", "2027112"),
        ("%d %b %Y", "31 January 2027"),
        ("%Y-%m-%d[ %Hh][ %Mm][ %Ss] %z", "2027-01-31 30m Z"),
        ("%Y-%m-%d[ %Hh][ %Mm][ %Ss] %z", "2027-01-31 9h 30s Z"),
        ("%d %b %Y", "31 Jan 12027"),
        ("excel", "2027-01-31"),
        ("excel", "60"),
        ("excel", "9999999"),
        ("excel", "46,418"),
        ("excel", "46418.5.1"),
        ("iso", "46418"),
        ("iso\x1fEurope/Berlin", "2027-02-30T09:00"),
    ],
)
def test_another_form_is_never_guessed(form: str, written: str) -> None:
    assert broken(form, written) == ["remove_date_readable"]


def test_a_time_without_a_zone_is_no_instant_in_any_form() -> None:
    assert broken("us", "1/31/2027 09:00:00") == ["remove_date_has_zone"]
    assert broken("excel", "46418.375") == ["remove_date_has_zone"]


@pytest.mark.parametrize(
    ("form", "written", "why"),
    [
        ("iso\x1fEurope/Berlin", "2027-03-28T02:30", "a time that the clocks in Europe/Berlin skip"),
        ("iso\x1fEurope/Berlin", "2027-10-31T02:30", "a time that the clocks in Europe/Berlin show twice"),
        ("us\x1fEurope/Berlin", "3/28/2027 02:30:00", "a time that the clocks in Europe/Berlin skip"),
        ("excel\x1fEurope/Berlin", "46474.104166667", "a time that the clocks in Europe/Berlin skip"),
        ("iso\x1fAmerica/Santiago", "2027-09-05", "at 00:00, which the clocks in America/Santiago skip"),
    ],
)
def test_a_time_that_clocks_show_never_or_twice_is_rejected_for_that(form: str, written: str, why: str) -> None:
    rejected = judged({"_dates": form, "remove_date": written}).rejected
    assert rejected["rule"].to_list() == ["remove_date_on_clock"]
    (message,) = rejected["message"].to_list()
    assert message == f"remove_date '{written}' is {why}: write another time, or add Z or +01:00"


def test_such_a_time_is_read_with_a_zone_of_its_own() -> None:
    assert sent("iso\x1fEurope/Berlin", "2027-03-28T02:30+01:00") == "2027-03-28T01:30:00Z"
    assert sent("iso\x1fEurope/Berlin", "2027-10-31T02:30+01:00") == "2027-10-31T01:30:00Z"


def test_the_message_shows_the_expected_form() -> None:
    message = judged({"_dates": "us", "remove_date": "2027-01-31"}).rejected["message"].item()
    assert message == ("remove_date '2027-01-31' is not a date: write 01/31/2027 or 01/31/2027 09:00:00 Z (us)")
    message = judged({"_dates": "%d %b %Y", "start_date": "soon"}, api="v2025").rejected["message"].item()
    assert message == "start_date 'soon' is not a date: write 31 Jan 2027 (%d %b %Y)"


def test_rows_of_one_input_may_differ_in_form() -> None:
    wanted = [("us", "2/3/2027"), ("eu", "2.3.2027"), (None, "2027-02-03"), ("eu", "2027-02-03")]
    found = judged(*({"_dates": form, "remove_date": written} for form, written in wanted))
    assert found.changes["remove_date"].to_list() == [
        "2027-02-03T00:00:00Z", "2027-03-02T00:00:00Z", "2027-02-03T00:00:00Z",
    ]  # fmt: skip
    assert found.rejected["message"].to_list() == [
        "remove_date '2027-02-03' is not a date: write 31.01.2027 or 31.01.2027 09:00:00 Z (eu)"
    ]


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ("", "has no year"),
        ("soon", "has no year"),
        ("%m/%d", "has no year"),
        ("%Y-%m", "has no day"),
        ("%Y-%m-%d %m", "has the month twice"),
        ("%Y-%y-%m-%d", "has the year twice"),
        ("%Y-%b-%m-%d", "has the month twice"),
        ("[%Y]-%m-%d", "has no year"),
        ("%Y-%m-%d %H:%M", "no zone"),
        ("%Y-%m-%d %H %z", "without both hour and minute"),
        ("%Y-%m-%d %M:%S %z", "without both hour and minute"),
        ("%Y-%m-%d %Q", "'%Q'"),
        ("%Y-%m-%d %", "'%'"),
        ("%Y-%m-%d[", "brackets"),
        ("%Y-%m-%d]", "brackets"),
        ("%Y-%m\t-%d", "can't be printed"),
        ("%Y-%m-%d" + "-" * 60, "longer than 60"),
    ],
)
def test_a_format_that_determines_no_instant_is_refused(form: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        date_form(form)
    assert why in caught.value.message
    assert caught.value.message.startswith("--date-format: ")
    assert "%m/%d/%Y" in caught.value.next_step


SEPARATORS = st.sampled_from(["/", ".", "-", ", ", " ", "|", "(", "*", "+", "\\", "^", "$", "é", "{"])
MOMENTS = st.datetimes(
    min_value=datetime(2027, 1, 1), max_value=datetime(2099, 12, 31), timezones=st.sampled_from(  # noqa: DTZ001 - bounds
        [UTC, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=9, minutes=30))]
    )
)  # fmt: skip


@settings(max_examples=30)
@given(st.permutations(["y", "m", "d"]), st.sampled_from("Yy"), st.sampled_from("mbB"), SEPARATORS, MOMENTS)
def test_dates_that_python_writes_in_a_format_are_read_back(
    order: list[str], year: str, month: str, separator: str, moment: datetime
) -> None:
    form = separator.join("%" + {"y": year, "m": month, "d": "d"}[part] for part in order) + " at %H:%M:%S %z"
    meant = moment.astimezone(UTC).replace(microsecond=0)
    assert sent(form, moment.strftime(form)) == meant.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.thorough
@settings(max_examples=30)
@given(st.dates(date(2027, 1, 1), date(2999, 12, 31)), st.sampled_from(["", "02"]))
def test_no_american_date_is_read_as_a_european_one(day: date, width: str) -> None:
    assert sent("us", f"{day.month:{width}}/{day.day:{width}}/{day.year}") == f"{day}T00:00:00Z"
    assert sent("eu", f"{day.day:{width}}.{day.month:{width}}.{day.year}") == f"{day}T00:00:00Z"
    assert broken("eu", f"{day.month:{width}}/{day.day:{width}}/{day.year}") == ["remove_date_readable"]


@pytest.mark.parametrize("name", ["iso", "eu", "excel"])
def test_a_form_keeps_the_zone_of_dates_that_name_none(name: str) -> None:
    assert date_form(in_zone(name, "Europe/Berlin")).time_zone == "Europe/Berlin"
    assert not date_form(in_zone(name, "")).time_zone
