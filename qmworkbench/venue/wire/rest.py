"""The REST half of the wire: Alpaca's paths for orders, positions, account, activities and clock (§12, §13)."""

import asyncio
import hmac
import uuid
from typing import Any

import msgspec
from tornado import web

from qmworkbench.domain.execution import ExecType
from qmworkbench.domain.orders import PositionEffect
from qmworkbench.venue.orders import OrderRefused
from qmworkbench.venue.records import VenueError
from qmworkbench.venue.wire import listing, orders_in, shapes
from qmworkbench.venue.wire.desk import Desk
from qmworkbench.venue.wire.limiter import Limiter
from qmworkbench.venue.wire.names import STAMP_HEADER, UPDATES_HEADER, VENUE_HEADER, wire_id
from qmworkbench.venue.wire.refusals import WireError, refused, too_many, unauthorized, unknown
from qmworkbench.venue.wire.tape import WireOrder
from qmworkbench.venue.wire.troubles import Trouble, Troubles

_ENCODE = msgspec.json.Encoder().encode


class Wire:
    """What every handler works with. `key_id` and `secret` are the client's, `token` opens the control door."""

    def __init__(self, desk: Desk, *, key_id: str, secret: str, token: str, per_minute: int | None = None) -> None:
        self.desk = desk
        self.key_id, self.secret, self.token = key_id, secret, token
        self.limiter = Limiter(per_minute)
        self.troubles = Troubles()
        self.instance = uuid.uuid4().hex[:12]
        self.made = 0
        self.streams: set[Any] = set()  # of stream.Stream, which needs this module

    def knows(self, key_id: str, secret: str) -> bool:
        """Whether these are the account's credentials."""
        return hmac.compare_digest(key_id.encode(), self.key_id.encode()) and hmac.compare_digest(
            secret.encode(), self.secret.encode()
        )

    def fresh_id(self) -> str:
        """A client id for an order that came without one."""
        self.made += 1
        return wire_id(self.desk.name, "client", f"{self.instance}-{self.made}")


class Answer(web.RequestHandler):
    """A handler whose answers are JSON, and whose errors have the wire's shape."""

    def initialize(self, wire: Wire) -> None:
        self.wire = wire
        self.desk = wire.desk

    def set_default_headers(self) -> None:
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.clear_header("Server")

    def say(self, content: Any, status: int = 200) -> None:
        """The answer, with how far the stream has got by then."""
        self.set_status(status)
        self.stamp()
        if content is None:
            self.finish()
        else:
            self.finish(_ENCODE(content))

    def stamp(self) -> None:
        """The headers that say who speaks and up to when."""
        tape = self.desk.tape
        self.set_header(STAMP_HEADER, str(tape.newest_ns))
        self.set_header(UPDATES_HEADER, str(tape.updates[-1].ns if tape.updates else 0))
        self.set_header(VENUE_HEADER, f"{self.desk.name};{self.wire.instance}")
        self.set_header("X-Request-ID", uuid.uuid4().hex)
        for name, value in self.wire.limiter.headers().items():
            self.set_header(name, value)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, OrderRefused):
            error = refused(error)
        if isinstance(error, VenueError):
            error = WireError(500, 50010000, "venue_failed", str(error))
        if not isinstance(error, WireError):
            error = WireError(status_code, status_code * 100000 + 10000, "http", self._reason)
        self.say(error.body(), error.status)

    def log_exception(self, *args: Any) -> None:
        """What a client did wrong is told to the client."""
        if not isinstance(args[1], (WireError, OrderRefused, VenueError, web.HTTPError)):
            super().log_exception(*args)


