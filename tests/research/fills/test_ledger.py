"""What fills come to: the account at every bar, trades, fills on common times."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.research.fills.fill_kernel import simulate
from qmworkbench.research.fills.ledger import account_of, aligned, fill_table, trade_table
from qmworkbench.research.fills.tape import Terms
from tests.research.backtests.backtest_cases import decisions, flat_bars, tape

COSTS = Terms(fee_rate=0.001, fee_per_order=1.0, fee_per_unit=0.01, slippage_rate=0.002)


def stepped() -> list:
    return [(10.0 + k, 10.5 + k, 9.5 + k, 10.2 + k) for k in range(6)]


def test_a_round_trip_to_the_cent() -> None:
    of, decided = tape("A", stepped()), decisions(6, long=[0], leave_long=[3], stop={0: 8.0})
    decided = replace(decided, qty=np.where(decided.entry_long, 100.0, 0.0))
    done = simulate(of, decided, COSTS)
    row = trade_table([of], [decided], [done], 60).row(0, named=True)
    into, out = 11 * 1.002, 14 * 0.998
    fees = 100 * into * 0.001 + 1 + 1 + 100 * out * 0.001 + 1 + 1
    assert row["entry_px"] == pytest.approx(into)
    assert row["exit_px"] == pytest.approx(out)
    assert row["pnl"] == pytest.approx(100 * (out - into) - fees)
    assert row["fees"] == pytest.approx(fees)
    assert row["r_multiple"] == pytest.approx(row["pnl"] / (100 * (into - 8.0)))
    assert (row["reason"], row["bars"], row["open"]) == ("exit", 3, False)
    assert row["mae_pct"] == pytest.approx((10.5 / into - 1) * 100)
    assert row["mfe_pct"] == pytest.approx((out / into - 1) * 100), "of the last bar only its open was seen"
    assert row["entry_ts"] == datetime(2018, 3, 5, 14, 31, tzinfo=UTC)
    account = account_of([of], [done], 10_000.0)
    assert account.equity[-1] == pytest.approx(10_000 + row["pnl"])
    assert account.fees[-1] == pytest.approx(fees)
    assert account.held.tolist() == [0, 1, 1, 1, 0, 0]
    assert account.equity[2] == pytest.approx(10_000 - 100 * into - fees / 2 + 100 * 12.2, abs=0.2)


def test_what_is_still_held_is_valued_and_told_as_open() -> None:
    of, decided = tape("A", stepped()), decisions(6, short=[2], flat_at_close=False)
    row = trade_table([of], [decided], [simulate(of, decided, Terms())], 60).row(0, named=True)
    assert (row["side"], row["open"], row["reason"]) == ("short", True, None)
    assert row["pnl"] == pytest.approx(13.0 - 15.2)
    assert row["exit_ts"] == datetime(2018, 3, 5, 14, 36, tzinfo=UTC), "its last bar's close"


def test_a_turn_is_two_trades_that_share_the_fee() -> None:
    of = tape("A", stepped())
    decided = replace(decisions(6, long=[0], short=[2], reverse=True), qty=np.array([30.0, 0, 10.0, 0, 0, 0]))
    done = simulate(of, decided, Terms(fee_per_order=4.0))
    told = trade_table([of], [decided], [done], 60)
    assert told["qty"].to_list() == [30.0, 10.0]
    assert told["fees"].to_list() == pytest.approx([4 + 3, 1 + 4])
    assert told["reason"].to_list() == ["opposite_entry", "flat_at_close"]
    account = account_of([of], [done], 1_000.0)
    assert account.equity[-1] == pytest.approx(1_000 + told["pnl"].sum())
    assert account.net[3] < 0 < account.gross[3]


def test_fills_are_in_order_of_time_phase_and_symbol() -> None:
    one, other = tape("B", stepped()), tape("A", flat_bars(6))
    pair = [decisions(6, long=[0], stop={0: 9.6}), decisions(6, long=[0], leave_long=[2])]
    fills = [simulate(of, said, Terms()) for of, said in zip([one, other], pair, strict=True)]
    told = fill_table([one, other], fills)
    assert told["symbol"].to_list() == ["A", "B", "A", "B"]
    assert told["phase"].to_list() == ["open", "open", "open", "close"]
    assert told.schema["ts"].time_zone == "UTC"  # type: ignore[attr-defined]


def test_on_common_times_a_silent_symbol_keeps_its_last_close() -> None:
    one, other = tape("A", stepped()), tape("B", flat_bars(3, 5.0), at=[1, 2, 5])
    said = decisions(3, long=[0], flat_at_close=False)
    done = [simulate(one, decisions(6), Terms()), simulate(other, said, Terms())]
    tapes, fills = aligned([one, other], done)
    assert [len(of) for of in tapes] == [6, 6]
    assert tapes[1].volume.tolist() == [0.0, 1e6, 1e6, 0.0, 0.0, 1e6]
    assert fills[1].at.tolist() == [2]
    whole = account_of([one, other], done, 100.0)
    assert np.array_equal(whole.equity, account_of(tapes, fills, 100.0).equity)


@given(seed=st.integers(0, 100_000))
@settings(max_examples=40)
def test_the_account_is_cash_and_what_trades_made(seed: int) -> None:
    chance = np.random.default_rng(seed)
    tapes, said, fills = [], [], []
    for name in "AB":
        closes = np.round(20 + np.cumsum(chance.integers(-3, 4, 30)) * 0.1, 2)
        bars = [(c, c + 0.2, c - 0.2, c) for c in closes.tolist()]
        of = tape(name, bars, at=np.sort(chance.choice(60, 30, replace=False)).tolist())
        rows = [np.flatnonzero(chance.random(30) < 0.25).tolist() for _ in range(4)]
        one = decisions(
            30, long=rows[0], short=rows[1], leave_long=rows[2], leave_short=rows[3],
            reverse=bool(chance.integers(2)), flat_at_close=bool(chance.integers(2)),
        )  # fmt: skip
        tapes.append(of)
        said.append(replace(one, qty=chance.integers(1, 9, 30).astype(float)))
        fills.append(simulate(of, said[-1], COSTS))
    account = account_of(tapes, fills, 5_000.0)
    trades = trade_table(tapes, said, fills, 60)
    assert account.equity[-1] == pytest.approx(5_000 + trades["pnl"].sum())
    assert account.fees[-1] == pytest.approx(trades["fees"].sum())
    assert account.held[-1] == trades["open"].sum()
    assert (trades["mae_pct"] <= 1e-9).all()
    assert (trades["mfe_pct"] >= -1e-9).all()
