"""Bars that no simulation may be run on, refused with symbol, time, value and remedy before it begins (§2)."""

from datetime import UTC, datetime, timedelta

import numpy as np

from qmworkbench.research.fills.tape import Bools, Decisions, Tape

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = ("ts_us", "open", "high", "low", "close", "volume", "day", "bar", "ends")
_QUARANTINE = "quarantine these bars, or load the period through the bar store, which does"


class TapeFault(ValueError):
    """A tape, or decisions about it, that cannot be simulated; the message names symbol, time, value and remedy."""


def check_tape(tape: Tape) -> None:
    """Raise TapeFault unless the bars of `tape` are what Tape promises."""
    heights = {name: len(getattr(tape, name)) for name in _COLUMNS}
    if len(set(heights.values())) > 1:
        raise TapeFault(f"{tape.symbol}: columns of different heights {heights}; give one value for each bar")
    if not (np.isfinite(tape.tick) and tape.tick > 0):
        raise TapeFault(f"{tape.symbol}: tick {tape.tick!r}; give the instrument's price increment, such as 0.01")
    if not len(tape):
        raise TapeFault(f"{tape.symbol}: no bars; choose a period in which it traded")
    for name in ("open", "high", "low", "close"):
        values = getattr(tape, name)
        _refuse(tape, ~np.isfinite(values), f"{name} is no number", name, _QUARANTINE)
        _refuse(tape, values <= 0, f"{name} is not above zero", name, _QUARANTINE)
    _refuse(
        tape, ~np.isfinite(tape.volume) | (tape.volume < 0), "volume is no number of 0 or more", "volume", _QUARANTINE
    )
    _refuse(tape, tape.high < tape.low, "the high is under the low", "high", _QUARANTINE)
    for name in ("open", "close"):
        outside = (getattr(tape, name) > tape.high) | (getattr(tape, name) < tape.low)
        _refuse(tape, outside, f"{name} lies outside the bar's range", name, _QUARANTINE)
    late = np.append(False, np.diff(tape.ts_us) <= 0)
    _refuse(tape, late, "a bar is out of order or twice there", "ts_us", "sort by time and keep each bar once")
    back = np.append(False, np.diff(tape.day) < 0)
    _refuse(tape, back, "the session number goes back", "day", "number the sessions of the period from 0, ascending")


def check_decisions(tape: Tape, decisions: Decisions) -> None:
    """Raise TapeFault unless `decisions` have the height of `tape` and their entries make sense on it."""
    names = (
        "entry_long",
        "entry_short",
        "exit_long",
        "exit_short",
        "stop",
        "target",
        "trail_bps",
        "max_hold_bars",
        "qty",
    )
    for name in names:
        if len(getattr(decisions, name)) != len(tape):
            found = len(getattr(decisions, name))
            raise TapeFault(f"{tape.symbol}: {name} has {found} rows for {len(tape)} bars; decide each close once")
    entry = decisions.entry_long | decisions.entry_short
    remedy = "size entries in whole units of 0 or more"
    _refuse(
        tape, entry & ~(np.isfinite(decisions.qty) & (decisions.qty >= 0)), "an entry's quantity is none", "", remedy
    )
    for name in ("stop", "target"):
        wrong = entry & (np.isinf(getattr(decisions, name)) | (getattr(decisions, name) <= 0))
        _refuse(tape, wrong, f"an entry's {name} is no price", "", "give a level on tick, NaN for none")
    off = entry & ((decisions.trail_bps < 0) | (decisions.trail_bps >= 10_000))
    _refuse(tape, off, "an entry's trail is not from 0 to below 10000 bps", "", "give whole basis points, 0 for none")
    _refuse(
        tape, entry & (decisions.max_hold_bars < 0), "an entry's time limit is negative", "", "give bars, 0 for none"
    )


def _refuse(tape: Tape, wrong: Bools, problem: str, column: str, remedy: str) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        row = int(rows[0])
        at = (_EPOCH + timedelta(microseconds=int(tape.ts_us[row]))).strftime("%Y-%m-%d %H:%M UTC")
        value = f" ({getattr(tape, column)[row]})" if column else ""
        more = f", and {len(rows) - 1} more" if len(rows) > 1 else ""
        raise TapeFault(f"{tape.symbol} at {at}: {problem}{value}{more}; {remedy}")
