"""Who is listed when, and what companies do to their shares: told as actions, and seen in the bars."""

from datetime import date
from decimal import Decimal

import polars as pl
import pytest

from qmworkbench.domain.corporate_actions import CorporateAction, action_order
from qmworkbench.domain.execution import ActivityKind
from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.market.demo import ANCHOR, DEMO_SYMBOLS, FIRST_DAY, MOST_SYMBOLS, demo_actions, demo_bars, demo_symbols

SEED = 7
MONTH = (date(2024, 3, 8), date(2024, 4, 8))
CALENDAR = SessionCalendar("XNYS")


@pytest.fixture(scope="module")
def actions() -> tuple[CorporateAction, ...]:
    return demo_actions(*MONTH, SEED, DEMO_SYMBOLS)


def only(actions: tuple[CorporateAction, ...], kind: ActivityKind, *, reverse: bool = False) -> CorporateAction:
    found = [
        action for action in actions if action.kind is kind and (not action.ratio or (action.ratio < 1) is reverse)
    ]
    assert found, kind
    return found[0]


def closes(day: date, symbol: str) -> float:
    """The last price of the session, as printed then."""
    return float(demo_bars(day, SEED, [symbol], history_days=0)["close"][-1])


def opens(day: date, symbol: str) -> float:
    bars = demo_bars(day, SEED, [symbol], history_days=0)
    local = pl.col("ts").dt.convert_time_zone("America/New_York").dt.time()
    return float(bars.filter(local >= pl.time(9, 30))["open"][0])


def test_a_month_brings_one_of_everything_and_a_dividend_most_days(actions: tuple[CorporateAction, ...]) -> None:
    kinds = [action.kind for action in actions]
    assert kinds.count(ActivityKind.SPLIT) == 2
    assert kinds.count(ActivityKind.SYMBOL_CHANGE) == 1
    assert kinds.count(ActivityKind.DELISTING) == 1
    assert len({action.ex_date for action in actions if action.kind is ActivityKind.DIVIDEND}) > 15
    assert list(actions) == sorted(actions, key=action_order)
    assert {action.source for action in actions} == {"demo:7"}


def test_actions_are_the_same_however_the_days_are_asked_for(actions: tuple[CorporateAction, ...]) -> None:
    by_day = [a for day in CALENDAR.sessions_between(*MONTH) for a in demo_actions(day, day, SEED, DEMO_SYMBOLS)]
    assert tuple(by_day) == actions
    few = set(demo_actions(*MONTH, SEED, 40))
    assert few <= set(actions)
    assert few


@pytest.mark.parametrize("reverse", [False, True])
def test_a_split_moves_the_price_and_tells_history_in_new_shares(
    actions: tuple[CorporateAction, ...], reverse: bool
) -> None:
    split = only(actions, ActivityKind.SPLIT, reverse=reverse)
    before = CALENDAR.previous_session(split.ex_date)
    was, ratio = closes(before, split.symbol), float(split.ratio)
    assert opens(split.ex_date, split.symbol) == pytest.approx(was / ratio, rel=0.4), "news apart"
    told = demo_bars(split.ex_date, SEED, [split.symbol], history_days=1)
    then = demo_bars(before, SEED, [split.symbol], history_days=0)
    local = pl.col("ts").dt.convert_time_zone("America/New_York")
    history = told.filter(local.dt.date() == before)
    assert history["close"][-1] == pytest.approx(was / ratio, abs=0.006)
    regular = then.filter(local.dt.time() >= pl.time(9, 30))
    assert history["volume"].sum() == pytest.approx(regular["volume"].sum() * ratio, rel=0.01)


