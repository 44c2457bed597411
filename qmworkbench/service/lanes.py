"""The two lanes on which effects leave: what gets out of the market never waits for what gets into it (§13, §15).

Effects leave in the order in which they were decided, one after another, each after the answer to the one before. As
long as the broker answers there is no more to it, and a replay, in which every answer is there at once, knows nothing
else.

An answer may be long in coming, though: a submit that hangs, a query, the venue itself. What leads out of the market
does not wait for it. Cancels, closes and the emergency's readings, the *way out*, overtake: at once where somebody
gives a command meanwhile, and otherwise once the broker has been silent for a second. They go side by side, so that one
that hangs holds up no other. Entries, replaces, other queries and notices keep their turn.

One order's own effects never overtake each other. A cancel that reached the broker before its order would be answered
"unknown", and the order would come in behind it and live. So a cancel is held until the submit, or the replace, of its
order has been answered or given up; that takes as long as the broker's adapter waits, and no longer. What is given up
may be live, and its cancel goes out then. A submit that is still in the queue behind something that hangs, and has been
asked to cancel, is never sent (trading/sending.py), and neither is its cancel needed.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from qmworkbench.domain.events.reconciliation import Trigger
from qmworkbench.domain.orders import PositionEffect
from qmworkbench.trading.effects import CancelOrder, Effect, QueryBroker, ReplaceOrder, SubmitOrder

T = TypeVar("T")

# A broker that has said nothing for so long hangs; until then the order of decisions is that of the plain loop.
HANGS_AFTER_S: Final = 1.0
SIDE_BY_SIDE: Final = 8


def is_way_out(effect: Effect) -> bool:
    """Whether an effect leads out of the market: a cancel, a close, the emergency's reading of the broker."""
    if isinstance(effect, SubmitOrder):
        return effect.request.position_effect is PositionEffect.CLOSE
    if isinstance(effect, QueryBroker):
        return effect.trigger is Trigger.EMERGENCY
    return isinstance(effect, CancelOrder)


def orders_of(effect: Effect) -> frozenset[str]:
    """The orders whose own effects must keep their order: the ids it names; none for what only reads."""
    if isinstance(effect, SubmitOrder):
        return frozenset((effect.request.cl_ord_id, *(leg.cl_ord_id for leg in effect.request.legs)))
    if isinstance(effect, CancelOrder):
        return frozenset((effect.cl_ord_id,))
    if isinstance(effect, ReplaceOrder):
        return frozenset((effect.order, effect.request.orig_cl_ord_id, effect.request.cl_ord_id))
    return frozenset()


class Lanes:
    """The effects still to be carried out. `carry` carries one out and takes in its answer; it may raise.

    `overlaps` says that there is an event loop beside the work: without one nothing is ever under way that could be
    overtaken. Owned by the shell's thread or loop.
    """

    def __init__(self, carry: Callable[[int, Effect], Awaitable[None]], *, overlaps: bool) -> None:
        self._carry = carry
        self._overlaps = overlaps
        self._queue: deque[tuple[int, Effect]] = deque()
        self._under_way: list[frozenset[str]] = []
        self._overtaking: set[asyncio.Task[None]] = set()
        self._trouble: Exception | None = None
        self.overtaken = 0

    def __bool__(self) -> bool:
        return bool(self._queue)

    def put(self, seq: int, effects: Iterable[Effect]) -> None:
        """Queue the effects of the decision with this sequence."""
        self._queue.extend((seq, effect) for effect in effects)

    def clear(self) -> None:
        """Forget what has not left."""
        self._queue.clear()

    @property
    def first(self) -> Effect:
        """The effect whose turn it is."""
        return self._queue[0][1]

    async def take_turn(self) -> None:
        """Carry out the first effect, after what is under way of its own orders."""
        while self._overtaking and self._is_busy(orders_of(self.first)):
            await asyncio.wait(self._overtaking, return_when=asyncio.FIRST_COMPLETED)
        if not self._queue:
            return
        seq, effect = self._queue.popleft()
        orders = orders_of(effect)
        self._under_way.append(orders)
        try:
            await self.patiently(self._carry(seq, effect))
        finally:
            self._under_way.remove(orders)

    async def patiently(self, work: Awaitable[T]) -> T:
        """Wait for work with the broker; where it hangs, let the way out overtake it."""
        if not self._overlaps:
            return await work
        task = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({task}, timeout=HANGS_AFTER_S)
            if not done:
                self.overtake()
            return await task
        except asyncio.CancelledError:
            task.cancel()
            raise

    def overtake(self) -> None:
        """Let out at once what leads out of the market and waits for nothing of its own orders."""
        if not self._overlaps:
            return
        waiting: set[str] = set()
        for entry in tuple(self._queue):
            seq, effect = entry
            orders = orders_of(effect)
            free = not orders & waiting and not self._is_busy(orders)
            if is_way_out(effect) and free and len(self._overtaking) < SIDE_BY_SIDE:
                self._queue.remove(entry)
                self.overtaken += 1
                self._under_way.append(orders)
                self._overtaking.add(asyncio.get_running_loop().create_task(self._side_by_side(seq, effect, orders)))
            else:
                waiting |= orders

    async def quiet(self) -> None:
        """Wait for what has overtaken; raises what one of them raised."""
        while self._overtaking:
            await asyncio.wait(self._overtaking, return_when=asyncio.FIRST_COMPLETED)
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            raise trouble

    async def _side_by_side(self, seq: int, effect: Effect, orders: frozenset[str]) -> None:
        try:
            await self._carry(seq, effect)
        except Exception as error:  # nobody waits here: whoever settles next is told
            self._trouble = self._trouble or error
        finally:
            self._under_way.remove(orders)
            task = asyncio.current_task()
            if task is not None:
                self._overtaking.discard(task)
            # An answer may lead further out, and a place is free.
            self.overtake()

    def _is_busy(self, orders: frozenset[str]) -> bool:
        return any(orders & busy for busy in self._under_way)
