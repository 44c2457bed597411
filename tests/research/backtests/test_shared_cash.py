"""Several symbols on one account in vectorbt: nobody spends what another will only get (FILLS §5)."""

from __future__ import annotations

import numpy as np
import pytest

from qmworkbench.research.fills.tape import Terms
from qmworkbench.research.fills.two_rows import CashBound, Column, TwoRowsLimit, two_rows
from tests.research.fills.fill_cases import Plan, decided, tape_of_ticks

START, CALM = (1000, 1000, 1000, 1000), (1000, 1010, 990, 1000)
FALLS = (1000, 1000, 900, 950)


def column(symbol: str, bars: list[tuple[int, int, int, int]], plans: dict[int, Plan]) -> Column:
    tape = tape_of_ticks([START, *bars], symbol=symbol, ended=False)
    return Column(tape, decided(len(tape), plans))


def test_a_stop_within_a_bar_funds_no_entry_at_that_bars_open() -> None:
    a = column("AAA", [CALM, FALLS, CALM], {0: Plan("long", 940)})
    b = column("BBB", [CALM, CALM, CALM], {1: Plan("long", qty=90)})
    with pytest.raises(CashBound, match=r"BBB, bar 2: an order for 90 filled 0"):
        two_rows([a, b], cash=1000.0)


def test_it_funds_the_next_open() -> None:
    a = column("AAA", [CALM, FALLS, CALM], {0: Plan("long", 940)})
    b = column("BBB", [CALM, CALM, CALM], {2: Plan("long", qty=90)})
    fills = two_rows([a, b], cash=1000.0).fills
    assert [(f.at.tolist(), f.qty.tolist()) for f in fills] == [([1, 2], [100.0, -100.0]), ([3], [90.0])]


def test_what_is_sold_at_an_open_funds_no_entry_at_it() -> None:
    a = column("AAA", [CALM, CALM, CALM], {0: Plan("long"), 1: Plan("exit_long")})
    b = column("BBB", [CALM, CALM, CALM], {1: Plan("long", qty=90)})
    with pytest.raises(CashBound, match=r"BBB, bar 2"):
        two_rows([a, b], cash=1000.0)


@pytest.mark.parametrize(("ranks", "loser"), [((0, 1), "BBB"), ((1, 0), "AAA")])
def test_entries_are_served_by_rank(ranks: tuple[int, int], loser: str) -> None:
    pair = [column(name, [CALM, CALM], {0: Plan("long")}) for name in ("AAA", "BBB")]
    with pytest.raises(CashBound, match=f"{loser}, bar 1"):
        two_rows(pair, cash=1500.0, ranks=np.repeat(np.array(ranks)[:, None], 3, axis=1))


def test_enough_cash_lets_both_in() -> None:
    pair = [column(name, [CALM, CALM], {0: Plan("long")}) for name in ("AAA", "BBB")]
    assert [f.qty.tolist() for f in two_rows(pair, cash=2500.0).fills] == [[100.0], [100.0]]


def test_columns_of_different_heights_are_refused() -> None:
    pair = [column("AAA", [CALM], {}), column("BBB", [CALM, CALM], {})]
    with pytest.raises(TwoRowsLimit, match="one height"):
        two_rows(pair)


def test_a_trailing_target_within_the_slippage_is_refused_by_name() -> None:
    made = column("AAA", [CALM, CALM], {0: Plan("long", None, 1001, trail=100)})
    with pytest.raises(TwoRowsLimit, match=r"AAA: the target 10.01 of a trailing position"):
        two_rows([Column(made.tape, made.decisions, Terms(slippage_rate=0.01))])
