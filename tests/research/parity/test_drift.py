"""Many sessions' comparisons: within, outside or too few, in basis points and in R, newest window, costs taken off."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.research.parity.drift import OUTSIDE, TOO_FEW, WITHIN, Tolerance, drift
from qmworkbench.research.parity.parity import Level, Parity, StrategyParity
from qmworkbench.research.parity.parity_causes import Cause
from qmworkbench.research.parity.parity_difference import TradePair

FIRST = date(2024, 3, 4)
FREE = Tolerance(cost_bps=0.0)


def pair(expected: float | None = 50.0, recorded: float | None = 50.0, **fields: Any) -> TradePair:
    """A trade of 10,000 with a risk of 100."""
    at = datetime(2024, 3, 4, 15, tzinfo=UTC)
    usual: dict[str, Any] = {
        "strategy_id": "donchian-us",
        "symbol": "AAA",
        "side": "long",
        "expected_entry_at": at,
        "recorded_entry_at": at,
        "expected_exit_at": at,
        "recorded_exit_at": at,
        "expected_entry_px": 10.0,
        "recorded_entry_px": 10.0,
        "expected_exit_px": 10.05,
        "recorded_exit_px": 10.05,
        "expected_qty": 1000.0 if expected is not None else None,
        "recorded_qty": 1000.0 if recorded is not None else None,
        "expected_exit": "exit",
        "recorded_exit": "exit",
        "expected_pnl": expected,
        "recorded_pnl": recorded,
        "fees": 0.0,
        "slippage": 0.0,
        "notional": 10_000.0,
        "risk": 100.0,
        "carried": False,
        "open": False,
        "causes": (),
    }
    return TradePair(**(usual | fields))


def session(number: int, *pairs: TradePair, strategies: tuple[str, ...] = ("donchian-us",), **fields: Any) -> Parity:
    usual: dict[str, Any] = {
        "session_id": f"main-{number:02}",
        "session": FIRST + timedelta(days=number),
        "environment": "paper",
        "account_currency": "USD",
        "code_version": "1",
        "data_hash": "d",
        "levels": (Level(name="trade", compared=len(pairs), differ=0, unexplained=0),),
        "strategies": tuple(
            StrategyParity(
                strategy_id=name,
                definition_id=name.partition("-")[0],
                params_hash="p1",
                expected_trades=0,
                recorded_trades=0,
                matched=0,
                expected_pnl=0.0,
                recorded_pnl=0.0,
                unexplained_share=None,
            )
            for name in strategies
        ),
        "pairs": pairs,
        "differences": (),
        "pnl_by_cause": {},
        "expected_pnl": 0.0,
        "recorded_pnl": 0.0,
        "left_out": {},
    }
    return Parity(**(usual | fields))


def many(count: int, *pairs: TradePair) -> list[Parity]:
    return [session(number, *pairs) for number in range(count)]


def test_a_session_that_makes_what_its_backtest_makes_is_within() -> None:
    found = drift(many(5, *[pair()] * 5), FREE).strategies[0]
    assert (found.strategy, found.verdict, found.trades, found.sessions) == ("donchian", WITHIN, 25, 5)
    assert (found.mean_bps, found.error_bps, found.mean_r) == (0.0, 0.0, 0.0)
    assert found.params_hashes == ("p1",)


def test_drift_is_counted_in_basis_points_of_what_was_entered_and_in_risk() -> None:
    found = drift(many(4, *[pair(50.0, 30.0)] * 6), FREE)
    one = found.strategies[0]
    assert one.mean_bps == pytest.approx(-20.0)
    assert one.mean_r == pytest.approx(-0.2)
    assert one.verdict == OUTSIDE
    assert one.why == "a trade makes -20.0 bps against its backtest, ±10 may be; " + (
        "a trade makes -0.20 R against its backtest, ±0.15 may be"
    )
    assert not found.within


def test_the_costs_that_were_assumed_are_no_drift() -> None:
    sessions = many(4, *[pair(50.0, 30.0, fees=12.0, slippage=8.0)] * 6)
    one = drift(sessions, Tolerance(cost_bps=10.0)).strategies[0]
    assert one.mean_bps == pytest.approx(0.0)
    assert one.verdict == WITHIN
    assert (one.fees_bps, one.slippage_bps) == (pytest.approx(12.0), pytest.approx(8.0))


def test_a_smaller_trade_is_not_a_worse_one() -> None:
    half = pair(50.0, 25.0, recorded_qty=500.0, notional=5_000.0, risk=50.0, causes=(Cause.PARTIAL_FILL,))
    assert drift(many(4, *[half] * 6), FREE).strategies[0].mean_bps == pytest.approx(0.0)


@pytest.mark.parametrize("cause", [Cause.OPERATOR_ACTION, Cause.HALTED, Cause.REJECTED, Cause.TIMEOUT])
def test_what_somebody_did_is_counted_apart(cause: Cause) -> None:
    sessions = many(4, *[pair()] * 6, pair(50.0, -900.0, causes=(cause,)))
    found = drift(sessions, FREE).strategies[0]
    assert (found.trades, found.apart, found.mean_bps) == (24, 4, 0.0)


def test_what_was_not_assigned_says_nothing_and_what_nobody_explains_does() -> None:
    kept_out = pair(50.0, None, causes=(Cause.ALLOCATOR,))
    lost = pair(50.0, None, causes=(Cause.UNEXPLAINED,))
    found = drift(many(4, *[pair()] * 6, kept_out), FREE).strategies[0]
    assert (found.trades, found.apart, found.verdict) == (24, 4, WITHIN)
    found = drift(many(4, *[pair()] * 6, lost), FREE).strategies[0]
    assert (found.trades, found.unexplained, found.verdict) == (28, 4, OUTSIDE)
    assert found.why.startswith("14.3% of its trades are unexplained")


@pytest.mark.parametrize(("sessions", "trades"), [(4, 4), (2, 30), (0, 0)])
def test_too_few_are_not_judged(sessions: int, trades: int) -> None:
    found = drift(many(sessions, *[pair(50.0, -500.0)] * trades), FREE)
    assert [one.verdict for one in found.strategies] == [TOO_FEW] * bool(sessions)
    assert found.within


def test_the_newest_window_counts_and_the_points_show_how_it_got_there() -> None:
    early = [session(number, *[pair(50.0, -50.0)] * 5) for number in range(4)]
    late = [session(number, *[pair()] * 5) for number in range(4, 8)]
    found = drift([*late, *early], Tolerance(cost_bps=0.0, window=20)).strategies[0]
    assert (found.mean_bps, found.verdict) == (0.0, WITHIN)
    assert [point.session for point in found.points] == [FIRST + timedelta(days=number) for number in range(8)]
    assert found.points[0].mean_bps == pytest.approx(-100.0)
    assert found.points[5].mean_bps == pytest.approx(-50.0)
    assert found.points[-1].mean_bps == 0.0
    assert {point.own_trades for point in found.points} == {5}


def test_strategies_are_judged_by_themselves() -> None:
    two = ("donchian-us", "high-of-day")
    pairs = [*[pair()] * 6, *[pair(50.0, 0.0, strategy_id="high-of-day")] * 6]
    found = drift([session(number, *pairs, strategies=two) for number in range(4)], FREE)
    assert {one.strategy: one.verdict for one in found.strategies} == {"donchian": WITHIN, "high": OUTSIDE}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"bps": 0.0}, "tolerance bps is 0.0"),
        ({"r": float("nan")}, "tolerance r is nan"),
        ({"cost_bps": -1.0}, "tolerance cost_bps is -1.0"),
        ({"least_trades": 1}, "judges 1 trades"),
        ({"window": 5}, "in a window of 5"),
    ],
)
def test_a_tolerance_that_makes_no_sense_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Tolerance(**given)


@given(st.lists(st.floats(-500, 500), min_size=3, max_size=12), st.permutations(range(3)))
def test_the_order_of_the_sessions_does_not_matter(made: list[float], order: list[int]) -> None:
    sessions = [session(number, *[pair(0.0, pnl) for pnl in made]) for number in range(3)]
    found = drift([sessions[at] for at in order], Tolerance(least_trades=2, least_sessions=1))
    assert found == drift(sessions, Tolerance(least_trades=2, least_sessions=1))
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found
