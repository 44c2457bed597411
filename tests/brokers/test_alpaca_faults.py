"""The wire when it goes wrong: lost answers, a mute stream, a venue that dies, comes back, or says no (§13, §14)."""

from collections.abc import Iterator
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from qmworkbench.brokers.alpaca.broker import AlpacaBroker
from qmworkbench.brokers.alpaca.bucket import RESERVED_SHARE, Bucket
from qmworkbench.brokers.alpaca.http import Address, HostNotEnabled, Http
from qmworkbench.domain.execution import ExecType, OrderRequest, ReplaceRequest
from qmworkbench.domain.orders import Leg, OrdStatus, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.ports import BrokerUnreachable, OutcomeUnknown, RequestRefused
from qmworkbench.venue.wire.troubles import Trouble, WireFault
from tests.brokers.serving import Served, WireWorld, served
from tests.venue.worlds import at, bracket

FLAT = (100, 100, 100, 100)
POST = {"method": "POST", "path": "/v2/orders"}


class Trading:
    """A served venue with AAA at 100, and brokers on it."""

    def __init__(self, venue: Served) -> None:
        self.venue = venue
        self.world = WireWorld(venue)
        self.brokers: list[AlpacaBroker] = []
        self.broker = self.another()
        self.world.bars(FLAT)

    def another(self, **how: Any) -> AlpacaBroker:
        """One more life of the platform's adapter."""
        broker = self.venue.broker(**how)
        self.brokers.append(broker)
        self.world.trade_with(broker)
        return broker

    def request(self, name: str, **changes: object) -> OrderRequest:
        request = OrderRequest(
            cl_ord_id=name,
            symbol="AAA",
            side=Side.BUY,
            position_effect=PositionEffect.OPEN,
            ord_type=OrdType.MARKET,
            order_qty=D(100),
            time_in_force=TimeInForce.DAY,
            decided_at=at(self.world.minute),
        )
        return msgspec.structs.replace(request, **changes)

    def said(self, broker: AlpacaBroker | None = None, after: int = 0) -> list[tuple[str, str]]:
        return [(r.cl_ord_id, r.exec_type.value) for r in (broker or self.broker).reports(after)]


@pytest.fixture
def trading(tmp_path: Path) -> Iterator[Trading]:
    with served(tmp_path / "venue.db") as venue:
        trading = Trading(venue)
        yield trading
        for broker in trading.brokers:
            broker.close()
        trading.world.exchange.close()


# --- requests without a usable answer ------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "took_effect"),
    [
        ({"trouble": Trouble.LOSE_REQUEST}, False),
        ({"trouble": Trouble.LOSE_ANSWER}, True),
        ({"trouble": Trouble.STATUS, "status": 503}, False),
        ({"trouble": Trouble.EFFECT_AND_STATUS, "status": 504}, True),
        ({"trouble": Trouble.STATUS, "status": 408}, False),
        ({"trouble": Trouble.GARBAGE}, True),
    ],
    ids=lambda given: str(given.get("trouble")) + str(given.get("status", "")) if isinstance(given, dict) else None,
)
def test_a_submit_without_a_usable_answer_is_unknown_and_the_order_is_asked_for_by_its_id(
    trading: Trading, trouble: dict[str, Any], took_effect: bool
) -> None:
    """nautilus_trader #4958: the order is found by the client's own id; alpaca-py: nothing is sent twice."""
    trading.venue.plan(WireFault(**POST, **trouble))
    with pytest.raises(OutcomeUnknown):
        trading.broker.submit(trading.request("a"))
    found, cursor = trading.broker.order("a")
    assert (found is not None) == took_effect
    assert cursor >= max((r.cursor for r in trading.broker.reports(0)), default=0)
    assert trading.said() == ([("a", "new")] if took_effect else [])
    assert len(trading.venue.desk.exchange.open_orders()) == took_effect


def test_an_answer_that_never_comes_ends_with_the_timeout(tmp_path: Path) -> None:
    """Lean #3297, Lean IB #227: nothing waits for ever on a broker that is lost."""
    with served(tmp_path / "venue.db") as venue:
        trading = Trading(venue)
        impatient = trading.another(answer_s=0.3)
        venue.plan(WireFault(**POST, trouble=Trouble.HANG))
        with pytest.raises(OutcomeUnknown, match="ReadTimeout"):
            impatient.submit(trading.request("a"))
        for broker in trading.brokers:
            broker.close()
        trading.world.exchange.close()


