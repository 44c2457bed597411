"""A sample of a sweep simulated again by vectorbt, in a process of its own, on the strategy's own flags (FILLS).

The parent writes tapes and decisions as arrays; the child answers figures as JSON. vectorbt's import, memory and
threads never meet the sweep's, and a crash of it is a failed check, not a dead sweep. What has no stop and is carried
needs one row a bar; everything else is told in two rows (`two_rows`).
"""

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from qmworkbench.research.fills.measure import Figure
from qmworkbench.research.fills.tape import Decisions, Tape, Terms

TOLERANCE: Final = 1e-9
SAMPLE: Final = 8
_PLACES: Final = {
    "total_return": Figure.TOTAL_RETURN,
    "sharpe": Figure.SHARPE,
    "max_drawdown": Figure.MAX_DRAWDOWN_CLOSES,
    "trades": Figure.TRADES,
    "win_rate": Figure.WIN_RATE,
    "profit_factor": Figure.PROFIT_FACTOR,
    "fees": Figure.FEES,
    "final_equity": Figure.FINAL_EQUITY,
}
COMPARED: Final = tuple(_PLACES)
_WAIT_S: Final = 900.0
_TAPE: Final = ("ts_us", "open", "high", "low", "close", "volume", "day", "bar", "ends")
_DECISIONS: Final = (
    *("entry_long", "entry_short", "exit_long", "exit_short"),
    *("stop", "target", "trail_bps", "max_hold_bars", "qty"),
)

Figures = Mapping[str, float | None]


class SweepDiffers(Exception):
    """vectorbt and the kernel disagree on a combination: nothing the sweep found may be used. `findings` name all."""

    def __init__(self, findings: Sequence[str]) -> None:
        super().__init__(f"the sweep disagrees with vectorbt in {len(findings)} figures; first: {findings[0]}")
        self.findings = tuple(findings)
        self.remedy = "use none of its results; report this with the command, the data and the versions"


class CheckFailed(Exception):
    """vectorbt could not be asked; the message says why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.remedy = "see that vectorbt is installed and that there is memory for it, then resume the sweep"


@dataclass(frozen=True, eq=False)
class Case:
    """One combination on one symbol, to be simulated again."""

    label: str
    combination: int
    symbol: str
    decisions: Decisions


@dataclass(frozen=True)
class Checked:
    """What was compared: `cases` combinations, the largest difference of any figure, and by which engine."""

    cases: int
    max_abs_diff: float
    engine: str
    tolerance: float = TOLERANCE


@dataclass
class Check:
    """A check under way in its own process; `result` waits for it."""

    cases: Sequence[Case]
    process: "subprocess.Popen[str] | None"
    directory: "tempfile.TemporaryDirectory[str]"

    def result(self, ours: Callable[[int, str], Figures | None]) -> Checked:
        """Compare with our figures of a combination and symbol, None for those that failed here.

        Raises SweepDiffers naming each figure that is off, CheckFailed where there is no answer.
        """
        try:
            told = self._answer()
        finally:
            self.directory.cleanup()
        return compared(self.cases, ours, told["answers"], told["engine"])

    def stop(self) -> None:
        """End it unasked."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.communicate()
        self.directory.cleanup()

    def _answer(self) -> dict[str, Any]:
        if self.process is None:
            return {"answers": [], "engine": "none"}
        try:
            out, err = self.process.communicate(timeout=_WAIT_S)
        except subprocess.TimeoutExpired:
            self.stop()
            raise CheckFailed(f"vectorbt did not answer within {_WAIT_S:.0f} s") from None
        if self.process.returncode != 0:
            last = (err.strip().splitlines() or ["it said nothing"])[-1]
            raise CheckFailed(f"vectorbt ended with exit code {self.process.returncode}: {last}")
        answer: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
        return answer


