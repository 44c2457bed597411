"""What the adapter makes of a broker's words: real payloads are understood, hostile ones never believed nor dropped."""

import contextlib
import json
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.brokers.alpaca import reading, statements
from qmworkbench.brokers.alpaca.adoption import Adoption
from qmworkbench.brokers.alpaca.facts import Facts
from qmworkbench.brokers.alpaca.ledger import Ledger
from qmworkbench.brokers.alpaca.orders_out import submit_body
from qmworkbench.brokers.alpaca.reading import Malformed
from qmworkbench.domain.execution import ExecType, OrderRequest
from qmworkbench.domain.orders import OrdStatus, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.ports import RequestRefused
from tests.venue.worlds import OPEN, bracket

ROOT = Path(__file__).resolve().parents[2]
AT = "2018-03-02T14:31:00.000000007Z"
AT_NS = reading.nanoseconds({"at": AT}, "at")


def order(**changes: Any) -> dict[str, Any]:
    """An order as the broker tells it."""
    usual = {
        "id": "o-1", "client_order_id": "a", "symbol": "AAA", "side": "buy", "type": "limit", "order_class": "simple",
        "time_in_force": "day", "status": "new", "qty": "100", "filled_qty": "0", "filled_avg_price": None,
        "limit_price": "10.5", "stop_price": None, "created_at": AT, "submitted_at": AT, "updated_at": AT, "legs": None,
        "canceled_at": None, "expired_at": None, "failed_at": None, "replaces": None, "replaced_by": None,
    }  # fmt: skip
    return usual | changes


