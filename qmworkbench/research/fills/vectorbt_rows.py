"""Decisions as vectorbt takes them, one row a bar (FILLS §1): the sweep's second opinion, and its peer.

One row a bar is right where every order is at an open: no stop, no target, nothing at the close. Signals are moved on
by one bar and filled at the open. Everything else needs two rows (`two_rows`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qmworkbench.research.fills.tape import Bools, Decisions, Floats, Tape, Terms

_MINUTE = "1min"


def one_row(
    tape: Tape, decisions: Sequence[Decisions] | Decisions, terms: Terms, cash: float, *, engine: str = "auto"
) -> Any:
    """The vectorbt portfolio of one set of decisions, or of several side by side, a column each."""
    import pandas as pd
    import vectorbt as vbt

    several = [decisions] if isinstance(decisions, Decisions) else list(decisions)
    ends = tape.ends[:, None]
    long, short = _columns(several, "entry_long"), _columns(several, "entry_short")
    leave_long, leave_short = _columns(several, "exit_long"), _columns(several, "exit_short")
    long, short = long & ~leave_long & ~ends, short & ~leave_short & ~ends
    both = long & short
    qty = np.column_stack([one.qty for one in several])
    shape = (len(tape), len(several))
    index = pd.RangeIndex(len(tape))

    def wide(column: Floats) -> Any:
        return pd.DataFrame(np.broadcast_to(column[:, None], shape).copy(), index=index)

    return vbt.Portfolio.from_signals(
        wide(tape.close),
        entries=_later(long & ~both),
        exits=_later(leave_long),
        short_entries=_later(short & ~both),
        short_exits=_later(leave_short),
        price=np.ascontiguousarray(np.broadcast_to(tape.open[:, None], shape)),
        size=np.concatenate([np.full((1, shape[1]), np.nan), qty[:-1]]),
        fees=terms.fee_rate,
        fixed_fees=terms.fee_per_order,
        slippage=terms.slippage_rate,
        init_cash=cash,
        accumulate=False,
        upon_long_conflict="exit",
        upon_short_conflict="exit",
        upon_opposite_entry="reverse" if several[0].reverse else "close",
        freq=_MINUTE,
        engine=engine,
    )


def _columns(several: Sequence[Decisions], name: str) -> Bools:
    return np.column_stack([np.asarray(getattr(one, name), np.bool_) for one in several])


def _later(flags: Bools) -> Bools:
    """What was decided at one close, at the next open."""
    moved: npt.NDArray[np.bool_] = np.concatenate([np.zeros((1, flags.shape[1]), np.bool_), flags[:-1]])
    return moved