def begin(cases: Sequence[Case], tapes: Mapping[str, Tape], terms: Terms, cash: float, bars_a_year: float) -> Check:
    """Start the check of these cases in a child process."""
    directory = tempfile.TemporaryDirectory(prefix="qm-sweep-check-")
    if not cases:
        return Check(cases, None, directory)
    home = Path(directory.name)
    symbols = sorted({case.symbol for case in cases})
    for at, symbol in enumerate(symbols):
        np.savez(home / f"tape-{at}.npz", **{name: getattr(tapes[symbol], name) for name in _TAPE})
    for at, case in enumerate(cases):
        np.savez(home / f"case-{at}.npz", **{name: getattr(case.decisions, name) for name in _DECISIONS})
    asked = {
        "terms": asdict(terms),
        "cash": cash,
        "bars_a_year": bars_a_year,
        "symbols": [{"symbol": symbol, "tick": tapes[symbol].tick} for symbol in symbols],
        "cases": [
            {
                "symbol": symbols.index(case.symbol),
                "flat_at_close": case.decisions.flat_at_close,
                "reverse": case.decisions.reverse,
            }
            for case in cases
        ],
    }
    (home / "asked.json").write_text(json.dumps(asked))
    command = [sys.executable, "-W", "ignore", "-m", "qmworkbench.research.sweeps.sweep_check", directory.name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return Check(cases, process, directory)


def compared(
    cases: Sequence[Case],
    ours: Callable[[int, str], Figures | None],
    answers: Sequence[Mapping[str, Any]],
    engine: str,
) -> Checked:
    """Hold both answers against each other, missing figures included. Raises SweepDiffers, CheckFailed."""
    findings: list[str] = []
    worst, held = 0.0, 0
    for case, theirs in zip(cases, answers, strict=True):
        mine = ours(case.combination, case.symbol)
        if mine is None:
            continue
        if "error" in theirs:
            raise CheckFailed(f"vectorbt cannot simulate {case.label}: {theirs['error']}")
        held += 1
        for name in COMPARED:
            a, b = mine[name], theirs[name]
            if a is None and b is None:
                continue
            # Money and counts are told against their own size, ratios as they are.
            off = math.inf if a is None or b is None else abs(a - b) / max(1.0, abs(b))
            worst = max(worst, off)
            if not off <= TOLERANCE:
                findings.append(f"{case.label}: {name} is {a!r} here and {b!r} in vectorbt, {off:.3g} apart")
    if findings:
        raise SweepDiffers(findings)
    return Checked(held, worst, engine)


# ── the child ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def main(home: Path) -> None:
    """Simulate what is asked in `home` and print the figures as one line of JSON."""
    asked = json.loads((home / "asked.json").read_text())
    terms = Terms(**asked["terms"])
    tapes = [
        Tape(symbol=one["symbol"], tick=one["tick"], **_arrays(home / f"tape-{at}.npz"))
        for at, one in enumerate(asked["symbols"])
    ]
    answers: list[dict[str, Any]] = []
    engines = set()
    for at, case in enumerate(asked["cases"]):
        decisions = Decisions(
            **_arrays(home / f"case-{at}.npz"), flat_at_close=case["flat_at_close"], reverse=case["reverse"]
        )
        try:
            told, engine = in_vectorbt(tapes[case["symbol"]], decisions, terms, asked["cash"], asked["bars_a_year"])
        except ValueError as error:  # what vectorbt cannot or will not simulate, in words
            answers.append({"error": f"{type(error).__name__}: {error}"})
            continue
        answers.append({name: told[name] if math.isfinite(told[name]) else None for name in COMPARED})
        engines.add(engine)
    sys.stdout.write(json.dumps({"answers": answers, "engine": ", ".join(sorted(engines))}) + "\n")


def _arrays(path: Path) -> dict[str, Any]:
    with np.load(path) as kept:
        return {name: kept[name] for name in kept.files}


def in_vectorbt(
    tape: Tape, decisions: Decisions, terms: Terms, cash: float, bars_a_year: float
) -> tuple[dict[str, float], str]:
    """The figures (COMPARED) of one combination by vectorbt, and the engine that made them."""
    import vectorbt as vbt

    from qmworkbench.research.fills.real_bars import figures_of, portfolio_of
    from qmworkbench.research.fills.two_rows import Column, two_rows
    from qmworkbench.research.fills.vectorbt_rows import one_row

    if one_row_is_enough(decisions, terms):
        portfolio, engine = one_row(tape, decisions, terms, cash), "one row a bar"
    else:
        done = two_rows([Column(tape, decisions, terms)])
        portfolio = portfolio_of([tape], done.fills, cash, interval_s=60)
        engine = f"two rows a bar, {done.engine}"
    row = figures_of(portfolio)[0]
    told = {name: float(row[place]) for name, place in _PLACES.items()}
    told["sharpe"] *= math.sqrt(bars_a_year)
    return told, f"vectorbt {vbt.__version__}, {engine}"


def one_row_is_enough(decisions: Decisions, terms: Terms) -> bool:
    """Whether every order of these decisions is at an open: nothing else can happen within a bar."""
    entries = decisions.entry_long | decisions.entry_short
    levels = np.isfinite(decisions.stop[entries]).any() or np.isfinite(decisions.target[entries]).any()
    limits = (decisions.trail_bps[entries] > 0).any() or (decisions.max_hold_bars[entries] > 0).any()
    plain = not (levels or limits or decisions.flat_at_close)
    return plain and terms.participation == 0 and terms.fee_per_unit == 0


if __name__ == "__main__":
    main(Path(sys.argv[1]))
