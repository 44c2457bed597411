"""The fill model where nothing can happen within a bar: no stop, no target, no time limit, compiled (FILLS §2).

Of the whole walk (`fill_walk.walk`) there remains: entries and exits at the next open, and the session's close. It goes
straight from code bytes to fills, with no events between, to the same fills bit for bit; that is a test.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from qmworkbench.research.fills.compiled import compiled
from qmworkbench.research.fills.fill_walk import (
    AT,
    CLOSE,
    ENTRY_LONG,
    ENTRY_SHORT,
    EXIT_LONG,
    EXIT_SHORT,
    FEE,
    OPEN,
    PX,
    SESSION_END,
    SIGNED,
    Costs,
    Rows,
    Scratch,
)
from qmworkbench.research.fills.tape import Codes, Floats

_NONE: Final = np.uint64(0)


@compiled
def put(out: Scratch, n: int, costs: Costs, at: int, qty: float, px: float) -> None:
    """Write one fill at the market's `px`."""
    paid = px * (1 + costs.slippage_rate) if qty > 0 else px * (1 - costs.slippage_rate)
    size = abs(qty)
    out.what[AT, n] = at
    out.money[SIGNED, n], out.money[PX, n] = qty, paid
    out.money[FEE, n] = size * paid * costs.fee_rate + costs.fee_per_order + costs.fee_per_unit * size


@compiled
def plain_walk(rows: Rows, code: Codes, words: npt.NDArray[np.uint64], qty: Floats, costs: Costs, out: Scratch) -> int:
    """Write the fills of `code` (a byte for each row; `words` the same in eights) into `out`; how many there are.

    Only where a position is closed by an opposite entry, not turned round, and no entry is capped by volume.
    """
    height = rows.price.shape[1]
    n = 0
    held, ends = 0.0, height
    for word in range((height + 7) // 8):
        if words[word] == _NONE:
            continue
        for t in range(word * 8, min(word * 8 + 8, height - 1)):
            told = code[t]
            if told == 0:
                continue
            if held != 0 and t >= ends:
                put(out, n, costs, ends, -held, rows.price[CLOSE, ends])
                n += 1
                held = 0.0
            if held == 0:
                if told & (ENTRY_LONG | ENTRY_SHORT) and qty[t] > 0:
                    held = qty[t] if told & ENTRY_LONG else -qty[t]
                    put(out, n, costs, t + 1, held, rows.price[OPEN, t + 1])
                    n += 1
                    ends = rows.mark[SESSION_END, t + 1] if costs.flat_at_close else height
            elif told & ((EXIT_LONG | ENTRY_SHORT) if held > 0 else (EXIT_SHORT | ENTRY_LONG)):
                put(out, n, costs, t + 1, -held, rows.price[OPEN, t + 1])
                n += 1
                held = 0.0
    if held != 0 and ends < height:
        put(out, n, costs, ends, -held, rows.price[CLOSE, ends])
        n += 1
    return n
