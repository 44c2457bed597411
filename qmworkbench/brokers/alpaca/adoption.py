"""Which order of the broker's is which of ours: exits are adopted through their entry (§13, DESIGN §3).

The broker names the legs of a bracket itself, so a leg is known by its entry and by what it does: a stop, a target,
an exit at the close. An order that is replaced goes on under a new id at the broker; what its reports say of parents
is the entry's first name, which never changes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qmworkbench.brokers.alpaca import reading
from qmworkbench.brokers.alpaca.words import LEG_TYPES, TYPES
from qmworkbench.domain.execution import OrderRequest
from qmworkbench.domain.orders import Leg

LegNames = Callable[[str, Leg], str | None]
"""What a leg of one of our entries is called by us: from the durable intents, for entries of an earlier life."""


@dataclass(frozen=True)
class Known:
    """An order of the broker's: `name` is our id of it, `root` the first one it had; legs name their entry's root."""

    order_id: str
    name: str
    root: str
    parent: str | None = None
    leg: Leg | None = None
    nameless: bool = False  # a leg that has no name of ours, only the broker's


def nobody(_parent: str, _leg: Leg) -> str | None:
    """No entries of an earlier life are known."""
    return None


class Adoption:
    """The orders met so far, by the broker's id and by ours."""

    def __init__(self, leg_names: LegNames = nobody) -> None:
        self._leg_names = leg_names
        self._sent: dict[tuple[str, Leg], str] = {}
        self._by_id: dict[str, Known] = {}
        self._by_name: dict[str, Known] = {}

    def expect(self, request: OrderRequest) -> None:
        """An entry is about to be sent: these are the names of its exits."""
        for leg in request.legs:
            self._sent[request.cl_ord_id, leg.leg] = leg.cl_ord_id

    def of_id(self, order_id: str) -> Known | None:
        """The order of the broker's id."""
        return self._by_id.get(order_id)

    def of_name(self, name: str) -> Known | None:
        """The order of our id."""
        return self._by_name.get(name)

    def learn(self, order: Mapping[str, Any], parent: Known | None = None) -> Known:
        """Take note of an order, and of the legs inside it. Raises Malformed."""
        order_id, name = reading.text(order, "id"), reading.text(order, "client_order_id")
        known = self._by_id.get(order_id)
        if known is None or (parent is not None and known.parent is None):
            known = self._made(order, order_id, name, parent)
            self._by_id[order_id] = known
            self._by_name[known.name] = known
        legs = order.get("legs")
        if legs is not None:
            for leg in reading.listed(legs, "legs"):
                self.learn(reading.mapping(leg, "a leg"), known)
        return known

    def _made(self, order: Mapping[str, Any], order_id: str, name: str, parent: Known | None) -> Known:
        before = self._by_id.get(str(order.get("replaces") or ""))
        if before is not None:
            return Known(order_id, name, before.root, before.parent, before.leg)
        if parent is None:
            return Known(order_id, name, name)
        leg = LEG_TYPES[reading.word(order, "type", TYPES)]
        ours = self._sent.get((parent.root, leg)) or self._leg_names(parent.root, leg) or name
        return Known(order_id, ours, ours, parent.root, leg, ours == name)