def test_a_definite_no_is_a_refusal_with_its_code(trading: Trading) -> None:
    for status, code in ((422, "planned"), (403, "planned"), (429, "planned")):
        trading.venue.plan(WireFault(**POST, trouble=Trouble.STATUS, status=status))
        with pytest.raises(RequestRefused, match=code):
            trading.broker.submit(trading.request("a"))
    assert list(trading.venue.desk.exchange.open_orders()) == []


@pytest.mark.parametrize("read", ["positions", "open_orders", "account"])
def test_a_read_is_tried_again_and_then_unreachable_never_empty(trading: Trading, read: str) -> None:
    path = {"positions": "/v2/positions", "open_orders": "/v2/orders", "account": "/v2/account"}[read]
    trading.venue.plan(WireFault(method="GET", path=path, trouble=Trouble.STATUS, times=2))
    getattr(trading.broker, read)()
    trading.venue.plan(WireFault(method="GET", path=path, trouble=Trouble.GARBAGE, times=9))
    with pytest.raises(BrokerUnreachable):
        getattr(trading.broker, read)()


def test_a_cancel_whose_answer_is_lost_is_unknown_and_its_report_comes(trading: Trading) -> None:
    trading.broker.submit(trading.request("a", ord_type=OrdType.LIMIT, limit_px=D(50)))
    trading.venue.plan(WireFault(method="DELETE", path="/v2/orders", trouble=Trouble.LOSE_ANSWER))
    with pytest.raises(OutcomeUnknown):
        trading.broker.cancel("a")
    assert trading.said() == [("a", "new"), ("a", "canceled")]


# --- the broker is gone ------------------------------------------------------------


def test_a_lost_broker_is_unreachable_and_everything_ends_in_time(tmp_path: Path) -> None:
    """Lean #3297 and Lean IB #227 (does not end once the broker is lost), hummingbot #8457 (an outage of the network
    drops orders that were accepted): a connection that fails says nothing about an order.
    """
    with served(tmp_path / "venue.db") as venue:
        trading = Trading(venue)
        trading.broker.submit(trading.request("a", ord_type=OrdType.LIMIT, limit_px=D(50)))
        assert trading.said() == [("a", "new")]
        newest = trading.broker.reports(0)[-1].cursor
        port = int(venue.address.url.rpartition(":")[2])
    with pytest.raises(OutcomeUnknown):
        trading.broker.submit(trading.request("b"))
    with pytest.raises(OutcomeUnknown):
        trading.broker.cancel("a")
    for read in (trading.broker.positions, trading.broker.account, lambda: trading.broker.order("a")):
        with pytest.raises(BrokerUnreachable):
            read()
    for _ in range(3):  # at its own pace, but never as if there were no news
        with pytest.raises(BrokerUnreachable):
            trading.broker.reports(newest)
    with served(tmp_path / "venue.db", port=port):
        found, _ = trading.broker.order("a")
        assert found is not None, "what was accepted before is there after the outage"
        assert found.ord_status is OrdStatus.ACCEPTED
        assert trading.said() == [("a", "new")]
    trading.broker.close()  # it ends at all
    assert not any(t.name == "trade-updates" and t is trading.broker.stream._thread for t in _alive())
    trading.world.exchange.close()


def _alive() -> list[Any]:
    import threading

    return [thread for thread in threading.enumerate() if thread.is_alive()]


