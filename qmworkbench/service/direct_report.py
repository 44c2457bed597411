"""What a direct emergency came to, symbol by symbol, and how long it may take (§15)."""

from decimal import Decimal

import msgspec


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long to go on, in seconds: `wait_s` in all, P0 after `deadline_s`, a look every `poll_s`. Flat counts once it
    has been so for `settle_s`: what was on its way to the broker when the platform was cut off has shown up by then.
    """

    wait_s: float = 120.0
    deadline_s: float = 60.0
    poll_s: float = 0.5
    settle_s: float = 2.0


class SymbolLine(msgspec.Struct, kw_only=True):
    """One symbol's way to flat. `held` is what the broker held when first read, `left` at the last read.

    `step` is exits_canceled, close_sent, queued or flat; `detail` the last thing that happened to it.
    """

    symbol: str
    held: Decimal
    left: Decimal
    step: str = "exits_canceled"
    attempts: int = 0
    detail: str = ""


class DirectReport(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended. `flat`: the broker holds nothing and works no order. `urgent` is what a person must do now, ""
    when flat.

    `recorded` False: not everything could be put on the fallback log, and `record_trouble` says why; the broker's
    history is the record then. `unread` is why the broker's books could not be read at last, "" if they could.
    """

    emergency_id: str
    flat: bool
    lines: tuple[SymbolLine, ...]
    entries_canceled: int
    seconds: float
    recorded: bool
    record_trouble: str
    unread: str
    urgent: str
