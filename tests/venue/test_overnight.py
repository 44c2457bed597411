"""What the venue books between two sessions: shares, names, dividends, payouts, interest (§14)."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.domain.corporate_actions import CorporateAction, exact_ratio
from qmworkbench.domain.execution import AccountActivity, ActivityKind
from qmworkbench.domain.instruments import forex_pair
from qmworkbench.domain.orders import OrdStatus, Side, TimeInForce
from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.venue.costs import VenueModel, ideal
from qmworkbench.venue.exchange import Exchange, VenueError
from qmworkbench.venue.financing import Financing, nights_between
from tests.venue.worlds import OLDER, OPEN, World, bracket

FRIDAY, MONDAY, TUESDAY = date(2018, 3, 2), date(2018, 3, 5), date(2018, 3, 6)
GTC = TimeInForce.GTC


def action(kind: ActivityKind, symbol: str = "AAA", ex_date: date = MONDAY, **more: object) -> CorporateAction:
    return CorporateAction(kind=kind, symbol=symbol, ex_date=ex_date, **more)  # type: ignore[arg-type]


def split(ratio: str, symbol: str = "AAA", ex_date: date = MONDAY) -> CorporateAction:
    return action(ActivityKind.SPLIT, symbol, ex_date, ratio=exact_ratio(ratio))


def rename(symbol: str, new: str, ex_date: date = MONDAY) -> CorporateAction:
    return action(ActivityKind.SYMBOL_CHANGE, symbol, ex_date, new_symbol=new)


class Nights(World):
    """A world whose sessions have dates."""

    def __init__(self, path: Path | str = ":memory:", **more: object) -> None:
        super().__init__(path=path, open_now=False, **more)  # type: ignore[arg-type]
        self.exchange.open_session("friday", OPEN, day=FRIDAY)
        if "instruments" not in more:
            self.feed({"AAA": (100,) * 4, "BBB": (50,) * 4})

    def night(self, *actions: CorporateAction, day: date = MONDAY) -> Sequence[AccountActivity]:
        """Close, and open the session of `day`; what was booked in between."""
        self.end()
        known = max((told.cursor for told in self.exchange.activities(0)), default=0)
        at = OPEN + timedelta(days=(day - FRIDAY).days)
        self.exchange.open_session(day.isoformat(), at, day=day, actions=actions)
        self.minute = (day - FRIDAY).days * 1440 - 1
        return self.exchange.activities(known)

    def stands(self) -> dict[str, tuple[D, D]]:
        return {held.symbol: (held.qty, held.avg_px) for held in self.exchange.positions()}


@pytest.fixture
def world() -> Nights:
    return Nights()


class TestSplits:
    def test_seven_for_one_keeps_money_and_cost(self, world: Nights) -> None:
        world.buy("in", 100)
        world.bars((700, 700, 700, 700))
        before = world.exchange.account()
        (told,) = world.night(split("7"))
        assert (told.kind, told.qty_before, told.qty_after, told.ratio) == (ActivityKind.SPLIT, D(100), D(700), D(7))
        assert (told.amount, told.px, told.effective) == (D(0), D(100), "2018-03-05")
        assert world.stands() == {"AAA": (D(700), D(100))}
        after = world.exchange.account()
        assert (after.cash, after.equity) == (before.cash, before.equity)

    @pytest.mark.parametrize(
        ("held", "ratio", "whole", "paid"),
        [
            (101, "0.125", "12", "500.0"),  # 12.625 shares: five eighths of one at 8 times 100
            (-101, "0.125", "-12", "-500.0"),  # who is short pays for the fraction
            (300, "1:3", "100", None),
            (301, "1:3", "100", "99.99999900"),  # a third at 300, to eight places of a share
            (5, "1:10", "0", "500.0"),
        ],
    )
    def test_a_fraction_is_paid_at_the_last_price(
        self, world: Nights, held: int, ratio: str, whole: str, paid: str | None
    ) -> None:
        world.send("in", Side.BUY if held > 0 else Side.SELL, abs(held))
        world.bars((100, 100, 100, 100))
        before = world.exchange.account()
        told = world.night(split(ratio))
        assert world.qty() == D(whole)
        assert [activity.amount for activity in told[1:]] == ([] if paid is None else [D(paid)])
        assert abs(world.exchange.account().equity - before.equity) < D("0.00001")

    def test_no_profit_of_the_new_session_comes_of_it(self, world: Nights) -> None:
        world.buy("in", 101)
        world.bars((100, 100, 100, 100), (110, 110, 110, 110))
        world.night(split("0.125"))
        account = world.exchange.account()
        assert (account.realized_pnl, account.fees) == (D(0), D(0))
        assert account.cash == D(1000000) - 10100 + D("0.625") * 880
        with closing(_books(world)) as db:
            (realized,) = db.execute("SELECT realized_pnl FROM activities WHERE kind = 'cash_in_lieu'").fetchone()
        assert D(realized) == D("0.625") * 80

    def test_resting_legs_go_on_in_new_shares_and_never_nearer_to_the_market(self, world: Nights) -> None:
        world.buy("in", 100, legs=bracket("in", stop=631.05, target=770.05, tif=GTC))
        world.bars((700, 700, 700, 700))
        world.night(split("7"))
        stop, target = (world.exchange.order(name)[0] for name in ("in/stop", "in/target"))
        assert stop is not None
        assert target is not None
        assert (stop.order_qty, stop.leaves_qty, stop.stop_px) == (D(700), D(700), D("90.15"))  # 90.15 exactly
        assert (target.order_qty, target.leaves_qty, target.limit_px) == (D(700), D(700), D("110.01"))  # 110.0071…
        world.bars((90.16, 91, 90.15, 91))
        assert world.fills()[-1][1:] == ("-700", "90.15")
        assert world.qty() == 0

    def test_a_reverse_split_leaves_legs_for_whole_shares_alone(self, world: Nights) -> None:
        world.buy("in", 101, legs=bracket("in", stop=90.01, target=110.01, tif=GTC))
        world.bars((100, 100, 100, 100))
        world.night(split("1:3"))
        stop, _ = world.exchange.order("in/stop")
        assert stop is not None
        assert (stop.leaves_qty, stop.stop_px) == (D(33), D("270.03"))
        world.bars((271, 271, 270, 270))
        assert world.qty() == 0
        assert list(world.exchange.open_orders()) == []

    @pytest.mark.parametrize(
        ("side", "limit", "stop", "expected"),
        [
            (Side.BUY, 95.01, None, "13.57"),  # 13.5728…, a buy limit down
            (Side.SELL, 105.01, None, "15.01"),  # 15.0014…, a sell limit up… to 15.01
            (Side.BUY, None, 105.01, "15.01"),  # a buy stop up
            (Side.SELL, None, 95.01, "13.57"),  # a sell stop down
        ],
    )
    def test_an_entry_that_rests_is_restated_without_a_position(
        self, world: Nights, side: Side, limit: float | None, stop: float | None, expected: str
    ) -> None:
        world.bars((100, 100, 100, 100))
        world.send("rest", side, 10, limit=limit, stop=stop, tif=GTC)
        (told,) = world.night(split("7"))
        assert (told.qty_before, told.qty_after) == (D(0), D(0))
        found, _ = world.exchange.order("rest")
        assert found is not None
        assert found.leaves_qty == D(70)
        assert D(expected) in (found.limit_px, found.stop_px)

    def test_an_order_of_less_than_a_share_is_called_off(self, world: Nights) -> None:
        world.bars((100, 100, 100, 100))
        world.buy("rest", 5, limit=95, tif=GTC)
        world.night(split("1:10"))
        found, _ = world.exchange.order("rest")
        assert found is not None
        assert found.ord_status is OrdStatus.CANCELED
        assert world.said("rest")[-1].reason == "corporate_action"

    def test_a_partly_filled_order_keeps_its_history_in_new_shares(self) -> None:
        world = Nights()
        world.bars((100, 100, 100, 100))
        world.buy("rest", 100, limit=95, tif=GTC)
        world.exchange._books.fill(world.exchange._books.orders["rest"], D(40), D(95), OPEN)
        world.exchange._books.commit()
        world.night(split("2"))
        found, _ = world.exchange.order("rest")
        assert found is not None
        assert (found.order_qty, found.cum_qty, found.leaves_qty, found.avg_px) == (D(200), D(80), D(120), D("47.5"))

    def test_a_trailing_stop_trails_from_the_same_height(self, world: Nights) -> None:
        world.buy("in", 10, legs=bracket("in", trail=1000, tif=GTC))
        world.bars((100, 120, 100, 120))
        world.night(split("2"))
        stop, _ = world.exchange.order("in/stop")
        assert stop is not None
        assert stop.stop_px == D("54.00")


class TestDividends:
    @pytest.mark.parametrize(("qty", "paid"), [(100, "47.00"), (-100, "-47.00")])
    def test_holders_are_paid_and_the_short_pays(self, world: Nights, qty: int, paid: str) -> None:
        world.send("in", Side.BUY if qty > 0 else Side.SELL, abs(qty))
        world.bars((100, 100, 100, 100))
        before = world.exchange.account().cash
        (told,) = world.night(action(ActivityKind.DIVIDEND, amount=D("0.47"), source="table"))
        assert (told.kind, told.amount, told.px) == (ActivityKind.DIVIDEND, D(paid), D("0.47"))
        assert told.detail == "0.47 a share (table)"
        assert world.exchange.account().cash - before == D(paid)

    def test_it_goes_to_the_shares_of_the_evening_before_a_split(self, world: Nights) -> None:
        world.buy("in", 100)
        world.bars((100, 100, 100, 100))
        told = world.night(split("2"), action(ActivityKind.DIVIDEND, amount=D(1)))
        assert [(a.kind, a.qty_after) for a in told] == [(ActivityKind.DIVIDEND, D(100)), (ActivityKind.SPLIT, D(200))]
        assert told[0].amount == D(100)

    def test_who_holds_nothing_gets_nothing(self, world: Nights) -> None:
        world.bars((100, 100, 100, 100))
        assert world.night(action(ActivityKind.DIVIDEND, amount=D(1)), split("2")) == []


class TestNames:
    def test_position_orders_and_mark_move_to_the_new_name(self, world: Nights) -> None:
        world.buy("in", 100, legs=bracket("in", stop=90, tif=GTC))
        world.bars((100, 100, 100, 100), (105, 105, 105, 105))
        equity = world.exchange.account().equity
        (told,) = world.night(rename("AAA", "NEW"))
        assert (told.symbol, told.new_symbol, told.qty_after) == ("AAA", "NEW", D(100))
        assert world.stands() == {"NEW": (D(100), D(100))}
        stop, _ = world.exchange.order("in/stop")
        assert stop is not None
        assert stop.symbol == "NEW"
        assert world.exchange.account().equity == equity

    def test_the_venue_goes_on_with_a_name_nobody_lists(self, tmp_path: Path) -> None:
        world = Nights(tmp_path / "venue.db")
        world.buy("in", 100)
        world.bars((100, 100, 100, 100))
        world.night(rename("AAA", "NEW"))
        world.restart()
        assert world.stands() == {"NEW": (D(100), D(100))}
        world.exchange.close()

    def test_names_handed_on_in_one_night_do_not_mix(self, world: Nights) -> None:
        world.buy("one", 100)
        world.bars((100, 100, 100, 100))
        world.buy("two", 7, symbol="BBB")
        world.bars((50, 50, 50, 50), symbol="BBB")
        world.night(rename("AAA", "BBB"), rename("BBB", "CCC"))
        assert world.stands() == {"BBB": (D(100), D(100)), "CCC": (D(7), D(50))}

    def test_a_circle_of_names_is_refused_and_nothing_happens(self, world: Nights) -> None:
        world.buy("one", 100)
        world.bars((100, 100, 100, 100))
        with pytest.raises(VenueError, match=r"AAA to BBB, BBB to AAA.*correct the table"):
            world.night(rename("AAA", "BBB"), rename("BBB", "AAA"))
        assert world.stands() == {"AAA": (D(100), D(100))}
        assert world.exchange.session == ("friday", False)

    def test_a_name_that_joins_another_adds_to_it(self, world: Nights) -> None:
        world.buy("one", 100)
        world.bars((100, 100, 100, 100))
        world.buy("two", 50, symbol="BBB")
        world.bars((40, 40, 40, 40), symbol="BBB")
        world.night(rename("AAA", "BBB"))
        assert world.stands() == {"BBB": (D(150), D(80))}


class TestDelisting:
    @pytest.mark.parametrize(("amount", "px"), [("87", "87"), ("0", "86.5")])
    def test_a_position_is_paid_out(self, world: Nights, amount: str, px: str) -> None:
        world.buy("in", 100, legs=bracket("in", stop=70, tif=GTC))
        world.bars((80, 80, 80, 80), (86.5, 86.5, 86.5, 86.5))
        (told,) = world.night(action(ActivityKind.DELISTING, amount=D(amount)))
        assert (told.qty_after, told.px, told.amount) == (D(0), D(px), 100 * D(px))
        assert world.stands() == {}
        assert list(world.exchange.open_orders()) == []
        assert world.said("in/stop")[-1].reason == "delisted"
        assert world.exchange.account().cash == 1000000 + 100 * (D(px) - 80)


class TestWhen:
    def test_the_same_session_opens_once(self, world: Nights) -> None:
        world.buy("in", 100)
        world.bars((100, 100, 100, 100))
        told = world.night(split("2"))
        at = OPEN + timedelta(days=3)
        world.exchange.open_session(MONDAY.isoformat(), at, day=MONDAY, actions=[split("2")])
        assert (world.exchange.activities(0), world.qty()) == (told, D(200))

    def test_days_that_were_missed_are_made_up_in_order(self, world: Nights) -> None:
        world.buy("in", 100)
        world.bars((100, 100, 100, 100))
        later, gone = split("2", "NEW", TUESDAY), split("3", ex_date=FRIDAY)
        told = world.night(later, rename("AAA", "NEW"), gone, split("5", "NEW", date(2018, 3, 9)), day=date(2018, 3, 8))
        assert [(a.kind, a.symbol) for a in told] == [("symbol_change", "AAA"), ("split", "NEW")]
        assert world.stands() == {"NEW": (D(200), D(50))}

    def test_a_session_without_a_date_books_nothing(self, world: Nights) -> None:
        world.buy("in", 100)
        world.bars((100, 100, 100, 100))
        world.end()
        world.exchange.open_session("undated", OPEN + timedelta(days=3), actions=[split("2")])
        assert (world.exchange.activities(0), world.qty()) == ([], D(100))

    def test_numbers_go_on_with_those_of_the_reports(self, tmp_path: Path) -> None:
        world = Nights(tmp_path / "venue.db")
        world.buy("in", 101, legs=bracket("in", stop=90, tif=GTC))
        world.bars((100, 100, 100, 100))
        world.night(split("1:8"), action(ActivityKind.DIVIDEND, amount=D(1)))
        world.restart()
        cursors = [told.cursor for told in (*world.exchange.reports(0), *world.exchange.activities(0))]
        assert len(set(cursors)) == len(cursors)
        assert world.exchange.account().cursor == max(cursors)
        ids = [told.activity_id for told in world.exchange.activities(0)]
        assert len(ids) == len(set(ids)) == 3
        assert [a.activity_id for a in world.exchange.activities(world.exchange.activities(0)[0].cursor)] == ids[1:]
        world.exchange.close()

    def test_old_books_are_taken_over(self, tmp_path: Path) -> None:
        world = Nights(tmp_path / "venue.db")
        world.buy("in", 100)
        world.bars((100, 100, 100, 100))
        world.end()
        world.exchange.close()
        with closing(sqlite3.connect(world.path)) as db:
            db.executescript(
                f"{OLDER[4]}{OLDER[3]}DROP TABLE activities; DROP TABLE listings;"
                "UPDATE account SET session_id = 'main-2018-03-02';"
                "ALTER TABLE account DROP COLUMN session_date; PRAGMA user_version = 1;"
            )
        with Exchange(world.path, world.instruments, world.model, "USD", D(1)) as again:
            again.open_session("main-2018-03-05", OPEN + timedelta(days=3), day=MONDAY, actions=[split("2")])
            assert [told.kind for told in again.activities(0)] == [ActivityKind.SPLIT]


class TestFinancing:
    @staticmethod
    def world(pair: str, model: VenueModel, px: float, side: Side, qty: int = 10000) -> Nights:
        world = Nights(instruments=[forex_pair(pair)], model=model, cash="1000000")
        world.exchange.set_rates({forex_pair(pair).currency: D("0.01")} if pair.endswith("JPY") else {}, OPEN)
        world.bars((px,) * 4, symbol=pair)
        world.send("in", side, qty, symbol=pair)
        world.bars((px,) * 4, symbol=pair)
        return world

    TERMS = VenueModel(
        name="t",
        schedules=ideal().schedules,
        financing=Financing(markup_pct=D(1), annual_pct={"EUR": D(0), "USD": D(2), "JPY": D(0)}),
    )

    @pytest.mark.parametrize(
        ("pair", "side", "px", "paid"),
        [
            ("EURUSD", Side.BUY, 1.2, D(-360) / 365),  # 12,000 USD at -2 % and 1 % markup, one night
            ("EURUSD", Side.SELL, 1.2, D(120) / 365),  # +2 % less 1 %
            ("USDJPY", Side.BUY, 100, D(100) / 365),  # 1,000,000 JPY at +1 %, one yen a cent
        ],
    )
    def test_a_pair_earns_one_currency_and_pays_the_other(self, pair: str, side: Side, px: float, paid: D) -> None:
        world = self.world(pair, self.TERMS, px, side)
        before = world.exchange.account()
        (told,) = world.night()
        assert told.kind is ActivityKind.FINANCING
        assert told.amount == paid.quantize(D("0.00000001"))
        assert world.exchange.account().cash - before.cash == told.amount
        assert "1 night: earns" in told.detail

    def test_the_ideal_venue_and_shares_pay_nothing(self, world: Nights) -> None:
        world.buy("in", 100)
        world.bars((100, 100, 100, 100))
        assert world.night() == []
        assert self.world("EURUSD", ideal(), 1.2, Side.BUY).night() == []

    def test_nobody_pays_for_a_night_without_a_position(self) -> None:
        world = self.world("EURUSD", self.TERMS, 1.2, Side.BUY)
        world.close_long("flat", 10000, symbol="EURUSD")
        world.bars((1.2,) * 4, symbol="EURUSD")
        assert world.stands() == {}
        assert world.night() == []

    @pytest.mark.parametrize(
        ("pair", "last", "session", "nights"),
        [
            ("EURUSD", date(2018, 3, 5), date(2018, 3, 6), 1),
            ("EURUSD", date(2018, 3, 7), date(2018, 3, 8), 3),  # a Wednesday's roll carries the weekend
            ("EURUSD", date(2018, 3, 9), date(2018, 3, 12), 1),  # held over the weekend itself: it is paid already
            ("USDCAD", date(2018, 3, 7), date(2018, 3, 8), 1),
            ("USDCAD", date(2018, 3, 8), date(2018, 3, 9), 3),  # value the next day: Thursday carries it
            ("EURUSD", date(2015, 12, 22), date(2015, 12, 23), 4),  # value moves over Christmas and a weekend
            ("EURUSD", date(2015, 12, 24), date(2015, 12, 28), 1),
            ("EURUSD", date(2018, 3, 5), date(2018, 3, 12), 7),  # a week the platform slept through
        ],
    )
    def test_nights_are_counted_by_value_dates(self, pair: str, last: date, session: date, nights: int) -> None:
        assert nights_between(forex_pair(pair), last, session) == nights

    @given(st.dates(date(2014, 1, 1), date(2019, 12, 31)), st.integers(1, 400))
    @settings(max_examples=60, deadline=None)
    def test_nights_add_up_to_the_calendar(self, first: date, days: int) -> None:
        market = SessionCalendar("FX")
        sessions = market.sessions_between(first, first + timedelta(days=days))
        pair = forex_pair("EURUSD")
        each = [nights_between(pair, a, b) for a, b in pairwise(sessions)]
        assert all(nights >= 1 for nights in each)
        if sessions:
            assert sum(each) == nights_between(pair, sessions[0], sessions[-1])


@given(
    qty=st.integers(1, 5000),
    above=st.integers(1, 30),
    below=st.integers(1, 30),
    cents=st.integers(100, 500000),
    side=st.sampled_from(Side),
)
@settings(max_examples=60, deadline=None)
def test_no_split_makes_or_loses_money(qty: int, above: int, below: int, cents: int, side: Side) -> None:
    world = Nights(cash="1000000000")
    px = cents / 100
    world.send("in", side, qty)
    world.bars((px,) * 4)
    before = world.exchange.account()
    told = world.night(split(f"{above}:{below}"))
    after = world.exchange.account()
    assert abs(after.equity - before.equity) <= D("0.000001") * qty * max(above, below)
    assert after.cash - before.cash == sum(activity.amount for activity in told)
    assert world.qty() == int(world.qty())
    assert abs(world.qty()) == qty * above // below


def _books(world: World) -> sqlite3.Connection:
    """A look into the books' own tables."""
    copy = sqlite3.connect(":memory:")
    world.exchange._store._db.backup(copy)
    return copy


def test_the_stamp_is_the_opening(world: Nights) -> None:
    world.buy("in", 100)
    world.bars((100, 100, 100, 100))
    (told,) = world.night(split("2"))
    assert told.transact_time == datetime(2018, 3, 5, OPEN.hour, OPEN.minute, tzinfo=UTC)
