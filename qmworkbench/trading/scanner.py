"""The Opportunity Scanner: which symbols a strategy may be given now, and why not the others (§9, §12)."""

from datetime import datetime
from math import isnan
from typing import Final

import msgspec
import numpy as np

from qmworkbench.domain.candidates import Candidate, FilterVerdict, NearMiss
from qmworkbench.trading.radar_snapshot import COLUMNS, RadarSnapshot
from qmworkbench.trading.scanner_filters import Judgement, ScanConditions
from qmworkbench.trading.scanner_settings import ScanSettings

__all__ = ["ScanConditions", "ScanResult", "ScanSettings", "explain", "scan"]

_CANDIDATE_ROWS: Final = np.array(
    [COLUMNS.index(name) for name in ("rank", "score", "last", "rel_volume", "dollar_volume")]
)


class ScanResult(msgspec.Struct, frozen=True, kw_only=True):
    """One scan at one boundary.

    `candidates` in radar order, best first; `near_misses` the best ranked symbols that were kept out.
    `closed`: the session-wide conditions that failed (data not trusted, entries not open, outside the time
    window); where there is one, nobody was judged and everything else is empty but `ranked`.
    `ranked`: symbols with a price. `passed`: how many of them pass every filter, `max_candidates` apart.
    `rejections`: (filter code, how many ranked symbols it keeps out), in filter order, none left out;
    a symbol that fails two filters counts in both.
    """

    as_of: datetime
    candidates: tuple[Candidate, ...] = ()
    near_misses: tuple[NearMiss, ...] = ()
    closed: tuple[FilterVerdict, ...] = ()
    ranked: int = 0
    passed: int = 0
    rejections: tuple[tuple[str, int], ...] = ()

    def sentence(self) -> str:
        """The scan on one line, for the log."""
        if self.closed:
            return "no candidates: " + "; ".join(verdict.sentence() for verdict in self.closed)
        kept_out = ", ".join(f"{code} {count}" for code, count in self.rejections if count)
        counts = f"{len(self.candidates)} candidates, {self.passed} of {self.ranked} ranked symbols pass"
        return f"{counts}; kept out by {kept_out}" if kept_out else counts


def scan(snapshot: RadarSnapshot, settings: ScanSettings, conditions: ScanConditions) -> ScanResult:
    """Judge the whole universe at the snapshot's boundary; a pure function of its arguments."""
    judgement = Judgement(snapshot, settings, conditions)
    order = snapshot.order
    if judgement.closed:
        return ScanResult(as_of=snapshot.as_of, closed=judgement.closed, ranked=len(order))
    candidates = _candidates(snapshot, judgement, conditions)
    if len(candidates) == len(order):  # nobody was kept out by anything
        rejections = tuple([(f.code, 0) for f in judgement.filters])
        return ScanResult(
            as_of=snapshot.as_of, candidates=candidates, ranked=len(order), passed=len(order), rejections=rejections
        )
    kept_out = np.ones(len(snapshot), dtype=np.bool_)
    kept_out[judgement.taken] = False
    missed = order[kept_out[order]][: settings.near_miss_depth]
    return ScanResult(
        as_of=snapshot.as_of,
        candidates=candidates,
        near_misses=tuple(_near_miss(snapshot, judgement, int(at)) for at in missed),
        ranked=len(order),
        passed=len(judgement.passing),
        rejections=tuple((f.code, int(np.count_nonzero(~f.passed[order]))) for f in judgement.filters),
    )


def explain(
    snapshot: RadarSnapshot, settings: ScanSettings, conditions: ScanConditions, symbol: str
) -> tuple[FilterVerdict, ...]:
    """Every verdict on one symbol at the snapshot's boundary: why it is in, or why it is out.

    `scan` lets the symbol through exactly when all of these passed, and reports these very verdicts. A symbol
    outside the universe gets one verdict that says so.
    """
    if symbol not in snapshot.universe:
        return (FilterVerdict(code="universe", passed=False),)
    return Judgement(snapshot, settings, conditions).verdicts(snapshot.universe.index[symbol])


def _candidates(snapshot: RadarSnapshot, judgement: Judgement, conditions: ScanConditions) -> tuple[Candidate, ...]:
    """Those taken, best first."""
    taken = judgement.taken
    measured = snapshot.values[_CANDIDATE_ROWS[:, np.newaxis], taken].tolist()
    symbols, found = snapshot.universe.symbols, []
    for position, change, rank, score, last, rel_volume, dollar_volume in zip(
        taken.tolist(), judgement.change[taken].tolist(), *measured, strict=True
    ):
        symbol = symbols[position]
        found.append(
            Candidate(
                symbol=symbol,
                rank=int(rank),
                score=score,
                last=last,
                change=None if isnan(change) else round(change, 6),
                change_basis=judgement.change_basis(position),
                rel_volume=None if isnan(rel_volume) else round(rel_volume, 6),
                dollar_volume=round(dollar_volume, 2),
                verdicts=() if symbol in conditions.known else judgement.verdicts(position),
            )
        )
    return tuple(found)


def _near_miss(snapshot: RadarSnapshot, judgement: Judgement, position: int) -> NearMiss:
    return NearMiss(
        symbol=snapshot.universe.symbols[position],
        rank=int(snapshot.rank[position]),
        score=float(snapshot.score[position]),
        failed=judgement.failed(position),
    )