class Account(Answer):
    """A handler behind the account's key, the limiter and the planned troubles."""

    async def prepare(self) -> None:
        headers = self.request.headers
        given = headers.get("APCA-API-KEY-ID", ""), headers.get("APCA-API-SECRET-KEY", "")
        if not self.wire.knows(*given):
            raise unauthorized()
        if not self.wire.limiter.take():
            raise too_many()
        self.fault = self.wire.troubles.strikes(self.request.method or "", self.request.path)
        if self.fault is None:
            return
        if self.fault.trouble is Trouble.LOSE_REQUEST:
            self._break_off()
        elif self.fault.trouble is Trouble.STATUS:
            raise WireError(self.fault.status, self.fault.status * 100000 + 10000, "planned", "planned trouble")
        elif self.fault.trouble is Trouble.HANG:
            await asyncio.sleep(3600)

    async def done(self, content: Any, status: int = 200) -> None:
        """Answer a request that took effect, unless that is to go wrong."""
        fault = self.fault
        if fault is not None and fault.trouble is Trouble.DELAY:
            await asyncio.sleep(fault.delay_s)
        if fault is not None and fault.trouble is Trouble.LOSE_ANSWER:
            self._break_off()
        elif fault is not None and fault.trouble is Trouble.EFFECT_AND_STATUS:
            raise WireError(fault.status, fault.status * 100000 + 10000, "planned", "planned trouble")
        elif fault is not None and fault.trouble is Trouble.GARBAGE:
            self.stamp()
            self.finish(b"<html>upstream")
        else:
            self.say(content, status)

    def _break_off(self) -> None:
        connection: Any = self.request.connection
        connection.stream.close()
        raise web.Finish

    def found(self, wire_order: str) -> WireOrder:
        """The order of a path. Raises WireError."""
        order = self.desk.tape.orders.get(wire_order)
        if order is None:
            raise unknown(f"order not found for {wire_order}")
        return order


class Orders(Account):
    """/v2/orders."""

    async def get(self) -> None:
        await self.done(listing.orders(self.desk.tape, self.get_argument))

    async def post(self) -> None:
        desk = self.desk
        body = orders_in.body_of(self.request.body)
        request = orders_in.order_request(body, desk.name, fallback_id=self.wire.fresh_id(), now=desk.now)
        desk.exchange.submit(request)
        desk.tell()
        taken = desk.tape.newest(request.cl_ord_id)
        if taken is None:  # the venue acknowledges it later
            raise WireError(504, 50410000, "no_answer", "the order was taken and is not acknowledged yet")
        await self.done(shapes.order(desk.tape, taken))

    async def delete(self) -> None:
        open_now = [o for o in listing.all_orders(self.desk.tape) if o["status"] not in shapes.CLOSED]
        answers = []
        for entry in open_now:
            name = self.desk.tape.orders[entry["id"]].name
            try:
                self.desk.exchange.cancel(name)
                answers.append({"id": entry["id"], "status": 200})
            except OrderRefused as error:
                answers.append({"id": entry["id"], "status": 500, "body": refused(error).body()})
        self.desk.tell()
        await self.done(answers, 207)


class OneOrder(Account):
    """/v2/orders/{id}."""

    async def get(self, order_id: str) -> None:
        await self.done(shapes.order(self.desk.tape, self.found(order_id)))

    async def delete(self, order_id: str) -> None:
        order, tape = self.found(order_id), self.desk.tape
        self.desk.exchange.cancel(order.name)
        self.desk.tell()
        if tape.updates and tape.updates[-1].report.exec_type is ExecType.CANCEL_REJECTED:
            status = shapes.order(tape, order, nested=False)["status"]
            message = f'order is already in "{status}" state'
            raise WireError(422, 42210000, "already_ended", message, reported=True)
        await self.done(None, 204)

    async def patch(self, order_id: str) -> None:
        desk, order = self.desk, self.found(order_id)
        held = desk.tape.held(order)
        body = orders_in.body_of(self.request.body)
        if held is None:
            raise unknown(f"order not found for {order_id}")
        request = orders_in.replace_request(body, order.name, held.order_qty, fallback_id=self.wire.fresh_id())
        before = len(desk.tape.updates)
        desk.exchange.replace(request)
        desk.tell()
        for update in desk.tape.updates[before:]:
            if update.report.exec_type is ExecType.REPLACE_REJECTED:
                raise WireError(422, 42210000, "replace_rejected", update.report.reason, reported=True)
        await self.done(shapes.order(desk.tape, desk.tape.newest(request.cl_ord_id) or order))


