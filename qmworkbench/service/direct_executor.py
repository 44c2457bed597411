"""The hands of a direct emergency: each look reads the broker's books and does what is due, symbol by symbol (§15)."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import msgspec

from qmworkbench.domain import ids
from qmworkbench.domain.execution import BrokerOrder, BrokerPosition, OrderRequest
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Leg, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.ports import Broker, BrokerUnreachable, RequestRefused
from qmworkbench.service.direct_record import DirectRecord
from qmworkbench.service.direct_report import SymbolLine
from qmworkbench.service.lease import LeaseLost

CANCEL_WAIT_S: Final = 5.0
RETRY_S: Final = 5.0


class _Close(msgspec.Struct, kw_only=True):
    """A close we sent: whether we know that the broker has it, and when it was sent."""

    request: OrderRequest
    sent_s: float
    known: bool


class _Way(msgspec.Struct, kw_only=True):
    """What we remember of one symbol between looks. `again` never reached the broker and is sent under its own id."""

    line: SymbolLine
    since_s: float
    close: _Close | None = None
    again: OrderRequest | None = None
    not_before_s: float = 0.0


class Executor:
    """One look after the other; each does what is due and remembers what was asked."""

    def __init__(
        self,
        broker: Broker,
        record: DirectRecord,
        name: str,
        book: str,
        session_id: str,
        clock: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        self.ways: dict[str, _Way] = {}
        self.entries_canceled = 0
        self.unread = "not read yet"
        self.cut_off = ""
        self._broker = broker
        self._record = record
        self._name = name
        self._book = book
        self._session_id = session_id
        self._clock = clock
        self._say = say
        self._cancel_asked: dict[str, float] = {}
        self._sent: set[str] = set()
        self._clock_seen: datetime | None = None
        self._clockless_s: float | None = None

    # --- one look -------------------------------------------------------------------------------------------

    def look(self) -> bool:
        """Read the books, do what is due; True when the broker holds nothing and works nothing."""
        try:
            orders = self._broker.open_orders()
            positions = {held.symbol: held for held in self._broker.positions() if held.qty}
        except Exception as error:  # whatever a broken connection raises, it is asked again
            self._unreachable(error)
            return False
        self.unread = ""
        ours = {way.close.request.cl_ord_id for way in self.ways.values() if way.close is not None}
        for order in orders:
            if order.position_effect is PositionEffect.OPEN and self._cancel(order, "entry"):
                self.entries_canceled += 1
        # An exit whose position is gone would open one: exits of every symbol are cancelled, held or not.
        exits = [
            order for order in orders if order.position_effect is PositionEffect.CLOSE and order.cl_ord_id not in ours
        ]
        for symbol in sorted({*positions, *(order.symbol for order in exits)} - self.ways.keys()):
            held = positions[symbol].qty if symbol in positions else ZERO
            self.ways[symbol] = _Way(line=SymbolLine(symbol=symbol, held=held, left=held), since_s=self._clock())
            self._step(self.ways[symbol], "exits_canceled", f"the broker holds {held}")
        for symbol, way in sorted(self.ways.items()):
            resting = [order for order in exits if order.symbol == symbol]
            try:
                self._one_symbol(way, resting, positions.get(symbol), orders)
            except Exception as error:  # one symbol's trouble must not keep the others from getting out
                self._step(way, way.line.step, f"{type(error).__name__}: {error}")
        return not positions and not orders and not self._doubtful()

    def _one_symbol(
        self, way: _Way, exits: Sequence[BrokerOrder], held: BrokerPosition | None, orders: Sequence[BrokerOrder]
    ) -> None:
        for order in exits:
            self._cancel(order, "exit")
        way.line.left = held.qty if held is not None else ZERO
        self._settle_close(way, orders)
        if held is None:
            if way.line.step != "flat" and not exits and way.close is None:
                self._step(way, "flat", "the broker holds nothing")
            return
        now_s = self._clock()
        if way.close is not None or now_s < way.not_before_s:
            return
        if exits and now_s - way.since_s < CANCEL_WAIT_S:
            return
        self._close(way)

    def _settle_close(self, way: _Way, orders: Sequence[BrokerOrder]) -> None:
        """Find out what became of the close that was sent: while it may live, no other one is."""
        close = way.close
        if close is None or any(order.cl_ord_id == close.request.cl_ord_id for order in orders):
            if close is not None:
                close.known = True
                if way.line.step == "close_sent" and self._clock() - close.sent_s > RETRY_S:
                    self._step(way, "queued", "the close rests at the broker and waits for the market")
            return
        try:
            found, _cursor = self._broker.order(close.request.cl_ord_id)
        except BrokerUnreachable:
            return
        if found is not None and found.leaves_qty > 0:
            return
        if found is None and not close.known:
            # Not in the books yet. Where ids are unique the same one may go again, and settles it; else it is given
            # time.
            if self._broker.enforces_unique_ids:
                way.again = close.request
            elif self._clock() - close.sent_s < CANCEL_WAIT_S:
                return
        way.close = None

    # --- requests ---------------------------------------------------------------------------------------------

    def _cancel(self, order: BrokerOrder, what: str) -> bool:
        """Ask for a cancel, again only after a while: a refused cancel has usually filled. True the first time."""
        cl_ord_id, now_s = order.cl_ord_id, self._clock()
        asked = self._cancel_asked.get(cl_ord_id)
        if asked is not None and now_s - asked < RETRY_S:
            return False
        self._cancel_asked[cl_ord_id] = now_s
        self._record.cancel_requested(cl_ord_id)
        try:
            self._broker.cancel(cl_ord_id)
        except RequestRefused as error:
            self._record.cancel_refused(cl_ord_id, str(error))
            self._say(f"{order.symbol}: cancel of {what} {cl_ord_id} refused: {error}")
        except LeaseLost as error:
            self._end(error)
        except Exception as error:  # no answer that can be used, whatever the adapter makes of it
            self._record.cancel_lost(cl_ord_id, str(error))
            self._say(f"{order.symbol}: cancel of {what} {cl_ord_id} got no answer: {error}")
        else:
            self._record.cancel_sent(cl_ord_id)
            self._say(f"{order.symbol}: {what} {cl_ord_id} asked to cancel")
        return asked is None

    def _close(self, way: _Way) -> None:
        """Read the position once more and close what no other order may still close."""
        symbol = way.line.symbol
        try:
            held = next((held for held in self._broker.positions() if held.symbol == symbol and held.qty), None)
            working = [order for order in self._broker.open_orders() if order.symbol == symbol]
        except BrokerUnreachable as error:
            self._unreachable(error)
            return
        if held is None:
            return
        side = Side.SELL if held.qty > 0 else Side.BUY
        qty = abs(held.qty) - sum((order.leaves_qty for order in working if order.side is side), ZERO)
        if qty <= 0:
            way.line.detail = "other orders on the closing side may still fill all of it"
            return
        at = self._broker_time(working)
        if at is None:
            return
        request, way.again = way.again, None
        if request is None:
            way.line.attempts += 1
            request = self._request(way, side, qty, at)
        self._submit(way, request, held)

    def _request(self, way: _Way, side: Side, qty: Decimal, at: datetime) -> OrderRequest:
        symbol, attempt = way.line.symbol, way.line.attempts
        return OrderRequest(
            cl_ord_id=ids.cl_ord_id(
                book=self._book,
                session=self._session_id,
                strategy_id="direct",
                symbol=symbol,
                signal_id=f"{self._name}/{symbol}",
                leg=Leg.LIQUIDATE,
                attempt=attempt,
            ),
            symbol=symbol,
            side=side,
            position_effect=PositionEffect.CLOSE,
            ord_type=OrdType.MARKET,
            order_qty=qty,
            time_in_force=TimeInForce.DAY,
            decided_at=at,
        )

    def _submit(self, way: _Way, request: OrderRequest, held: BrokerPosition) -> None:
        known_before = request.cl_ord_id in self._sent
        if not known_before:
            self._record.close_intended(request, held.market_px, f"{self._name}/{request.symbol}", way.line.attempts)
        self._sent.add(request.cl_ord_id)
        now_s = self._clock()
        try:
            self._broker.submit(request)
        except RequestRefused as error:
            self._record.close_refused(request.cl_ord_id, str(error))
            way.not_before_s = now_s + RETRY_S
            if known_before:
                way.close = _Close(request=request, sent_s=now_s, known=True)  # it had arrived after all
                return
            self._step(way, "queued", f"the broker refused the close: {error}")
        except LeaseLost as error:
            self._end(error)
        except Exception as error:  # whatever the adapter makes of an answer: the close may live, so no other is sent
            self._record.close_lost(request.cl_ord_id, str(error))
            way.close = _Close(request=request, sent_s=now_s, known=False)
            self._step(way, "close_sent", f"{request.order_qty} of {abs(held.qty)}, no answer yet: {error}")
        else:
            self._record.close_sent(request.cl_ord_id)
            way.close = _Close(request=request, sent_s=now_s, known=True)
            self._step(way, "close_sent", f"{request.order_qty} of {abs(held.qty)}")

    def _broker_time(self, working: Sequence[BrokerOrder]) -> datetime | None:
        """The broker's own clock: a venue that replays another year would wait for ours to come. Once asking for it has
        failed for RETRY_S, what it said last tells the time, at worst ours: an account page must not keep a position
        open. None until then.
        """
        try:
            self._clock_seen = self._broker.account().as_of
        except Exception:  # whatever a broken account page raises
            self._clockless_s = self._clock() if self._clockless_s is None else self._clockless_s
            if self._clock_seen is None and self._clock() - self._clockless_s >= RETRY_S:
                return max((order.transact_time for order in working), default=self._last_report_at())
        return self._clock_seen

    def _last_report_at(self) -> datetime:
        try:
            return self._broker.reports(0)[-1].transact_time
        except Exception:  # the last clock but our own has failed too
            return datetime.now(UTC)

    def _end(self, error: LeaseLost) -> None:
        """Somebody else has taken the book: it is theirs to close."""
        self.cut_off = str(error)
        self._say(f"this process may not send any more: {error}")

    # --- saying -----------------------------------------------------------------------------------------------

    def _step(self, way: _Way, step: str, detail: str) -> None:
        if (way.line.step, way.line.detail) == (step, detail):
            return
        way.line.step, way.line.detail = step, detail
        self._record.step(self._name, way.line.symbol, step, detail)
        self._say(f"{way.line.symbol}: {step.replace('_', ' ')}: {detail}")

    def _unreachable(self, error: Exception) -> None:
        if self.unread != str(error):
            self._say(f"the broker cannot be read: {error}; trying again")
        self.unread = str(error) or "the broker does not answer"

    def _doubtful(self) -> bool:
        return any(way.close is not None for way in self.ways.values())

    def open_symbols(self) -> str:
        """The symbols that are not flat yet, as a phrase."""
        if self.unread:
            return f"positions unknown ({self.unread})"
        still = [f"{way.line.symbol} {way.line.left}" for _, way in sorted(self.ways.items()) if way.line.left]
        return ", ".join(still) or "orders still work"

    def what_is_left(self) -> str:
        """What a person must do now."""
        if self.cut_off:
            return f"P0: not finished here ({self.cut_off}): watch whoever holds the book now, and the broker"
        still = f"P0: not flat: {self.open_symbols()}."
        if any(way.line.step == "queued" for way in self.ways.values()):
            return f"{still} Closes are queued, as the market does not move: watch the next open, or close by hand"
        return f"{still} Close it at the broker by hand, then reconcile (`qm reconcile`)"

    def realized_pnl(self) -> Decimal:
        """The account's own figure for the session, 0 where it cannot be read."""
        try:
            return self._broker.account().realized_pnl
        except Exception:  # a figure for the record: its trouble is not the emergency's
            return ZERO