def test_a_renamed_company_goes_on_under_its_new_ticker(actions: tuple[CorporateAction, ...]) -> None:
    change = only(actions, ActivityKind.SYMBOL_CHANGE)
    before = CALENDAR.previous_session(change.ex_date)
    assert change.symbol in demo_symbols(DEMO_SYMBOLS, before)
    after = demo_symbols(DEMO_SYMBOLS, change.ex_date)
    assert change.new_symbol in after
    assert change.symbol not in after
    assert opens(change.ex_date, change.new_symbol) == pytest.approx(closes(before, change.symbol), rel=0.12)
    history = demo_bars(change.ex_date, SEED, [change.new_symbol], history_days=1)
    assert history["symbol"].unique().to_list() == [change.new_symbol]
    assert history["close"][0] == pytest.approx(closes(before, change.symbol), rel=0.2)


def test_a_bought_company_hardly_moves_and_vanishes(actions: tuple[CorporateAction, ...]) -> None:
    gone = only(actions, ActivityKind.DELISTING)
    last = CALENDAR.previous_session(gone.ex_date)
    assert gone.symbol in demo_symbols(DEMO_SYMBOLS, last)
    assert gone.symbol not in demo_symbols(DEMO_SYMBOLS, gone.ex_date)
    assert gone.amount == 0, "the last price is paid"
    quiet = demo_bars(last, SEED, [gone.symbol], history_days=20)["close"]
    assert float(quiet.max()) / float(quiet.min()) < 1.03  # type: ignore[arg-type]
    announced = demo_bars(last, SEED, [gone.symbol], history_days=34)["close"]
    assert float(announced[-1]) / float(announced[0]) > 1.1


def test_a_new_company_comes_without_a_history(actions: tuple[CorporateAction, ...]) -> None:
    day = CALENDAR.next_session(only(actions, ActivityKind.DELISTING).ex_date)
    before, first = set(demo_symbols(DEMO_SYMBOLS, day)), CALENDAR.next_session(day)
    new = sorted(set(demo_symbols(DEMO_SYMBOLS, first)) - before)
    assert len(new) == 1
    bars = demo_bars(first, SEED, new, history_days=5)
    assert bars["ts"].dt.convert_time_zone("America/New_York").dt.date().unique().to_list() == [first]
    older = demo_bars(CALENDAR.next_session(first), SEED, new, history_days=5)
    assert older["ts"].dt.date().n_unique() == 2


def test_a_dividend_comes_off_the_price(actions: tuple[CorporateAction, ...]) -> None:
    """On average over many the ex-date's gap is lower by the amount: one alone drowns in the night's noise."""
    paid = demo_actions(date(2023, 1, 3), date(2023, 12, 29), SEED, 60)
    payers = [action for action in paid if action.kind is ActivityKind.DIVIDEND][:60]
    yields, gaps = [], []
    for action in payers:
        was = closes(CALENDAR.previous_session(action.ex_date), action.symbol)
        gaps.append(opens(action.ex_date, action.symbol) / was - 1)
        yields.append(float(action.amount) / was)
    assert 0.002 < sum(yields) / len(yields) < 0.010
    assert sum(gaps) / len(gaps) == pytest.approx(-sum(yields) / len(yields), abs=0.004)
    assert all(action.amount == action.amount.quantize(Decimal("0.01")) for action in payers)


def test_no_two_companies_ever_share_a_ticker() -> None:
    """Over ten years, forward and back, at every place of the cycle."""
    day = FIRST_DAY
    while day < date(2032, 1, 1):
        names = demo_symbols(MOST_SYMBOLS, day)
        assert len(set(names)) == len(names)
        assert MOST_SYMBOLS - 1 <= len(names) <= MOST_SYMBOLS
        for _ in range(13):
            day = CALENDAR.next_session(day)


def test_the_default_days_fortnight_shows_a_split_a_new_name_and_a_delisting() -> None:
    days = CALENDAR.sessions_between(ANCHOR, date(2024, 3, 22))
    kinds = {action.kind for action in demo_actions(days[0], days[-1], SEED, DEMO_SYMBOLS)}
    assert kinds == {ActivityKind.DIVIDEND, ActivityKind.SPLIT, ActivityKind.SYMBOL_CHANGE, ActivityKind.DELISTING}
