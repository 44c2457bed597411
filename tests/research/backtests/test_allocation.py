"""Several symbols on one account: who is served, with how much, and who is told that nothing was left."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.research.backtests.allocation import (
    Allocation,
    AllocationDiffers,
    Prospect,
    Sizing,
    allocate,
    turnover_rank,
)
from qmworkbench.research.fills.fill_kernel import simulate
from qmworkbench.research.fills.tape import Decisions, Fills, Tape, Terms
from tests.research.backtests.backtest_cases import FIRST_US, MINUTE_US, decisions, flat_bars, prospect, tape

IDEAL = Terms()


def entries(done: Allocation) -> list[list[tuple[int, float]]]:
    """By symbol the rows at which something was bought or sold, and how much."""
    return [list(zip(fills.at.tolist(), fills.qty.tolist(), strict=True)) for fills in done.fills]


def test_whole_units_for_an_equal_part_of_the_equity() -> None:
    one = prospect(tape("A", flat_bars(6)), decisions(6, long=[0], leave_long=[3]))
    other = prospect(tape("B", flat_bars(6, 33.0)), decisions(6, short=[1]))
    done = allocate([one, other], Sizing(amount=1.0), 1_000.0, IDEAL, simulate)
    assert entries(done) == [[(1, 50.0), (4, -50.0)], [(2, -15.0), (5, 15.0)]]
    assert done.refused == ()


@pytest.mark.parametrize(
    ("sizing", "qty"),
    [
        (Sizing("units", 7), 7.0),
        (Sizing("cash", 205), 20.0),
        (Sizing("equity", 0.5), 50.0),
        (Sizing("all_in"), 100.0),
    ],
)
def test_each_way_of_sizing(sizing: Sizing, qty: float) -> None:
    one = prospect(tape("A", flat_bars(4)), decisions(4, long=[0]))
    assert entries(allocate([one], sizing, 1_000.0, IDEAL, simulate))[0][0] == (1, qty)


def test_all_in_pays_its_fees_and_its_slippage() -> None:
    one = prospect(tape("A", flat_bars(4)), decisions(4, long=[0]))
    terms = Terms(fee_rate=0.001, fee_per_order=5.0, fee_per_unit=0.02, slippage_rate=0.01)
    qty = entries(allocate([one], Sizing("all_in"), 1_000.0, terms, simulate))[0][0][1]

    def paid(units: float) -> float:
        return units * 10.1 * 1.001 + 5.0 + 0.02 * units

    assert paid(qty) <= 1_000.0 < paid(qty + 1)


def test_an_entry_is_sized_at_its_deciding_close_and_refused_where_the_open_costs_more_than_there_is() -> None:
    gap = [(10.0, 10.0, 10.0, 10.0), (11.0, 11.0, 11.0, 11.0), *flat_bars(3, 11.0)]
    done = allocate([prospect(tape("A", gap), decisions(5, long=[0, 2]))], Sizing(amount=1.0), 1_000.0, IDEAL, simulate)
    assert [(one.row, one.why, one.needed, one.free) for one in done.refused] == [(0, "cash", 1_100.0, 1_000.0)]
    assert entries(done)[0][0] == (3, 90.0), "it goes on without the refused one"


def test_what_leaves_at_an_open_pays_for_no_entry_there_but_for_the_next() -> None:
    # A is stopped out at the open at which B wants to enter: FILLS asks that B gets none of it.
    falling = [*flat_bars(2), (10.0, 10.0, 10.0, 10.0), (8.0, 8.0, 8.0, 8.0), *flat_bars(4, 8.0)]
    one = prospect(tape("A", falling), decisions(8, long=[0], stop={0: 9.0}))
    other = prospect(tape("B", flat_bars(8)), decisions(8, long=[2, 3]))
    done = allocate([one, other], Sizing("all_in"), 1_000.0, IDEAL, simulate)
    assert entries(done)[0] == [(1, 100.0), (3, -100.0)]
    assert [(one.symbol, one.row, one.why) for one in done.refused] == [("B", 2, "size")]
    assert entries(done)[1][0] == (4, 80.0), "a bar later the money is there, what is left of it"


def test_a_stop_later_in_the_bar_funds_nothing_at_its_open() -> None:
    bars = [*flat_bars(2), (10.0, 10.0, 8.5, 9.5), *flat_bars(3, 9.5)]
    one = prospect(tape("A", bars), decisions(6, long=[0], stop={0: 9.0}))
    other = prospect(tape("B", flat_bars(6)), decisions(6, long=[1]))
    done = allocate([one, other], Sizing("all_in"), 1_000.0, IDEAL, simulate)
    assert entries(done)[0] == [(1, 100.0), (2, -100.0)]
    assert entries(done)[1] == []


@pytest.mark.parametrize(("ranks", "served"), [((0.0, 0.0), "A"), ((1.0, 2.0), "B"), ((2.0, 1.0), "A")])
def test_at_one_open_the_larger_rank_is_served_and_ties_by_name(ranks: tuple[float, float], served: str) -> None:
    several = [
        prospect(tape(name, flat_bars(5)), decisions(5, long=[0]), rank=rank)
        for name, rank in zip("AB", ranks, strict=True)
    ]
    for order in (several, several[::-1]):
        done = allocate(order, Sizing(amount=0.5, positions=1), 1_000.0, IDEAL, simulate)
        taken = [one.tape.symbol for one, fills in zip(order, done.fills, strict=True) if len(fills)]
        assert taken == [served]
        assert [one.why for one in done.refused] == ["positions"]


def test_a_turned_position_may_spend_what_its_own_close_brings() -> None:
    rising = [(10.0 + k, 10.0 + k, 10.0 + k, 10.0 + k) for k in range(6)]
    one = prospect(tape("A", rising), decisions(6, long=[0], short=[2], reverse=True))
    done = allocate([one], Sizing("all_in"), 1_000.0, IDEAL, simulate)
    # 90 at 11; at 13 they bring 1,170 and 10 are left: 90 short at 13.
    assert entries(done)[0][:2] == [(1, 90.0), (3, -180.0)]


def test_a_turn_that_cannot_be_sized_closes_all_the_same() -> None:
    steep = [(10.0, 10.0, 10.0, 10.0)] * 3 + [(2_000.0, 2_000.0, 2_000.0, 2_000.0)] * 3
    one = prospect(tape("A", steep), decisions(6, short=[0], long=[2], reverse=True))
    done = allocate([one], Sizing(amount=0.9), 1_000.0, IDEAL, simulate)
    assert entries(done)[0][:2] == [(1, -90.0), (3, 90.0)]
    assert done.refused[0].why in ("cash", "size")


def test_the_cap_on_volume_is_reserved_as_it_is_filled() -> None:
    one = prospect(tape("A", flat_bars(4), volume=300.0), decisions(4, long=[0]))
    done = allocate([one], Sizing(amount=1.0), 1_000.0, Terms(participation=0.1), simulate)
    assert entries(done)[0] == [(1, 30.0), (3, -30.0)]


def test_margin_binds_its_share_of_the_notional() -> None:
    pair = [prospect(tape(name, flat_bars(4)), decisions(4, long=[0]), margin_rate=0.1) for name in "AB"]
    done = allocate(pair, Sizing("cash", 8_000.0), 1_600.0, IDEAL, simulate)
    assert [len(fills) for fills in done.fills] == [2, 2]
    assert allocate(pair, Sizing("cash", 8_010.0), 1_600.0, IDEAL, simulate).refused[0].why == "cash"


def test_equity_compounds_from_day_to_day_and_open_positions_are_marked() -> None:
    one = prospect(tape("A", [*flat_bars(2), *flat_bars(4, 12.0)]), decisions(6, long=[0], flat_at_close=False))
    later = tape("B", flat_bars(6))
    base = np.where(np.arange(6) >= 3, FIRST_US + 4 * MINUTE_US, FIRST_US).astype(np.int64)
    other = replace(prospect(later, decisions(6, long=[4])), base_us=base)
    done = allocate([one, other], Sizing(amount=0.5), 1_000.0, IDEAL, simulate)
    # A: 25 at 10, worth 2 more each by the new day: half of 1,050 over two places at 10.
    assert entries(done)[1] == [(5, 26.0), (5, -26.0)]


def test_an_engine_that_fills_something_else_is_found_out() -> None:
    def broken(of: Tape, decided: Decisions, terms: Terms) -> Fills:
        return simulate(of, replace(decided, qty=decided.qty * 2), terms)

    one = prospect(tape("A", flat_bars(4)), decisions(4, long=[0]))
    with pytest.raises(AllocationDiffers, match="A: the engine entered"):
        allocate([one], Sizing(), 1_000.0, IDEAL, broken)


@pytest.mark.parametrize("wrong", [("equity", 0.0), ("equity", 1.5), ("cash", -1.0), ("units", 0.0)])
def test_a_size_that_makes_no_sense_is_refused(wrong: tuple[str, float]) -> None:
    with pytest.raises(ValueError, match="sizing"):
        Sizing(*wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="positions"):
        Sizing(positions=0)


def test_turnover_counts_from_the_session_s_start() -> None:
    of = tape("A", flat_bars(4), volume=5.0)
    of = replace(of, day=np.array([0, 0, 1, 1], np.int32))
    assert turnover_rank(of).tolist() == [50.0, 100.0, 50.0, 100.0]


# --- against a slow way of doing the same ----------------------------------------------------------------------------


def slowly(prospects: Sequence[Prospect], sizing: Sizing, cash: float, terms: Terms) -> list[tuple[str, int]]:
    """Who is refused, found by simulating everything anew after each refusal: the first that cannot be paid for, in
    order of time, is masked, and all begins again."""
    masked = [one.decisions for one in prospects]
    refused: list[tuple[str, int]] = []
    while True:
        unit = [replace(one, qty=np.ones(len(one.qty))) for one in masked]
        trips = sorted(
            (trip for k, one in enumerate(prospects) for trip in _trips(k, one, simulate(one.tape, unit[k], terms))),
            key=lambda trip: trip[:3],
        )
        first = _first_unpaid(trips, prospects, sizing, cash)
        if first is None:
            return refused
        k, row = first
        refused.append((prospects[k].tape.symbol, row))
        long, short = masked[k].entry_long.copy(), masked[k].entry_short.copy()
        long[row] = short[row] = False
        masked[k] = replace(masked[k], entry_long=long, entry_short=short)


def _trips(k: int, one: Prospect, fills: Fills) -> list[tuple]:
    found = []
    for into in range(0, len(fills), 2):
        at = int(one.tape.ts_us[fills.at[into]]) * 4
        out = into + 1
        ended = int(one.tape.ts_us[fills.at[out]]) * 4 + int(fills.phase[out]) if out < len(fills) else 2**62
        gain = float(fills.qty[into] * (fills.px[out] - fills.px[into])) if out < len(fills) else 0.0
        found.append(
            (at, -one.rank[0], one.tape.symbol, k, int(fills.at[into]) - 1, float(fills.px[into]), ended, gain)
        )
    return found


def _first_unpaid(trips: list[tuple], prospects: Sequence[Prospect], sizing: Sizing, cash: float) -> tuple | None:
    money, held = cash, []  # (ended, cost, gain)
    for at, _, _, k, row, px, ended, gain in trips:
        for gone in sorted(one for one in held if one[0] < at):
            money += gone[2]
        held = [one for one in held if one[0] >= at]
        qty = sizing.amount if sizing.kind == "units" else np.floor(sizing.amount / prospects[k].tape.close[row])
        free = money - sum(one[1] for one in held)
        if len(held) >= (sizing.positions or len(prospects)) or qty < 1 or qty * px > free + 1e-9:
            return k, row
        held.append((ended, qty * px, qty * gain))
    return None


@given(seed=st.integers(0, 10_000), places=st.integers(1, 3), budget=st.sampled_from([90.0, 150.0, 240.0]))
@settings(max_examples=40)
def test_the_walk_refuses_whom_the_slow_way_refuses(seed: int, places: int, budget: float) -> None:
    chance = np.random.default_rng(seed)
    prospects = []
    for name in "ABC":
        closes = np.round(10 + np.cumsum(chance.integers(-3, 4, 40)) * 0.1, 2)
        opens = np.round(closes + chance.integers(-2, 3, 40) * 0.1, 2)
        bars = [(o, max(o, c) + 0.1, min(o, c) - 0.1, c) for o, c in zip(opens, closes, strict=True)]
        rows = np.flatnonzero(chance.random(40) < 0.3)
        stops = {int(row): round(float(closes[row]) - 0.3, 2) for row in rows}
        leaves = np.flatnonzero(chance.random(40) < 0.2).tolist()
        of = tape(name, [tuple(float(round(p, 2)) for p in bar) for bar in bars])  # type: ignore[misc]
        prospects.append(
            prospect(
                of, decisions(40, long=rows.tolist(), leave_long=leaves, stop=stops), rank=float(chance.integers(2))
            )
        )
    sizing = Sizing("cash", budget, places)
    done = allocate(prospects, sizing, 300.0, IDEAL, simulate)
    assert [(one.symbol, one.row) for one in done.refused] == sorted(
        slowly(prospects, sizing, 300.0, IDEAL), key=lambda one: (one[1], one[0])
    )