def test_a_host_whose_name_is_not_known_is_no_refusal() -> None:
    """hummingbot #8457: no name service, no conclusion."""

    def nowhere(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[Errno -3] Temporary failure in name resolution")

    http = Http(
        Address(url="http://127.0.0.1:1", key_id="k", secret="s", retry_after_s=0), transport=_transport(nowhere)
    )
    with pytest.raises(OutcomeUnknown, match="name resolution"):
        http.request("POST", "/v2/orders", {})
    with pytest.raises(BrokerUnreachable, match="name resolution"):
        http.read("/v2/orders")
    http.close()


def _transport(answer: Any) -> httpx.MockTransport:
    return httpx.MockTransport(answer)


@pytest.mark.parametrize("host", ["paper-api.alpaca.markets", "api.alpaca.markets", "192.168.0.4"])
def test_hosts_beyond_this_machine_are_not_enabled(host: str) -> None:
    with pytest.raises(HostNotEnabled, match=rf"{host}.*qm venue serve"):
        AlpacaBroker(Address(url=f"https://{host}", key_id="k", secret="the-secret"))


def test_the_secret_is_in_headers_and_nowhere_else(trading: Trading) -> None:
    secret = trading.venue.address.secret
    assert secret not in repr(trading.broker.http.address)
    trading.venue.plan(WireFault(**POST, trouble=Trouble.LOSE_ANSWER))
    with pytest.raises(OutcomeUnknown) as lost:
        trading.broker.submit(trading.request("a"))
    assert secret not in f"{lost.value!r} {lost.value.__cause__!r} {trading.broker.findings}"


# --- the stream ------------------------------------------------------------


def test_a_mute_stream_is_noticed_and_the_books_tell_what_it_kept(tmp_path: Path) -> None:
    """alpaca-py #740: a socket that is open and says nothing."""
    with served(tmp_path / "venue.db") as venue:
        trading = Trading(venue)
        watchful = trading.another(patience_s=0.2)
        assert list(watchful.reports(0)) == []
        venue.stream(mute=True)
        watchful.submit(trading.request("a"))
        trading.world.bars(FLAT)
        assert trading.said(watchful) == [("a", "new"), ("a", "trade")]
        assert any("told nothing" in finding for finding in watchful.findings)
        for broker in trading.brokers:
            broker.close()
        trading.world.exchange.close()


def test_a_stream_that_was_cut_comes_back_and_nothing_is_missing_or_told_twice(trading: Trading) -> None:
    trading.broker.submit(trading.request("a"))
    assert trading.said() == [("a", "new")]
    trading.venue.stream(cut=True)
    trading.world.bars(FLAT)
    trading.broker.submit(trading.request("b", ord_type=OrdType.LIMIT, limit_px=D(50)))
    assert sorted(trading.said()) == [("a", "new"), ("a", "trade"), ("b", "new")]
    ids = [report.exec_id for report in trading.broker.reports(0)]
    assert len(ids) == len(set(ids))


def test_without_a_stream_the_books_are_all_there_is(trading: Trading) -> None:
    blind = trading.another(follow=False)
    trading.broker.submit(trading.request("a"))
    trading.world.bars(FLAT)
    assert trading.said(blind) == [("a", "new"), ("a", "trade")]


def test_attempts_to_listen_are_paced(tmp_path: Path) -> None:
    waits: list[float] = []
    with served(tmp_path / "venue.db") as venue:
        trading = Trading(venue)
        venue.stream(refuse=True, cut=True)
        eager = venue.broker(poll_s=0.0)

        def waited(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 12:
                eager.stream._closed.set()

        eager.stream._wait = waited
        assert list(eager.reports(0)) == []
        assert eager.stream._closed.wait(30), "it went on trying"
        eager.close()
        for broker in trading.brokers:
            broker.close()
        trading.world.exchange.close()
    assert waits[:4] == [0.2, 0.4, 0.8, 1.6]
    assert max(waits) <= 30.0


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff\xfe not json",
        b"[]",
        b'{"stream": "trade_updates", "data": 7}',
        b'{"stream": "weather", "data": {}}',
        b'{"stream": "trade_updates", "data": {"event": "teleported", "order": {}}}',
    ],
)
def test_a_frame_nobody_understands_is_handed_on_and_stops_nothing(trading: Trading, frame: bytes) -> None:
    """alpaca-py: an unknown word drops the message with a log line. Here it becomes a report."""
    trading.broker.submit(trading.request("a"))
    trading.broker.reports(0)
    trading.venue.stream(frame=frame)
    trading.world.bars(FLAT)
    told = trading.broker.reports(0)
    strange = [report for report in told if report.reason.startswith("quarantined: ")]
    assert len(strange) == 1
    assert strange[0].exec_type is ExecType.ORDER_STATUS
    assert (strange[0].last_qty, strange[0].cum_qty, strange[0].order_qty) == (0, 0, 0)
    assert [r.exec_type for r in told if r.cl_ord_id == "a"] == [ExecType.NEW, ExecType.TRADE]
    assert trading.broker.findings


# --- another life ------------------------------------------------------------


def test_a_restart_tells_the_same_under_the_same_ids(trading: Trading) -> None:
    """nautilus_trader #3878: executions told again after a restart bear the ids they had."""
    trading.broker.submit(trading.request("in", legs=bracket("in", stop=95, target=105)))
    trading.world.bars(FLAT)
    trading.world.bars((100, 106, 100, 105))
    before = list(trading.broker.reports(0))
    names = {("in", Leg.STOP): "in/stop", ("in", Leg.TARGET): "in/target"}
    again = trading.another(leg_names=lambda entry, leg: names.get((entry, leg)))
    after = list(again.reports(0))
    assert [r for r in after if r.exec_type is ExecType.TRADE] == [r for r in before if r.exec_type is ExecType.TRADE]
    assert {r.exec_id for r in after} == {r.exec_id for r in before}
    assert [(r.exec_id, r.cursor, r.cl_ord_id) for r in after] == [(r.exec_id, r.cursor, r.cl_ord_id) for r in before]
    middle = before[2].cursor
    assert [
        r.exec_id for r in trading.another(leg_names=names.get and (lambda e, k: names.get((e, k)))).reports(middle)
    ] == [r.exec_id for r in before if r.cursor > middle]


