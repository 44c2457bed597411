"""The decisions of a tape sent to the simulated exchange as orders, one by one, the way a session sends them."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from qmworkbench.domain.orders import Side, TimeInForce
from qmworkbench.research.fills.tape import Decisions, Tape
from tests.venue.worlds import World, bracket, ticked

AMPLE = "1000000000000"


def venue_fills(tape: Tape, decisions: Decisions) -> list[tuple[int, float, float]]:
    """(row, signed quantity, price) of every fill, on one session; what a flip sells is two fills here."""
    world = World(instruments=(ticked("AAA", format(tape.tick, "f")),), cash=AMPLE)
    row_of = {int(boundary): row for row, boundary in enumerate(tape.bar)}
    trader = _Trader(world, decisions)
    for boundary in range(int(tape.bar[-1]) + 1):
        row = row_of.get(boundary)
        world.feed(
            {} if row is None else {"AAA": [float(getattr(tape, n)[row]) for n in ("open", "high", "low", "close")]}
        )
        trader.boundary_closed(row, last=row == len(tape) - 1)
    if tape.ends[-1]:
        world.end()
    return [(row_of[bar], float(qty), float(px)) for bar, qty, px in world.fills()]


class _Trader:
    """What is held decides what a signal means; an exit that waits is not sent twice."""

    def __init__(self, world: World, decisions: Decisions) -> None:
        self.world, self.decisions = world, decisions
        self.held_bars, self.limit, self.waiting_limit, self.sent = 0, 0, 0, 0
        self.side = 0

    def boundary_closed(self, row: int | None, *, last: bool) -> None:
        qty = self.world.qty()
        side = int(np.sign(float(qty)))
        if side != self.side:
            self.side, self.held_bars, self.limit = side, 0, self.waiting_limit
        self.held_bars += side != 0
        expired = side != 0 and 0 < self.limit <= self.held_bars
        if row is None or last:
            if expired:
                self._close(qty)
            return
        d = self.decisions
        long, short = (
            bool(d.entry_long[row]) and not d.exit_long[row],
            bool(d.entry_short[row]) and not d.exit_short[row],
        )
        if long and short:
            long = short = False
        if side == 0:
            if long or short:
                self._enter(row, Side.BUY if long else Side.SELL)
            return
        opposite = short if side > 0 else long
        if opposite or expired or (d.exit_long[row] if side > 0 else d.exit_short[row]):
            self._close(qty)
            if opposite and d.reverse:
                self._enter(row, Side.SELL if side > 0 else Side.BUY)

    def _close(self, qty: Decimal) -> None:
        self.sent += 1
        close = self.world.close_long if qty > 0 else self.world.close_short
        close(f"x{self.sent}", str(abs(qty)))

    def _enter(self, row: int, side: Side) -> None:
        d, name = self.decisions, f"e{row}"
        if not d.qty[row] > 0:
            return
        self.waiting_limit = int(d.max_hold_bars[row])
        stop, target = (None if np.isnan(level[row]) else float(level[row]) for level in (d.stop, d.target))
        trail = int(d.trail_bps[row]) or None
        legs = bracket(name, stop=stop, target=target, trail=trail, close=d.flat_at_close)
        self.world.send(name, side, float(d.qty[row]), tif=TimeInForce.IOC, legs=legs)
