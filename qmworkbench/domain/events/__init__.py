"""Every event the journal can hold, one union, one codec (§21)."""

import hashlib
from typing import Any, Final, get_args

import msgspec

from qmworkbench.domain.events import (
    analytics,
    control,
    market,
    orders,
    overnight,
    reconciliation,
    session,
    telemetry,
)
from qmworkbench.domain.events.base import Event, Input
from qmworkbench.domain.events.control import Alert

__all__ = [
    "DECISION_TYPES",
    "SCHEMA_VERSION",
    "TELEMETRY_TYPES",
    "Alert",
    "Event",
    "Input",
    "decode",
    "encode",
    "imported",
    "wire_name",
]

# Counts additions to the wire form. A journal written under a higher version is refused, never guessed at.
SCHEMA_VERSION: Final = 4


def _events_of(module: object) -> tuple[type[Event], ...]:
    """The concrete events a module defines, by wire name, so that the union never depends on import order."""
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Event) and value.__module__ == getattr(module, "__name__", "")
    ]
    return tuple(sorted(found, key=lambda kind: str(kind.__struct_config__.tag)))


_DECISION_MODULES = (analytics, control, market, orders, overnight, reconciliation, session)
DECISION_TYPES: Final = tuple(kind for module in _DECISION_MODULES for kind in _events_of(module))
TELEMETRY_TYPES: Final = _events_of(telemetry)

_Union = DECISION_TYPES[0]
for _kind in (*DECISION_TYPES[1:], *TELEMETRY_TYPES):
    _Union = _Union | _kind  # type: ignore[assignment]
assert len(get_args(_Union)) == len(DECISION_TYPES) + len(TELEMETRY_TYPES), "two events share a class"

_encoder = msgspec.json.Encoder(decimal_format="string")
_decoder = msgspec.json.Decoder(_Union)
# As decode(), for the one loop in which a call of ours would cost as much as a tenth of the work.
decode_raw: Final = _decoder.decode


def encode(event: Event) -> bytes:
    """The event's bytes as they are chained and stored: JSON, fields in declaration order, Decimal as text."""
    return _encoder.encode(event)


def decode(payload: bytes) -> Event:
    """The event that `payload` holds. Raises msgspec.ValidationError naming the field that does not fit."""
    event = _decoder.decode(payload)
    assert isinstance(event, Event)
    return event


def imported(event: reconciliation.FallbackImported) -> Event:
    """The event that a fallback log's record holds."""
    return decode(event.record.encode())


def wire_name(event: Event) -> str:
    """The event's stable name, such as "order.intended"."""
    return str(event.__struct_config__.tag)


def schema_fingerprint() -> str:
    """A hash over every event's JSON schema, prose left out: it changes when the wire form does (held by a test)."""
    schemas, components = msgspec.json.schema_components([*DECISION_TYPES, *TELEMETRY_TYPES])
    text = msgspec.json.encode(_without_prose([list(schemas), components]), order="deterministic")
    return hashlib.sha256(text).hexdigest()[:16]


def _without_prose(schema: Any) -> Any:
    """A schema without its descriptions, which are docstrings and may be reworded."""
    if isinstance(schema, dict):
        return {key: _without_prose(value) for key, value in schema.items() if key != "description"}
    return [_without_prose(item) for item in schema] if isinstance(schema, list) else schema
