"""Events keep their wire form: names, fields and bytes (§21)."""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from qmworkbench.domain import events
from qmworkbench.domain.commands import Pause
from qmworkbench.domain.events import DECISION_TYPES, SCHEMA_VERSION, TELEMETRY_TYPES, decode, encode, wire_name
from qmworkbench.domain.events.control import CommandReceived
from qmworkbench.domain.events.orders import FillRecorded
from qmworkbench.domain.orders import Side
from qmworkbench.trading.fold import INERT, unhandled

AT = datetime(2018, 3, 2, 14, 31, tzinfo=UTC)

# Written under this schema version. When it changes, a field was added, renamed or removed: adding one with a
# default is legal and counts SCHEMA_VERSION up; anything else breaks every journal on disk.
FINGERPRINT = {4: "9cf7d300c0cc7d94"}


def test_the_wire_form_has_not_changed_by_accident() -> None:
    assert events.schema_fingerprint() == FINGERPRINT[SCHEMA_VERSION]


def test_wire_names_are_unique_and_dotted() -> None:
    names = [str(kind.__struct_config__.tag) for kind in (*DECISION_TYPES, *TELEMETRY_TYPES)]
    assert len(names) == len(set(names))
    assert all("." in name for name in names)


def test_every_event_is_folded_or_declared_inert() -> None:
    assert not unhandled()
    assert {kind.__name__ for kind in INERT} & {"OrderIntended", "FillRecorded"} == set()


def test_money_survives_the_wire_to_the_last_digit() -> None:
    fill = FillRecorded(
        at=AT,
        exec_id="e",
        cl_ord_id="c",
        strategy_id="s",
        symbol="X",
        side=Side.BUY,
        last_qty=Decimal(3),
        last_px=Decimal("0.10000001"),
        fee=Decimal("0.0050"),
        transact_time=AT,
        realized_pnl=Decimal("-0.1"),
        position_qty=Decimal(3),
        position_cost=Decimal("0.30000003"),
        conversion_rate=Decimal(1),
    )
    again = decode(encode(fill))
    assert again == fill
    assert encode(again) == encode(fill)
    assert b'"0.0050"' in encode(fill), "trailing zeros are part of what was said"


def test_a_command_travels_inside_its_event() -> None:
    said = CommandReceived(at=AT, command_id="1", command=Pause(reason="r"), operator="o", origin="cli")
    assert decode(encode(said)) == said
    assert wire_name(said) == "command.received"


def test_an_unknown_event_or_a_missing_field_is_named() -> None:
    with pytest.raises(msgspec.ValidationError, match="type"):
        decode(b'{"type":"order.teleported","at":"2018-03-02T14:31:00Z"}')
    with pytest.raises(msgspec.ValidationError, match="phase"):
        decode(b'{"type":"session.phase_entered","at":"2018-03-02T14:31:00Z","condition":""}')
