"""Thousands of awkward markets through kernel and vectorbt: no fill may differ, and no figure by a billionth.

`python -m bench.check_fills [CASES] [SEED]`, 5,000 by default: ticks from 0.0001 to 1, ties, gaps, flat prices, prices
of 20 ticks and of 900,000; both engines; with and without costs, time limits, fixed stops beside trails. Ends with 1
and the first cases that differ, else with 0.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from qmworkbench.research.fills import metrics
from qmworkbench.research.fills.fill_kernel import simulate
from qmworkbench.research.fills.measure import Figure
from qmworkbench.research.fills.real_bars import figures_of, portfolio_of
from qmworkbench.research.fills.tape import Fills
from qmworkbench.research.fills.two_rows import Column, Engine, two_rows
from tests.research.fills.fill_cases import Style, adversarial

AT_A_TIME = 250
# Style, engine, and its share of the cases.
PARTS: tuple[tuple[str, Style, Engine, float], ...] = (
    ("ideal, Rust", Style(), "rust", 0.4),
    ("prices between ticks", Style(uneven=True), "rust", 0.1),
    ("ideal, numba", Style(), "numba", 0.2),
    ("costs, Rust", Style(costs=True, shapes=("walk", "calm", "gaps", "flat", "thin")), "rust", 0.15),
    ("time limits and two stops, numba", Style(costs=True, limits=True), "rust", 0.15),
)


def _wrong(case: Column, ours: Fills, theirs: Fills, told: np.ndarray, cash: float) -> str:
    """In what the two differ, "" in nothing."""
    if not (np.array_equal(ours.at, theirs.at) and np.array_equal(ours.qty, theirs.qty)):
        return "bars or quantities"
    if not np.allclose(ours.px, theirs.px, rtol=1e-13, atol=0):
        return "prices"
    mine = metrics.figures(case.tape, ours, cash)
    for figure in Figure:
        if not np.isnan(told[figure]) and not np.isclose(mine[figure], told[figure], rtol=1e-9, atol=1e-9):
            return f"{figure.name}: {mine[figure]} and {told[figure]}"
    return ""


def check(style: Style, engine: Engine, count: int, rng: np.random.Generator) -> tuple[int, list[str]]:
    """How many fills were compared, and what differed."""
    fills, wrong = 0, []
    for begin in range(0, count, AT_A_TIME):
        cases = [adversarial(rng, style) for _ in range(min(AT_A_TIME, count - begin))]
        ours = [simulate(case.tape, case.decisions, case.terms) for case in cases]
        theirs = two_rows(cases, engine).fills
        cash = np.array([round(3 * float(np.abs(f.qty * f.px).max(initial=1.0)) + 1, 2) for f in ours])
        tapes = [replace(case.tape, ts_us=cases[0].tape.ts_us) for case in cases]
        names = [str(k) for k in range(len(cases))]
        told = figures_of(portfolio_of(tapes, theirs, cash, interval_s=60, names=names))
        for k, case in enumerate(cases):
            fills += len(ours[k])
            said = _wrong(case, ours[k], theirs[k], told[k], float(cash[k]))
            if said:
                wrong.append(f"case {begin + k}, tick {case.tape.tick}: {said}")
    return fills, wrong


def main(asked: list[str]) -> int:
    """Check as many cases as were asked for; the exit code says whether all agreed."""
    count, seed = int(asked[0]) if asked else 5_000, int(asked[1]) if len(asked) > 1 else 0
    rng = np.random.default_rng(seed)
    total, failed, began = 0, 0, time.perf_counter()
    for name, style, engine, share in PARTS:
        cases = round(count * share)
        fills, wrong = check(style, engine, cases, rng)
        total, failed = total + fills, failed + len(wrong)
        print(f"{name}: {cases} cases, {fills} fills, {len(wrong)} differ")
        for line in wrong[:5]:
            print(f"  {line}")
    print(f"{count} cases, {total} fills, {failed} differ; {time.perf_counter() - began:.0f} s, seed {seed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
