"""One fill model, three times: the fused kernel, vectorbt in Rust and in numba, the simulated exchange (FILLS)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from qmworkbench.research.fills.fill_kernel import simulate
from qmworkbench.research.fills.tape import Fills, Phase, Tape
from qmworkbench.research.fills.two_rows import Column, Engine, two_rows
from tests.research.fills.fill_cases import px
from tests.research.fills.fill_model_cases import CARRIED, CASES, Case, Expected
from tests.research.fills.venue_fills import venue_fills

NAMES = [case.name for case in CASES]
ENGINES: tuple[Engine, ...] = ("rust", "numba")


def said(tape: Tape, fills: Fills) -> Expected:
    """Fills as (row, signed quantity, price in ticks), where the price is a whole number of them."""
    ticks = fills.px / tape.tick
    assert np.array_equal(fills.px, px(np.round(ticks), tape.tick)), "a price is not the float of its decimal"
    return list(zip(fills.at.tolist(), fills.qty.tolist(), np.round(ticks).tolist(), strict=True))


def in_vectorbt(cases: Sequence[Case], engine: Engine) -> dict[str, Expected]:
    """All cases, in one call for each height and each need of a callback."""
    groups: dict[tuple[int, bool], list[Case]] = defaultdict(list)
    for case in cases:
        special = any(plan.hold or (plan.trail and plan.stop is not None) for plan in case.plans.values())
        groups[len(case.bars), special].append(case)
    told: dict[str, Expected] = {}
    for (_, special), group in groups.items():
        columns = [
            Column(case.tape, case.decisions, case.terms) for case in (*group, group[0])
        ]  # one alone compiles anew
        done = two_rows(columns, engine)
        assert done.engine == ("numba" if special else engine)
        told |= {case.name: said(case.tape, fills) for case, fills in zip(group, done.fills, strict=False)}
    return told


@pytest.fixture(scope="module")
def by_vectorbt() -> dict[Engine, dict[str, Expected]]:
    return {engine: in_vectorbt(CASES, engine) for engine in ENGINES}


def parted(fills: Expected) -> Expected:
    """A flip as what a broker makes of it: the close, then the entry."""
    held, told = 0.0, []
    for row, qty, at in fills:
        if held and abs(qty) > abs(held) and (held > 0) != (qty > 0):
            told += [(row, -held, at), (row, qty + held, at)]
        else:
            told.append((row, qty, at))
        held += qty
    return told


def test_the_names_are_distinct() -> None:
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_the_kernel_fills_as_worked_out_by_hand(case: Case) -> None:
    assert said(case.tape, simulate(case.tape, case.decisions, case.terms)) == list(case.fills)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_vectorbt_fills_as_worked_out_by_hand(
    by_vectorbt: dict[Engine, dict[str, Expected]], name: str, engine: Engine
) -> None:
    assert by_vectorbt[engine][name] == list(next(case.fills for case in CASES if case.name == name))


SAME_DAY = [case for case in CASES if not case.sessions]


@pytest.mark.parametrize("case", SAME_DAY, ids=[case.name for case in SAME_DAY])
def test_the_exchange_fills_as_worked_out_by_hand(case: Case) -> None:
    tape = case.tape
    told = [(row, qty, round(at / tape.tick)) for row, qty, at in venue_fills(tape, case.decisions)]
    assert told == parted(case.fills)


def test_a_session_is_a_day_of_the_tape() -> None:
    assert all(case.sessions for case in CARRIED)


@pytest.mark.parametrize(
    ("name", "phase"),
    [("open exactly at the target", Phase.OPEN), ("open exactly at the stop", Phase.OPEN),
     ("gap through the stop", Phase.OPEN), ("low exactly at the stop", Phase.RANGE),
     ("flat at the session's close", Phase.CLOSE)],
)  # fmt: skip
def test_a_fill_says_where_in_its_bar_it_was(name: str, phase: Phase) -> None:
    case = next(case for case in CASES if case.name == name)
    for fills in (
        simulate(case.tape, case.decisions, case.terms),
        two_rows([Column(case.tape, case.decisions)], "rust").fills[0],
    ):
        assert fills.phase[-1] == phase


def test_a_denied_entry_is_told_with_its_row() -> None:
    case = next(case for case in CASES if case.name == "open at the stop: the entry is denied")
    assert simulate(case.tape, case.decisions, case.terms).denied.tolist() == [1]
    assert two_rows([Column(case.tape, case.decisions)], "rust").fills[0].denied.tolist() == [1]
    held = replace(case.decisions, flat_at_close=True)
    assert simulate(case.tape, held, case.terms).denied.tolist() == [1]
