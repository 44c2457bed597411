"""The paragraphs: what a trade and a symbol that did not trade say, from hand-made events and rows."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from qmworkbench.analytics.explanations import explain_trade
from qmworkbench.analytics.symbol_day import SymbolDay, symbol_day
from qmworkbench.analytics.trades import closed_trades
from qmworkbench.analytics.untraded import explain_untraded
from qmworkbench.domain.events import Event, control, market
from qmworkbench.domain.events.market import WatchState
from qmworkbench.domain.events.orders import OrderChanged
from qmworkbench.domain.orders import Arc, OrdStatus
from qmworkbench.domain.sessions import BlockScope
from tests.analytics.frames import MINUTE, OPEN, ZONE, bars, fills_of, trades
from tests.analytics.session_events import ORB, denied, intended
from tests.service.samples import sample


def clock(at: datetime) -> str:
    return f"{at - timedelta(hours=5):%H:%M}"


def story(**given: Any) -> str:
    told = {
        "decided_at": OPEN + MINUTE, "decision_px": 10.0, "entry_slippage_bps": 3.0, "entry_fills": 1, "qty": 120.0,
        "opened_at": OPEN + 2 * MINUTE, "closed_at": OPEN + 4 * MINUTE, "setup": "range_high 9.98", "carried": False,
        "setup_kind": "opening-range long", "target_px": None, "trail_bps": None, "exit_decided_at": None,
        "exit_decision_px": None, "exit_slippage_bps": None, "exit_leg": "stop", "exit_px": 9.4, "gross_pnl": -60.0,
        "net_pnl": -62.0, "r_multiple": -1.24,
    }  # fmt: skip
    made = trades(told | given)
    path = bars("OPK", *[(10.0, 10.6, 9.4, 10.0)] * 5)
    row = closed_trades(made, fills_of(made), path, opens_at=OPEN, interval_s=60, zone=ZONE).row(0, named=True)
    day = symbol_day([found(rank=3), given_to()], "OPK")
    return explain_trade(row, day, clock, "USD")


def found(rank: int | None = 3, **more: Any) -> market.WatchlistChanged:
    given = {"at": OPEN, "symbol": "OPK", "state": WatchState.FOUND, "rank": rank, "verdicts": ()}
    made: market.WatchlistChanged = sample(market.WatchlistChanged, **(given | more))
    return made


def given_to(by: str = ORB) -> market.AssignmentMade:
    made: market.AssignmentMade = sample(market.AssignmentMade, at=OPEN + MINUTE, symbol="OPK", strategy_id=by)
    return made


def test_a_stopped_trade_reads_from_finding_to_result() -> None:
    assert story(exit_decision_px=9.41) == (
        "OPK long, orb-1: 09:30 found at rank 3 of the scan; 09:31 given to orb-1; 09:31 its long signal at 10.00 "
        "(range_high 9.98). 09:32 bought 120 at 10.00, 3.0 bps worse than decided. Stop 9.50 (1 R = 60.00 USD), no "
        "target. 09:34 stopped out at 9.40 after 2 min, 10.6 bps beyond its level. Best it was +1.2 R (10.60), worst "
        "-1.2 R (9.40). Net -62.00 USD after 2.00 fees, -1.24 R."
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"exit_leg": "target", "exit_px": 11.0}, "target reached at 11.00 after 2 min."),
        ({"exit_leg": "close"}, "closed with the session at 9.40 after 2 min."),
        (
            {"exit_leg": "exit", "exit_reason": "below VWAP", "exit_decided_at": OPEN + 3 * MINUTE,
             "exit_slippage_bps": -1.0},
            "left at 9.40 after 2 min (below VWAP), 60 s after deciding, 1.0 bps better than decided.",
        ),
        ({"trail_bps": 50}, "Stop 9.50, trailing 50 bps (1 R = 60.00 USD), no target."),
        ({"trail_bps": 50}, "stopped out by its trailing stop at 9.40"),
        ({"side": "sell", "initial_stop_px": 10.5}, "sold short 120 at 10.00"),
        ({"entry_fills": 3}, "at 10.00 in 3 fills, 3.0 bps worse"),
        ({"entry_slippage_bps": None}, "bought 120 at 10.00. Stop"),
        ({"entry_slippage_bps": 0.0}, "bought 120 at 10.00, as decided."),
        ({"initial_stop_px": None, "r_multiple": None, "target_px": 11.5}, "Target 11.50."),
        ({"recovered": True}, "Another process took the session over while it was held."),
        ({"flipped": True}, "The fill that closed it opened the opposite."),
        ({"carried": True, "decided_at": None}, "It was held already when this session began."),
    ],
)  # fmt: skip
def test_every_way_of_leaving_and_every_oddity_is_told(given: dict[str, Any], said: str) -> None:
    assert said in story(**given)


# --- what did not trade -------------------------------------------------------------------------------------------


def why(*events: Event, **more: Any) -> tuple[str, str]:
    told = explain_untraded(symbol_day(events, "OPK"), clock, **more)
    return told.stage, told.why


def test_no_bars_a_block_and_nothing_at_all() -> None:
    assert why(bars=0) == ("no bars", "OPK did not trade at all: the session has no bar of it.")
    block = control.SymbolBlocked(at=OPEN, symbol="OPK", scope=BlockScope.SESSION, by="ana", reason="earnings at noon")
    assert why(found(), block) == ("blocked", "OPK was blocked (session) by ana at 09:30: earnings at noon.")
    assert why()[0] == "unknown"


def test_an_entry_that_never_filled_says_how_it_ended() -> None:
    intent = intended("e1")
    assert why(intent)[1].endswith("it was still under way at the end of the record.")
    over = OrderChanged(
        at=OPEN, cl_ord_id="e1", arc=Arc.EXPIRE, status=OrdStatus.EXPIRED, cum_qty=Decimal(0), order_qty=Decimal(100),
        reason="the stop is on the wrong side of the open",
    )  # fmt: skip
    stage, told = why(intent, over)
    assert stage == "unfilled"
    assert told.startswith("orb-1 sent an entry for 100 OPK at ")
    assert told.endswith("it ended expired without a fill: the stop is on the wrong side of the open.")


def test_a_denial_in_a_halted_book_names_the_state() -> None:
    stage, told = why(*denied("e1", "trading_state"), *denied("e2", "trading_state"))
    assert (stage, told.split(" at ")[0]) == ("denied", "The Risk Manager denied orb-1's entry into OPK")
    assert told.endswith("as once before: trading_state (seen 5, limit 1).")


def test_a_signal_that_led_to_nothing_says_why_and_one_that_was_moot_does_not_count() -> None:
    raised = msgspec.structs.replace(
        sample(market.SignalRaised, signal_id="s", symbol="OPK", strategy_id=ORB), kind="entry_long"
    )
    moot = market.SignalIgnored(at=OPEN, signal_id="s", reason="an entry is already on its way")
    other = market.SignalIgnored(at=OPEN, signal_id="s", reason="a budget of 5.00 buys nothing at 1.25")
    assert why(raised, moot)[0] == "unknown"
    stage, told = why(raised, moot, other)
    assert (stage, told.rsplit(": ", 1)[1]) == ("ignored", "a budget of 5.00 buys nothing at 1.25.")


def test_a_candidate_nobody_took_and_one_that_expired() -> None:
    declined = market.AssignmentDeclined(at=OPEN, symbol="OPK", reason="the book owns 8 symbols, its limit")
    assert why(found(), declined) == (
        "declined",
        "The scan found OPK at 09:30 at rank 3, and no strategy took it: the book owns 8 symbols, its limit.",
    )
    over = found(None, state=WatchState.EXPIRED, reason="not among the candidates for 15 boundaries")
    assert why(found(), over)[1].endswith("; then it expired: not among the candidates for 15 boundaries.")


def test_a_day_gathers_only_its_own_symbol() -> None:
    day = symbol_day([found(), given_to(), intended("x", "AMD"), *denied("d", "buying_power", symbol="AMD")], "OPK")
    assert (day.entries, day.denied, len(day.found), day.owned[0].strategy_id) == ({}, [], 1, ORB)
    assert symbol_day([], "OPK") == SymbolDay("OPK")
