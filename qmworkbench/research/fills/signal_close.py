"""Fills at the deciding bar's own close, for who asks for them by name: the same fill model on a finer tape (FILLS §2).

Behind every bar a moment is set in at its close, at which what was decided there is filled. The engines know nothing of
it: to them it is one more bar that opens there.
"""

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from qmworkbench.research.fills.tape import Decisions, Fills, Phase, Tape


def unfolded(tape: Tape, decisions: Decisions) -> tuple[Tape, Decisions]:
    """The tape with a moment after each bar, and the same decisions on it; entries at a session's end are cleared."""
    moments: dict[str, Any] = {
        name: _between(getattr(tape, name), tape.close) for name in ("open", "high", "low", "close")
    }
    finer = replace(
        tape,
        **moments,
        ts_us=_between(tape.ts_us, tape.ts_us + 1),  # after all that the bar itself brought
        volume=_between(tape.volume, tape.volume),
        day=np.repeat(tape.day, 2),
        bar=_between(2 * tape.bar, 2 * tape.bar + 1),
        ends=_between(np.zeros(len(tape), np.bool_), tape.ends),
    )
    open_still = ~tape.ends
    nothing = np.zeros(len(tape), np.bool_)
    flags: dict[str, Any] = {
        "entry_long": _between(decisions.entry_long & open_still, nothing),
        "entry_short": _between(decisions.entry_short & open_still, nothing),
        "exit_long": _between(decisions.exit_long, nothing),
        "exit_short": _between(decisions.exit_short, nothing),
    }
    levels: dict[str, Any] = {
        name: np.repeat(getattr(decisions, name), 2) for name in ("stop", "target", "trail_bps", "qty")
    }
    return finer, replace(decisions, **flags, **levels, max_hold_bars=np.repeat(2 * decisions.max_hold_bars, 2))


def folded(fills: Fills) -> Fills:
    """Fills on the finer tape as fills of the bars themselves."""
    moment = fills.at % 2 == 1
    return replace(
        fills,
        at=fills.at // 2,
        phase=np.where(moment, np.int8(Phase.CLOSE), fills.phase).astype(np.int8),
        denied=fills.denied // 2,
    )


def folded_decisions(decisions: Decisions, sized: Decisions) -> Decisions:
    """`decisions` as they were before they were unfolded, with what sizing made of them."""
    names = ("entry_long", "entry_short", "exit_long", "exit_short", "qty")
    taken: dict[str, Any] = {name: getattr(sized, name)[::2] for name in names}
    return replace(decisions, **taken)


_Value = TypeVar("_Value", bound=np.generic)


def _between(bars: npt.NDArray[_Value], moments: npt.NDArray[_Value]) -> npt.NDArray[_Value]:
    """Bars and moments in turn."""
    woven = np.empty(2 * len(bars), dtype=bars.dtype)
    woven[::2], woven[1::2] = bars, moments
    return woven
