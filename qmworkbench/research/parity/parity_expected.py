"""What a backtest makes of a recorded session's bars: signals, and the trades they lead to, lane by lane (FILLS).

The signals are computed by the strategy itself from its own anchor, the fills by the fused kernel at ideal terms: at
the open, at levels, at the close, without slippage, fees or a limit of volume.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl

from qmworkbench.domain.events.session import RunSpec
from qmworkbench.research.fills.decisions import decisions_of, tape_of
from qmworkbench.research.fills.tape import Bools, Codes, Decisions, Floats, Ints, Phase, Reason, Tape, Terms
from qmworkbench.research.parity.parity_record import Carried, RecordedDay, closing
from qmworkbench.strategies.bars import RAW_SCHEMA, anchored, session_bars
from qmworkbench.strategies.contract import evaluate
from qmworkbench.strategies.definition import StrategyDefinition
from qmworkbench.strategies.one_pass import reached

_BEFORE = 2


@dataclass(frozen=True, kw_only=True)
class ExpectedTrade:
    """A round trip of the backtest, of one unit. `side` +1 or -1. `decided` is the row its entry was decided at,
    `entry` and `exit` the rows that filled it, None for one carried in and for one still open.
    """

    side: int
    decided: int | None
    entry: int | None
    entry_px: float
    exit: int | None
    exit_px: float | None
    exit_phase: Phase | None
    exit_reason: Reason | None


@dataclass(frozen=True, eq=False)
class LaneBars:
    """One lane's bars and what its strategy says at each: `signals` (SIGNAL_SCHEMA, features) row by row of `tape`."""

    tape: Tape
    signals: pl.DataFrame
    decisions: Decisions
    closes_at: tuple[datetime, ...]

    def row_of(self, at: datetime) -> int | None:
        """The row whose bar closed at `at`; None where the symbol had none."""
        found = np.searchsorted(self._closes, np.int64(round(at.timestamp() * 1e6)))
        there = found < len(self._closes) and self.closes_at[int(found)] == at
        return int(found) if there else None

    @property
    def _closes(self) -> Ints:
        return np.array([round(at.timestamp() * 1e6) for at in self.closes_at], dtype=np.int64)


def signals_of(
    day: RecordedDay, run: RunSpec, definition: StrategyDefinition, symbols: Sequence[str]
) -> dict[str, LaneBars]:
    """For each of `symbols` that traded in the session, its bars there and what the run's strategy says at each.

    Raises StrategyFault where the strategy breaks its contract on these bars.
    """
    params = definition.parameters(run.params)
    ticks = {one.symbol: float(one.tick_size) for one in day.record.opened.instruments}
    kept = pl.col("symbol").is_in(list(symbols))
    raw = pl.concat([day.history.select(list(RAW_SCHEMA)).filter(kept), day.bars.select(list(RAW_SCHEMA)).filter(kept)])
    table = session_bars(raw, day.grids, ticks)
    anchor = definition.anchor(params)
    reach = anchored(table, reached(anchor, day.grids), anchor.bars)
    told = evaluate(definition, reach, params)
    today = (reach["session"] == day.grid.session).to_numpy()
    bars, said = reach.filter(pl.Series(today)), told.filter(pl.Series(today))
    flat = run.flat_policy == "at_close"
    found = {}
    for (symbol,), rows in bars.partition_by("symbol", as_dict=True, maintain_order=True).items():
        mine = said.filter(pl.col("symbol") == symbol)
        tape = tape_of(str(symbol), rows)
        # A session ends with its last boundary, whether or not the symbol had a bar there; one still open does not.
        tape = replace(tape, ends=np.append(np.zeros(len(tape) - 1, np.bool_), day.record.is_closed))
        closes = tuple(closing(day.grid, int(bar)) for bar in tape.bar)
        found[str(symbol)] = LaneBars(tape, mine, decisions_of(mine, flat_at_close=flat), closes)
    return found


def expected_trades(bars: LaneBars, allowed: Bools, carried: Carried | None = None) -> tuple[ExpectedTrade, ...]:
    """The trades of a lane in order, entries decided only at rows that are `allowed`, beginning with what was carried.

    An entry that is not allowed still closes the other side, as it does in a session.
    """
    from qmworkbench.research.fills.fill_kernel import simulate  # a compiler comes with it: only where something is run

    told = bars.decisions
    decisions = replace(
        told,
        entry_long=told.entry_long & allowed,
        entry_short=told.entry_short & allowed,
        exit_long=told.exit_long | (told.entry_short & ~allowed),
        exit_short=told.exit_short | (told.entry_long & ~allowed),
    )
    tape, before = bars.tape, 0
    if carried is not None:
        tape, decisions = _with_carried(tape, decisions, carried)
        before = _BEFORE
    fills = simulate(tape, decisions, Terms())
    return tuple(_paired(fills.at - before, fills.qty, fills.px, fills.phase, fills.reason))


