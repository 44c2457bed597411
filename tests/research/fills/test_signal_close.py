"""Fills at the deciding close, asked for by name: at that very price, and everything after it as ever."""

from dataclasses import replace

import numpy as np

from qmworkbench.research.fills.fill_kernel import simulate
from qmworkbench.research.fills.signal_close import folded, unfolded
from qmworkbench.research.fills.tape import Fills, Phase, Reason, Terms
from tests.research.backtests.backtest_cases import decisions, tape

BARS = [
    (10.0, 10.2, 9.8, 10.1),
    (10.3, 10.4, 9.0, 10.2),
    (10.0, 10.8, 9.9, 10.7),
    (10.9, 11.0, 10.0, 10.4),
    (10.2, 10.3, 10.1, 10.2),
]


def filled(**said: object) -> Fills:
    of, decided = unfolded(tape("A", BARS), decisions(5, **said))  # type: ignore[arg-type]
    return folded(simulate(of, decided, Terms()))


def test_entry_and_exit_are_at_their_own_closes() -> None:
    done = filled(long=[0], leave_long=[2])
    assert done.at.tolist() == [0, 2]
    assert done.px.tolist() == [10.1, 10.7]
    assert set(done.phase.tolist()) == {Phase.CLOSE}


def test_the_next_bar_s_open_and_range_are_met_by_a_stop() -> None:
    done = filled(long=[0], stop={0: 9.5})
    assert (done.at.tolist(), done.px.tolist()) == ([0, 1], [10.1, 9.5])
    assert Phase(int(done.phase[1])) is Phase.RANGE
    gap = filled(long=[1], stop={1: 10.05})
    assert (gap.at.tolist(), gap.px.tolist(), Phase(int(gap.phase[1]))) == ([1, 2], [10.2, 10.0], Phase.OPEN)


def test_its_own_bar_s_range_is_over_when_it_enters() -> None:
    done = filled(long=[1], stop={1: 9.5}, leave_long=[3])
    assert done.at.tolist() == [1, 3], "the low of 9.00 came before the entry at that bar's close"


def test_a_time_limit_counts_bars_and_the_session_ends_flat() -> None:
    of, decided = tape("A", BARS), decisions(5, long=[0])
    held = replace(decided, max_hold_bars=np.full(5, 2, np.int32))
    done = folded(simulate(*unfolded(of, held), Terms()))
    assert (done.at.tolist(), done.px.tolist()) == ([0, 2], [10.1, 10.7])
    to_the_end = filled(long=[0])
    assert (to_the_end.at.tolist(), to_the_end.px.tolist()) == ([0, 4], [10.1, 10.2])
    assert Reason(int(to_the_end.reason[1])) is Reason.FLAT_AT_CLOSE


def test_nothing_is_entered_at_a_session_s_last_close() -> None:
    assert len(filled(long=[4])) == 0
