"""How numbers, times and words are written."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.view_models import formats

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("value", "signed", "text"),
    [
        ("12345.6", False, "12,345.60"),
        ("-3.2", False, "−3.20"),
        ("3.2", True, "+3.20"),
        ("0", True, "0.00"),
        ("-0.001", True, "0.00"),
        ("1000000", False, "1,000,000.00"),
        (7, False, "7.00"),
        (None, True, "–"),
        ("", True, "–"),
        ("a lot", True, "?"),
        ("NaN", False, "?"),
        ("Infinity", False, "?"),
        ("1E+900000", False, "?"),
        (True, False, "?"),
        ([1], False, "?"),
    ],
)
def test_money(value: object, signed: bool, text: str) -> None:
    assert formats.money(value, signed=signed) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("236.5", "236.50"),
        ("1.23456", "1.23456"),
        ("1.23456789", "1.234568"),
        ("100", "100.00"),
        ("1E+3", "1,000.00"),
        (178.02, "178.02"),
        (None, "–"),
        ("x", "?"),
    ],
)
def test_price(value: object, text: str) -> None:
    assert formats.price(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("1200", "1,200"), ("0.250", "0.25"), ("-40", "−40"), ("1E+2", "100"), ("0", "0"), (None, "–")],
)
def test_quantity(value: object, text: str) -> None:
    assert formats.quantity(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (812_400, "812K"),
        (4_251_000, "4.25M"),
        (1_900_000_000, "1.90B"),
        (999, "999"),
        (999_999, "1.00M"),
        (45_300_000, "45.3M"),
        (-2_000_000, "−2.00M"),
        (None, "–"),
    ],
)
def test_compact(value: object, text: str) -> None:
    assert formats.compact(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(4.8, "+4.80%"), (-0.2, "−0.20%"), (0, "0.00%"), (0.001, "0.00%"), (None, "–")]
)
def test_percent(value: object, text: str) -> None:
    assert formats.percent(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.42, "0.4 ms"), (12.4, "12 ms"), (1300, "1.3 s"), (None, "–")])
def test_milliseconds(value: object, text: str) -> None:
    assert formats.milliseconds(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (7200, "2 h"),
        (200_000, "2 d"),
        (None, "–"),
        (-3, "0 s"),
    ],
)
def test_age_is_never_rounded_up(seconds: float | None, text: str) -> None:
    assert formats.age(seconds) == text


def test_times_are_shown_on_the_markets_clock() -> None:
    at = "2018-03-02T15:04:30.250000Z"
    assert formats.clock(at, NEW_YORK) == "10:04:30"
    assert formats.clock(at, NEW_YORK, seconds=False) == "10:04"
    assert formats.day_of(at, NEW_YORK) == "Fri 2 Mar 2018"
    assert formats.zone_name(at, NEW_YORK) == "EST"
    assert formats.zone_name("2018-07-02T15:04:30Z", NEW_YORK) == "EDT"


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), ("", "–"), ("soon", "?"), ("2018-03-02T15:04:30", "?"), (17, "?")]
)
def test_a_time_that_is_none_is_seen(value: object, text: str) -> None:
    assert formats.clock(value, NEW_YORK) == text
    assert formats.day_of(value, NEW_YORK) == text


def test_seconds_between() -> None:
    assert formats.seconds_between("2018-03-02T15:00:00Z", "2018-03-02T15:01:30Z") == 90
    assert formats.seconds_between(None, "2018-03-02T15:01:30Z") is None


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("market_session", "Market session"),
        ("api", "API"),
        ("must_halt.data", "Must halt data"),
        ("avg_px", "Average price"),
        ("", "–"),
        (None, "–"),
    ],
)
def test_words(code: object, text: str) -> None:
    assert formats.words(code) == text


@pytest.mark.parametrize(
    ("value", "tone"), [("1", "ok"), ("-1", "bad"), ("0", ""), ("-0.004", ""), ("0.005", "ok"), (None, ""), ("x", "")]
)
def test_gain_tone(value: object, tone: str) -> None:
    assert formats.gain_tone(value) == tone


def test_plural() -> None:
    assert [formats.plural(n, "order") for n in (0, 1, 2)] == ["0 orders", "1 order", "2 orders"]


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.decimals(), st.lists(st.integers())
)


@given(ANYTHING)
def test_nothing_that_is_sent_can_empty_the_page(value: object) -> None:
    """A formatter that raised would blank every region: a broken field must read as broken instead."""
    for write in (formats.money, formats.price, formats.quantity, formats.percent, formats.compact, formats.ratio,
                  formats.whole, formats.milliseconds, formats.words, formats.gain_tone):  # fmt: skip
        assert isinstance(write(value), str)
    assert isinstance(formats.clock(value, NEW_YORK), str)
    assert isinstance(formats.day_of(value, NEW_YORK), str)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9))
def test_what_is_shown_is_what_was_sent(value: object) -> None:
    text = formats.money(str(value))
    assert formats.decimal(text.replace(",", "").replace("−", "-")) == formats.decimal(str(value))


@pytest.mark.parametrize(
    ("then", "now", "text"),
    [
        ("2018-03-02T17:59:00Z", "2018-03-02T18:02:00Z", "12:59:00"),
        ("2018-03-02T03:00:00Z", "2018-03-02T18:02:00Z", "Thu 22:00"),  # yesterday on the exchange's clock
        ("2018-02-24T20:58:02Z", "2018-03-02T18:02:00Z", "Sat 15:58"),
        ("2018-02-23T20:58:02Z", "2018-03-02T18:02:00Z", "23 Feb 15:58"),
        ("2017-12-29T20:58:02Z", "2018-03-02T18:02:00Z", "29 Dec 2017 15:58"),
        ("2018-03-03T18:00:00Z", "2018-03-02T18:02:00Z", "3 Mar 13:00"),
        ("2018-03-02T17:59:00Z", None, "12:59:00"),
        (None, "2018-03-02T18:02:00Z", "–"),
        ("noon", "2018-03-02T18:02:00Z", "?"),
    ],
)
def test_a_time_of_another_day_says_so(then: object, now: object, text: str) -> None:
    assert formats.dated(then, now, NEW_YORK) == text