class OrderByClientId(Account):
    """/v2/orders:by_client_order_id."""

    async def get(self) -> None:
        name = self.get_argument("client_order_id", "")
        order = self.desk.tape.newest(name)
        if order is None:
            raise unknown(f"order not found for {name}")
        await self.done(shapes.order(self.desk.tape, order))


class Positions(Account):
    """/v2/positions."""

    async def get(self) -> None:
        await self.done([shapes.position(self.desk.tape, held) for held in self.desk.exchange.positions()])

    async def delete(self) -> None:
        answers = []
        for held in self.desk.exchange.positions():
            try:
                answers.append({"symbol": held.symbol, "status": 200, "body": close(self.wire, held.symbol)})
            except OrderRefused as error:
                answers.append({"symbol": held.symbol, "status": 500, "body": refused(error).body()})
        await self.done(answers, 207)


class OnePosition(Account):
    """/v2/positions/{symbol}."""

    async def get(self, symbol: str) -> None:
        for held in self.desk.exchange.positions():
            if held.symbol == symbol:
                await self.done(shapes.position(self.desk.tape, held))
                return
        raise WireError(404, 40410000, "no_position", "position does not exist")

    async def delete(self, symbol: str) -> None:
        await self.done(close(self.wire, symbol, self.get_argument("qty", "")))


def close(wire: Wire, symbol: str, qty: str = "") -> dict[str, Any]:
    """Send a reduce-only market order for a position. Raises WireError, OrderRefused."""
    desk = wire.desk
    held = next((held for held in desk.exchange.positions() if held.symbol == symbol), None)
    if held is None:
        raise WireError(404, 40410000, "no_position", f"position does not exist: {symbol}")
    side = "sell" if held.qty > 0 else "buy"
    body = {
        "symbol": symbol,
        "side": side,
        "type": "market",
        "time_in_force": "day",
        "qty": qty or shapes.text(abs(held.qty)),
        "position_intent": f"{side}_to_{PositionEffect.CLOSE.value}",
    }
    request = orders_in.order_request(body, desk.name, fallback_id=wire.fresh_id(), now=desk.now)
    desk.exchange.submit(request)
    desk.tell()
    taken = desk.tape.newest(request.cl_ord_id)
    if taken is None:
        raise WireError(504, 50410000, "no_answer", "the order was taken and is not acknowledged yet")
    return shapes.order(desk.tape, taken)


class TheAccount(Account):
    """/v2/account."""

    async def get(self) -> None:
        await self.done(shapes.account(self.desk.tape, self.desk.exchange.account()))


class Activities(Account):
    """/v2/account/activities and /v2/account/activities/{type}."""

    async def get(self, kind: str = "") -> None:
        await self.done(listing.activities(self.desk.tape, kind, self.get_argument))


class Clock(Account):
    """/v2/clock."""

    async def get(self) -> None:
        desk = self.desk
        await self.done(shapes.clock(desk.now, desk.exchange.session[1], desk.opens_at, desk.closes_at))


def routes(wire: Wire) -> list[Any]:
    """The paths of the wire's REST half."""
    table: list[tuple[str, type[web.RequestHandler]]] = [
        (r"/v2/orders", Orders),
        (r"/v2/orders:by_client_order_id", OrderByClientId),
        (r"/v2/orders/([0-9a-f-]{36})", OneOrder),
        (r"/v2/positions", Positions),
        (r"/v2/positions/([^/]+)", OnePosition),
        (r"/v2/account", TheAccount),
        (r"/v2/account/activities", Activities),
        (r"/v2/account/activities/([A-Z]+)", Activities),
        (r"/v2/clock", Clock),
    ]
    return [(path, handler, {"wire": wire}) for path, handler in table]


__all__ = ["Answer", "Wire", "routes"]