def test_exits_that_were_resized_while_nobody_listened_are_told_after_a_restart(trading: Trading) -> None:
    names = {("in", Leg.STOP): "in/stop"}
    trading.broker.submit(trading.request("in", legs=bracket("in", stop=90)))
    trading.world.bars(FLAT)
    heard = trading.broker.reports(0)[-1].cursor
    out = {"side": Side.SELL, "position_effect": PositionEffect.CLOSE, "order_qty": D(40)}
    trading.broker.submit(trading.request("out", **out))
    trading.world.bars(FLAT)
    live = [r for r in trading.broker.reports(heard) if r.exec_type is ExecType.RESTATED]
    assert [(r.cl_ord_id, r.order_qty) for r in live] == [("in/stop", D(60))]
    again = trading.another(leg_names=lambda entry, leg: names.get((entry, leg)))
    late = [r for r in again.reports(heard) if r.exec_type is ExecType.RESTATED]
    assert late == live


def test_a_statement_is_never_ahead_of_what_a_later_life_can_be_told(trading: Trading) -> None:
    """What only the stream tells is gone with the life that heard it: nobody may wait for it."""
    trading.broker.submit(trading.request("a"))
    trading.world.bars(FLAT)
    trading.broker.cancel("a")
    assert trading.said()[-1] == ("a", "cancel_rejected")
    assert trading.broker.account().cursor == trading.broker.reports(0)[-1].cursor
    again = trading.another()
    newest = again.reports(0)[-1]
    assert newest.exec_type is ExecType.TRADE
    assert again.account().cursor == newest.cursor


def test_legs_of_an_entry_nobody_remembers_bear_the_brokers_names(trading: Trading) -> None:
    trading.broker.submit(trading.request("in", legs=bracket("in", stop=95)))
    trading.world.bars(FLAT)
    stranger = trading.another()
    (leg,) = stranger.open_orders()
    assert (leg.parent_id, leg.leg) == ("in", Leg.STOP)
    assert leg.cl_ord_id not in ("in", "in/stop")
    stranger.cancel(leg.cl_ord_id)
    assert list(stranger.open_orders()) == []


def test_a_replaced_order_goes_on_under_its_new_name(trading: Trading) -> None:
    trading.broker.submit(trading.request("a", ord_type=OrdType.LIMIT, limit_px=D(50)))
    trading.broker.replace(ReplaceRequest(cl_ord_id="a2", orig_cl_ord_id="a", order_qty=D(60), limit_px=D(51)))
    last = trading.broker.reports(0)[-1]
    assert (last.exec_type, last.cl_ord_id, last.orig_cl_ord_id, last.order_qty) == (
        ExecType.REPLACED,
        "a2",
        "a",
        D(60),
    )
    (resting,) = trading.broker.open_orders()
    assert (resting.cl_ord_id, resting.orig_cl_ord_id, resting.order_qty, resting.limit_px) == ("a2", "a", D(60), D(51))
    assert trading.broker.order("a")[0] == resting, "asked for by its first name, it is the order it has become"
    again = trading.another()
    assert [r.exec_id for r in again.reports(0)] == [r.exec_id for r in trading.broker.reports(0)]
    again.cancel("a2")
    assert list(again.open_orders()) == []


# --- the limit ------------------------------------------------------------


def test_cancels_never_wait_and_closes_have_a_share_of_their_own() -> None:
    bucket = Bucket(10, clock=lambda: 0.0)
    ordinary = sum(bucket.take(urgent=False) for _ in range(20))
    assert ordinary == 10 - int(10 * RESERVED_SHARE)
    assert all(bucket.take(urgent=True) for _ in range(20)), "a cancel goes out, counted or not"
    assert not bucket.take(urgent=False)


def test_a_broker_that_counts_is_heeded(tmp_path: Path) -> None:
    with served(tmp_path / "venue.db", per_minute=4) as venue:
        broker = venue.broker(follow=False)
        for _ in range(4):
            broker.account()
        with pytest.raises(BrokerUnreachable, match="rate limit"):
            broker.account()
        with pytest.raises(RequestRefused, match=r"rate_limited.*nothing was sent"):
            broker.http.request("POST", "/v2/orders", {})
        with pytest.raises(RequestRefused, match="rate_limited: too many requests"):  # it went out: that is theirs
            broker.http.request("DELETE", "/v2/orders/00000000-0000-0000-0000-000000000000", urgent=True)
        broker.close()
