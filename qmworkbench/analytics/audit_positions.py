"""Positions counted again from the journal's own records, apart from the kernel and its arithmetic (§14, §20).

Only signed quantities: each fill adds its own, a busted one takes it back, a restatement and a repair say before and
after, a book entry ends the parts it names. What the journal states along the way must be what this comes to.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from qmworkbench.domain.events import orders, overnight, reconciliation
from qmworkbench.domain.orders import Side

_NOTHING: Final = Decimal(0)


class PositionLedger:
    """Signed quantity by "strategy|symbol". `carried` is what was held when the walk begins; None: not known, then the
    first record of a position says what was.
    """

    def __init__(self, carried: Mapping[str, Decimal] | None) -> None:
        self._held: dict[str, Decimal] = dict(carried or {})
        self._learns = carried is None
        self._seen: set[str] = set(self._held)

    def filled(self, event: orders.FillRecorded) -> str:
        """A fill; what is wrong with the position it states, "" if nothing."""
        moved = event.last_qty if event.side is Side.BUY else -event.last_qty
        before = self._before(event.strategy_id, event.symbol, event.position_qty - moved)
        return self._becomes(event.strategy_id, event.symbol, before + moved, event.position_qty)

    def reversed(self, event: orders.FillReversed) -> None:
        """An execution taken back."""
        moved = event.last_qty if event.side is Side.BUY else -event.last_qty
        key = _key(event.strategy_id, event.symbol)
        self._seen.add(key)
        self._held[key] = self._held.get(key, _NOTHING) - moved

    def restated(self, event: overnight.PositionRestated) -> str:
        """An overnight activity; what is wrong with the quantity it begins from, "" if nothing."""
        before = self._before(event.strategy_id, event.symbol, event.qty_before)
        wrong = "" if before == event.qty_before else f"says {event.qty_before} was held, the records make it {before}"
        self._held[_key(event.strategy_id, event.symbol)] = _NOTHING
        into = _key(event.strategy_id, event.new_symbol or event.symbol)
        self._seen.add(into)
        self._held[into] = self._held.get(into, _NOTHING) + event.qty_after
        return wrong

    def repaired(self, event: reconciliation.RepairApplied) -> None:
        """A reconciliation said what is held from now on."""
        if event.qty:
            key = _key(event.strategy_id, event.symbol)
            self._seen.add(key)
            self._held[key] = Decimal(event.qty)

    def offset(self, event: orders.PositionsOffset) -> str:
        """Parts that were set off against each other; what they did not cancel out to, "" if they did."""
        keys = [_key(name, event.symbol) for name in event.strategy_ids]
        left = sum((self._held.get(key, _NOTHING) for key in keys), _NOTHING)
        for key in keys:
            self._held[key] = _NOTHING
        return f"{left} is left of parts that were to cancel out" if left and not self._learns else ""

    def differing(self, folded: Mapping[str, Decimal]) -> list[tuple[str, Decimal, Decimal]]:
        """Positions that the folded state has otherwise: key, what the records make it, what the state says."""
        known = {*self._held, *folded} if not self._learns else {key for key in folded if key in self._seen}
        pairs = [(key, self._held.get(key, _NOTHING), folded.get(key, _NOTHING)) for key in sorted(known)]
        return [(key, ours, theirs) for key, ours, theirs in pairs if ours != theirs]

    def _before(self, strategy_id: str, symbol: str, stated: Decimal) -> Decimal:
        key = _key(strategy_id, symbol)
        if self._learns and key not in self._seen:
            self._held[key] = stated
        self._seen.add(key)
        return self._held.get(key, _NOTHING)

    def _becomes(self, strategy_id: str, symbol: str, counted: Decimal, stated: Decimal) -> str:
        self._held[_key(strategy_id, symbol)] = counted
        return "" if counted == stated else f"states a position of {stated}, the records make it {counted}"


def _key(strategy_id: str, symbol: str) -> str:
    return f"{strategy_id}|{symbol}"