def _paired(at: Ints, qty: Floats, px: Floats, phase: Codes, reason: Codes) -> Iterator[ExpectedTrade]:
    begun: int | None = None
    for row in range(len(at)):
        if begun is None:
            begun = row
            continue
        yield _trade(at, qty, px, begun, row, Phase(int(phase[row])), Reason(int(reason[row])))
        begun = None
    if begun is not None:
        yield _trade(at, qty, px, begun, None, None, None)


def _trade(
    at: Ints, qty: Floats, px: Floats, into: int, out: int | None, phase: Phase | None, reason: Reason | None
) -> ExpectedTrade:
    entry = int(at[into])
    return ExpectedTrade(
        side=1 if qty[into] > 0 else -1,
        decided=entry - 1 if entry > 0 else None,
        entry=entry if entry >= 0 else None,
        entry_px=float(px[into]),
        exit=None if out is None else int(at[out]),
        exit_px=None if out is None else float(px[out]),
        exit_phase=phase,
        exit_reason=reason,
    )


def _with_carried(tape: Tape, decisions: Decisions, carried: Carried) -> tuple[Tape, Decisions]:
    """The tape with two quiet bars of a day before, in which the carried position is entered at a price inside its
    levels: what it cost then matters to nothing that is decided now.
    """
    px = _inside(carried, float(tape.open[0]) if len(tape) else float(carried.px), tape.tick)
    step = 60_000_000
    first = int(tape.ts_us[0]) if len(tape) else 0
    quiet = np.full(_BEFORE, px)
    longer = Tape(
        symbol=tape.symbol,
        ts_us=np.append([first - 2 * step, first - step], tape.ts_us).astype(np.int64),
        open=np.append(quiet, tape.open),
        high=np.append(quiet, tape.high),
        low=np.append(quiet, tape.low),
        close=np.append(quiet, tape.close),
        volume=np.append(np.ones(_BEFORE), tape.volume),
        day=np.append([0, 0], tape.day + 1).astype(np.int32),
        bar=np.append([0, 1], tape.bar).astype(np.int32),
        ends=np.append([False, True], tape.ends),
        tick=tape.tick,
    )

    def before(values: object, first: float | bool, second: bool = False) -> object:
        array = np.asarray(values)
        return np.concatenate([np.array([first, second], dtype=array.dtype), array])

    long = carried.qty > 0
    nan = float("nan")
    levels = {"stop": float(carried.stop) if carried.stop is not None else nan}
    levels["target"] = float(carried.target) if carried.target is not None else nan
    extended: Mapping[str, object] = {
        "entry_long": before(decisions.entry_long, long),
        "entry_short": before(decisions.entry_short, not long),
        "exit_long": before(decisions.exit_long, False, carried.leaving and long),
        "exit_short": before(decisions.exit_short, False, carried.leaving and not long),
        "stop": before(decisions.stop, levels["stop"]),
        "target": before(decisions.target, levels["target"]),
        "trail_bps": before(decisions.trail_bps, carried.trail_bps or 0),
        # The day before had one boundary after the entry's own bar: its close.
        "max_hold_bars": before(
            decisions.max_hold_bars, 0 if carried.hold_left is None else max(carried.hold_left, 0) + 1
        ),
        "qty": before(decisions.qty, 1.0),
    }
    return longer, replace(decisions, **extended)  # type: ignore[arg-type]


def _inside(carried: Carried, px: float, tick: float) -> float:
    """A price on tick that lies between stop and target."""
    stop, target = carried.stop, carried.target
    bounds = sorted(float(level) for level in (stop, target) if level is not None)
    long = carried.qty > 0
    if len(bounds) == 2:
        px = (bounds[0] + bounds[1]) / 2
    elif stop is not None and (px <= float(stop)) is long:
        px = float(stop) + (tick if long else -tick)
    elif target is not None and (px >= float(target)) is long:
        px = float(target) - (tick if long else -tick)
    return float(np.round(px / tick)) * tick