def update(event: str = "new", of: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A trade update about it."""
    traded = {"execution_id": "e-1", "price": "10.5", "qty": "100", "timestamp": AT}
    return {"event": event, "order": order() if of is None else of, **traded, **changes}


def read(told: dict[str, Any]) -> Any:
    return Facts(Adoption()).of_update(told)


def fixtures(client: str) -> list[Path]:
    folder = ROOT.parent / "shared" / "fixtures" / "alpaca" / client
    if not folder.is_dir():
        pytest.skip("the shared broker payloads (../shared/fixtures) are not beside this checkout")
    return sorted(folder.glob("*.json"))


def orders_in(content: Any) -> list[dict[str, Any]]:
    """Every order somewhere in a payload."""
    if isinstance(content, list):
        return [found for entry in content for found in orders_in(entry)]
    if not isinstance(content, dict):
        return []
    inner = [found for value in content.values() for found in orders_in(value)]
    return ([content] if "client_order_id" in content and "time_in_force" in content else []) + inner


@pytest.mark.parametrize("client", ["alpaca_docs", "alpaca_py", "apca", "alpaca_mcp_server", "alpaca_trade_api_python"])
def test_real_orders_are_understood_or_named(client: str) -> None:
    understood, refused = 0, []
    for file in fixtures(client):
        for told in orders_in(reading.parsed(file.read_bytes())):
            try:
                held = Facts(Adoption()).broker_order(told)
                assert held.order_qty >= held.cum_qty >= 0
                understood += 1
            except Malformed as error:
                refused.append(f"{file.name}: {error}")
    assert understood
    # Nobody trades options in legs here, and an order that names no quantity in any form is not understood.
    assert len(refused) <= understood, refused


def test_a_real_fill_from_the_stream_is_a_trade() -> None:
    (file,) = [file for file in fixtures("alpaca_docs") if file.name.startswith("streaming__block8")]
    report = read(reading.parsed(file.read_bytes())["data"])
    assert (report.exec_type, report.exec_id) == (ExecType.TRADE, "2f63ea93-423d-4169-b3f6-3fdafc10c418")
    assert (report.last_qty, report.last_px, report.side) == (D("1790.86"), D("105.8988475"), Side.SELL)
    assert report.ord_status is OrdStatus.FILLED
    assert report.cursor % reading.NS == 24_916_716, "to the nanosecond, as told"


def test_a_real_fill_from_the_activities_is_the_same_execution() -> None:
    (file,) = [file for file in fixtures("apca") if file.name.startswith("account_activities__parse_reference_trade")]
    report = Facts(Adoption()).of_activity(reading.parsed(file.read_bytes()))
    assert report.exec_id == "8efc7b9a-8b2b-4000-9955-d36e7db0df74"
    assert (report.last_qty, report.cum_qty, report.last_px) == (D(1), D("1.5"), D("1.63"))


def test_a_real_account_is_read_exactly() -> None:
    (file,) = [file for file in fixtures("alpaca_docs") if file.name.startswith("accounts__block8")]
    stated = statements.account(reading.parsed(file.read_bytes()), cursor=1, now=OPEN, held=())
    assert (stated.currency, stated.buying_power, stated.cash) == ("USD", D("103556.8572572922"), D("24861.91"))


def test_numbers_never_pass_through_a_float() -> None:
    exact = reading.parsed(b'{"px": 0.1000000000000000055511151231257827, "qty": "3.000000000000000000001"}')
    assert reading.number(exact, "px") == D("0.1000000000000000055511151231257827")
    assert reading.number(exact, "qty") == D("3.000000000000000000001")


# --- hostile words ------------------------------------------------------------

ABSURD = [
    None,
    "",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e12",
    "1_000",
    " 5",
    "0x10",
    True,
    [],
    {},
    -1,
    "-1",
    "9" * 40,
    1e30,
]


@pytest.mark.parametrize("value", [*ABSURD, "0", "1000000000000"])
@pytest.mark.parametrize("field", ["price", "qty"])
def test_an_absurd_execution_is_malformed_and_moves_nothing(field: str, value: Any) -> None:
    with pytest.raises(Malformed, match=field):
        read(update("fill", order(status="filled", filled_qty="100", filled_avg_price="10.5"), **{field: value}))


@pytest.mark.parametrize("field", ["id", "client_order_id", "side", "status", "qty", "filled_qty", "symbol"])
@pytest.mark.parametrize("value", [None, 7, "", [], {"a": 1}])
def test_a_field_that_is_missing_or_of_another_kind_is_named(field: str, value: Any) -> None:
    if field == "qty" and value is None:
        assert (
            read(update("canceled", order(qty=None, filled_qty="5", status="canceled", canceled_at=AT))).order_qty == 5
        )
        return
    if (field, value) in (("qty", 7), ("filled_qty", 7)):
        return  # older interfaces tell numbers as numbers
    with pytest.raises(Malformed):
        read(update("canceled", order(status="canceled", canceled_at=AT) | {field: value}))


@pytest.mark.parametrize(
    "value", ["", "yesterday", "2018-03-02", "2018-03-02T14:31:00", "2018-13-40T00:00:00Z", None, 7]
)
def test_a_time_that_is_none_is_named(value: Any) -> None:
    with pytest.raises(Malformed):
        reading.nanoseconds({"at": value}, "at")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["NaN", "1e12", "new"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FIELDS = sorted(order())


@settings(max_examples=300)
@given(
    event=st.sampled_from(["new", "fill", "canceled", "replaced", "trade_bust", "restated", "x"]) | JSON, data=st.data()
)
def test_whatever_is_said_is_understood_or_malformed_and_nothing_else(event: Any, data: st.DataObject) -> None:
    changed = data.draw(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3))
    outer = data.draw(
        st.dictionaries(st.sampled_from(["execution_id", "price", "qty", "timestamp", "qm"]), JSON, max_size=2)
    )
    told = update("new", order() | changed) | {"event": event} | outer
    report = None
    with contextlib.suppress(Malformed):
        report = read(told)
    if report is not None and report.exec_type is ExecType.TRADE:
        assert 0 < report.last_px < reading.ABSURD_PX
        assert 0 < report.last_qty < reading.ABSURD_QTY


@settings(max_examples=200)
@given(content=JSON)
def test_whatever_the_books_say_is_understood_or_malformed(content: Any) -> None:
    for look in (
        lambda: statements.positions(content),
        lambda: statements.account(content, cursor=1, now=OPEN, held=()),
        lambda: Facts(Adoption()).broker_order(reading.mapping(content, "an order")),
        lambda: Facts(Adoption()).of_activity(reading.mapping(content, "an activity")),
        lambda: statements.activity(reading.mapping(content, "an activity")),
    ):
        with contextlib.suppress(Malformed):
            look()


@settings(max_examples=200)
@given(raw=st.binary(max_size=80) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_json_or_malformed(raw: bytes) -> None:
    with contextlib.suppress(Malformed):
        reading.parsed(raw)


# --- the ledger -----------------------------------------------------------------


def test_late_news_keeps_its_own_cursor_and_is_told_until_it_is_passed() -> None:
    early, late = (
        read(
            update(
                "fill", order(status="partially_filled", filled_qty=cum), execution_id=name, qty="10", timestamp=when
            )
        )
        for name, cum, when in (("e-2", "20", AT), ("e-1", "10", "2018-03-02T14:30:00Z"))
    )
    ledger = Ledger()
    assert ledger.add(early)
    assert ledger.add(late)
    assert late.cursor < early.cursor
    assert list(ledger.after(early.cursor)) == [late], "it is not lost because something later was heard first"
    assert not ledger.add(late)


def test_a_fill_told_under_two_names_is_one() -> None:
    ledger = Ledger()
    filled = order(status="filled", filled_qty="100", filled_avg_price="10.5")
    assert ledger.add(read(update("fill", filled)))
    assert not ledger.add(read(update("fill", filled, execution_id="another")))


# --- what a broker has no word for ------------------------------------------------


@pytest.mark.parametrize("legs", [bracket("a", close=True), bracket("a", trail=50), bracket("a", stop=9, target=12)])
def test_what_alpaca_has_no_word_for_is_refused_and_not_sent(legs: Any) -> None:
    request = OrderRequest(
        cl_ord_id="a",
        symbol="AAA",
        side=Side.BUY,
        position_effect=PositionEffect.OPEN,
        ord_type=OrdType.MARKET,
        order_qty=D(1),
        time_in_force=TimeInForce.IOC,
        decided_at=OPEN,
        legs=legs,
    )
    with pytest.raises(RequestRefused, match=r"^unsupported: a: .*nothing was sent"):
        submit_body(request, ours=False)
    assert submit_body(request, ours=True)["qm"]["legs"]
