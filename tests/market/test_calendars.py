"""Sessions, half-days, holidays and the forex week, held to an independent record of the exchange's hours."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.market.calendars import CalendarUnknown, NotASession, SessionCalendar

NYSE, FX = SessionCalendar("XNYS"), SessionCalendar("FX")


def test_a_regular_day_in_winter_and_in_summer_time() -> None:
    winter, summer = NYSE.session_window(date(2018, 3, 9)), NYSE.session_window(date(2018, 3, 12))
    assert (winter.opens_at, winter.closes_at) == (
        datetime(2018, 3, 9, 14, 30, tzinfo=UTC),
        datetime(2018, 3, 9, 21, 0, tzinfo=UTC),
    )
    assert (summer.opens_at, summer.closes_at) == (
        datetime(2018, 3, 12, 13, 30, tzinfo=UTC),
        datetime(2018, 3, 12, 20, 0, tzinfo=UTC),
    )
    assert winter.length_s == summer.length_s == 390 * 60
    assert not winter.half_day


def test_a_half_day_closes_at_one() -> None:
    hours = NYSE.session_window(date(2018, 11, 23))
    assert hours.half_day
    assert hours.closes_at == datetime(2018, 11, 23, 18, 0, tzinfo=UTC)


def test_extended_hours_run_from_four_to_eight_in_new_york() -> None:
    hours = NYSE.session_window(date(2018, 3, 2))
    assert hours.extended_opens_at == datetime(2018, 3, 2, 9, 0, tzinfo=UTC)
    assert hours.extended_closes_at == datetime(2018, 3, 3, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("calendar", "day", "reason", "before", "after"),
    [
        (NYSE, date(2018, 3, 3), "Saturday", date(2018, 3, 2), date(2018, 3, 5)),
        (NYSE, date(2018, 3, 30), "Good Friday", date(2018, 3, 29), date(2018, 4, 2)),
        (NYSE, date(2018, 12, 5), "exceptional", date(2018, 12, 4), date(2018, 12, 6)),
        (FX, date(2018, 3, 11), "Sunday", date(2018, 3, 9), date(2018, 3, 12)),
        (FX, date(2018, 12, 25), "Christmas", date(2018, 12, 24), date(2018, 12, 26)),
    ],
)
def test_a_closed_day_says_why_and_names_its_neighbours(
    calendar: SessionCalendar, day: date, reason: str, before: date, after: date
) -> None:
    with pytest.raises(NotASession, match=reason) as refusal:
        calendar.session_window(day)
    assert (refusal.value.before, refusal.value.after) == (before, after)
    assert str(before) in str(refusal.value)
    assert str(after) in str(refusal.value)


def test_a_forex_session_is_named_by_the_day_it_ends() -> None:
    monday = FX.session_window(date(2018, 3, 12))
    assert monday.opens_at == datetime(2018, 3, 11, 21, 0, tzinfo=UTC)  # Sunday 17:00, summer time since that morning
    assert monday.closes_at == datetime(2018, 3, 12, 21, 0, tzinfo=UTC)
    assert FX.session_window(date(2018, 3, 9)).closes_at == datetime(2018, 3, 9, 22, 0, tzinfo=UTC)
    assert FX.session_of(datetime(2018, 3, 11, 21, 0, tzinfo=UTC)) == date(2018, 3, 12)
    assert FX.session_of(datetime(2018, 3, 11, 20, 59, tzinfo=UTC)) is None


@given(st.dates(date(2005, 1, 1), date(2030, 12, 31)))
def test_every_forex_session_lasts_24_hours_even_where_clocks_change(day: date) -> None:
    if FX.is_session(day):
        hours = FX.session_window(day)
        assert hours.length_s == 24 * 3600
        following = FX.session_window(FX.next_session(day))
        assert following.opens_at >= hours.closes_at
        assert FX.session_of(hours.opens_at) == day
        assert FX.session_of(hours.closes_at - timedelta(microseconds=1)) == day


@given(st.dates(date(1995, 1, 1), date(2035, 12, 31)), st.sampled_from([NYSE, FX]))
def test_previous_and_next_are_neighbours(day: date, calendar: SessionCalendar) -> None:
    before, after = calendar.previous_session(day), calendar.next_session(day)
    assert before < day < after
    between = calendar.sessions_between(before, after)
    assert between == ([before, day, after] if calendar.is_session(day) else [before, after])
    assert calendar.sessions_before(day, 3)[-1] == before
    assert len(calendar.sessions_before(day, 3)) == 3


def test_a_session_reaches_over_the_turn_of_a_decade() -> None:
    assert NYSE.sessions_before(date(2020, 1, 3), 3) == [date(2019, 12, 30), date(2019, 12, 31), date(2020, 1, 2)]


def test_session_of_an_exchange_is_its_local_day() -> None:
    assert NYSE.session_of(datetime(2018, 3, 2, 14, 0, tzinfo=UTC)) == date(2018, 3, 2)
    assert NYSE.session_of(datetime(2018, 3, 3, 1, 0, tzinfo=UTC)) == date(2018, 3, 2)  # still 20:00 in New York
    assert NYSE.session_of(datetime(2018, 3, 3, 6, 0, tzinfo=UTC)) is None


def test_what_is_not_a_time_or_not_a_date_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        NYSE.session_of(datetime(2018, 3, 2, 15, 0))  # noqa: DTZ001
    with pytest.raises(TypeError, match="session_of"):
        NYSE.is_session(datetime(2018, 3, 2, 15, 0, tzinfo=UTC))


def test_an_unknown_calendar_and_a_far_year_are_refused() -> None:
    with pytest.raises(CalendarUnknown, match="'NYSE2'"):
        SessionCalendar("NYSE2").is_session(date(2018, 3, 2))
    with pytest.raises(CalendarUnknown, match="XKRX does not reach"):
        SessionCalendar("XKRX").is_session(date(2055, 3, 2))


def test_exchange_holidays_and_half_days_agree_with_an_independent_record(shared_data: Path) -> None:
    entries = json.loads((shared_data / "lean_market_hours_database.json").read_text())["entries"]["Equity-usa-[*]"]
    first, last = date(2000, 1, 1), date(2026, 12, 31)
    holidays = {datetime.strptime(text, "%m/%d/%Y").date() for text in entries["holidays"]}  # noqa: DTZ007
    early = {datetime.strptime(text, "%m/%d/%Y").date() for text in entries["earlyCloses"]}  # noqa: DTZ007
    weekdays = [first + timedelta(days=k) for k in range((last - first).days + 1)]
    weekdays = [day for day in weekdays if day.weekday() < 5]
    assert [day for day in weekdays if NYSE.is_session(day) == (day in holidays)] == []
    sessions = NYSE.sessions_between(first, last)
    assert [day for day in sessions if NYSE.session_window(day).half_day != (day in early)] == []
