"""How an instance's orders are made: type, prices on the tick grid, how long they may work (§13).

1. An entry LIMIT lies so many basis points on the paying side of the decision price; a STOP so many beyond it; a
   STOP_LIMIT has its limit as far again behind its stop.
2. Every price is rounded to the tick on the side that costs less or commits later: a buying limit down, a buying stop
   up, a selling limit up, a selling stop down. A stop-limit's limit never lies on the wrong side of its stop.
3. An entry limit never pays more than the risk collar allows; a stop beyond it is the Risk Manager's to deny.
4. Quantity and reserve are counted at the worst price the order allows, so that a budget is never exceeded.
5. An exit LIMIT lies on the paying side too, rounded so that it fills rather. It is for signals, while there is time
   for its timeout, and once: what must be flat, and what a limit has failed to close, goes out at the market.
"""

from decimal import Decimal
from typing import Final

import msgspec

from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.numbers import ONE
from qmworkbench.domain.orders import OrderStyle, OrdType, Side, TimeInForce

_BPS: Final = Decimal(10_000)
_EXIT_TYPES: Final = (OrdType.MARKET, OrdType.LIMIT)
_MARKET: Final = OrdType.MARKET  # bound once: finding it in its enum costs several times what comparing it does
_LASTING: Final = (TimeInForce.DAY, TimeInForce.GTC)
# An offset that reaches further than this is a slipped decimal point, whatever the collar says.
_MOST_BPS: Final = 2_000


class OrderTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Type, time in force and prices of one order; `worst_px` is the most it may pay, or the least it may sell at."""

    ord_type: OrdType
    time_in_force: TimeInForce
    worst_px: Decimal
    limit_px: Decimal | None = None
    stop_px: Decimal | None = None


def entry_terms(
    style: OrderStyle, instrument: Instrument, side: Side, decision_px: Decimal, collar_bps: int
) -> OrderTerms:
    """The terms of an entry decided at `decision_px`."""
    kind, tif = style.entry_type, style.entry_time_in_force
    if kind is _MARKET:
        return OrderTerms(ord_type=kind, time_in_force=tif, worst_px=decision_px)
    away = Decimal(style.entry_offset_bps)
    if kind is OrdType.LIMIT:
        limit = _limit(instrument, side, _moved(decision_px, side, min(away, Decimal(collar_bps))))
        return OrderTerms(ord_type=kind, time_in_force=tif, worst_px=limit, limit_px=limit)
    if kind is OrdType.STOP:
        stop = _beyond(instrument, side, _moved(decision_px, side, away))
        return OrderTerms(ord_type=kind, time_in_force=tif, worst_px=stop, stop_px=stop)
    stop = _beyond(instrument, side, _moved(decision_px, side, away))
    limit = _limit(instrument, side, _moved(decision_px, side, min(2 * away, Decimal(collar_bps))))
    limit = max(limit, stop) if side is Side.BUY else min(limit, stop)
    return OrderTerms(ord_type=kind, time_in_force=tif, worst_px=limit, limit_px=limit, stop_px=stop)


def exit_terms(
    style: OrderStyle, instrument: Instrument | None, side: Side, px: Decimal, *, at_once: bool
) -> OrderTerms:
    """The terms of an exit at a market of `px`; `at_once`: whatever the style, it must go out at the market."""
    if at_once or style.exit_type is not OrdType.LIMIT or instrument is None or px <= 0:
        return OrderTerms(ord_type=OrdType.MARKET, time_in_force=TimeInForce.DAY, worst_px=px)
    limit = _beyond(instrument, side, _moved(px, side, Decimal(style.exit_offset_bps)))
    return OrderTerms(ord_type=OrdType.LIMIT, time_in_force=TimeInForce.DAY, worst_px=limit, limit_px=limit)


def _moved(px: Decimal, side: Side, bps: Decimal) -> Decimal:
    """`px` moved to the paying side: up for a buyer, down for a seller."""
    return px * (ONE + side.sign * bps / _BPS)


def _limit(instrument: Instrument, side: Side, px: Decimal) -> Decimal:
    rounded = instrument.tick_down(px) if side is Side.BUY else instrument.tick_up(px)
    return rounded if rounded > 0 else instrument.tick_at(px)


def _beyond(instrument: Instrument, side: Side, px: Decimal) -> Decimal:
    rounded = instrument.tick_up(px) if side is Side.BUY else instrument.tick_down(px)
    return rounded if rounded > 0 else instrument.tick_at(px)


def problems(style: OrderStyle) -> list[tuple[str, object, str, str]]:
    """What makes no sense in a style: (setting, its value, what is wrong, the remedy), the setting as it is named."""
    found: list[tuple[str, object, str, str]] = []

    def say(name: str, problem: str, remedy: str) -> None:
        found.append((name, getattr(style, name), problem, remedy))

    if style.exit_type not in _EXIT_TYPES:
        say("exit_type", "is no type of an exit that a strategy sends", f"one of: {', '.join(_EXIT_TYPES)}")
    for name in ("entry_offset_bps", "exit_offset_bps"):
        if not 0 <= getattr(style, name) <= _MOST_BPS:
            say(name, "is no distance from the price", f"give 0 to {_MOST_BPS} basis points")
    for name in ("entry_timeout_s", "exit_timeout_s"):
        value = getattr(style, name)
        if value is not None and value < 1:
            say(name, "is no time to wait", "give whole seconds from 1, or off")
    stops = style.entry_type in (OrdType.STOP, OrdType.STOP_LIMIT)
    if stops and style.entry_time_in_force not in _LASTING:
        say("entry_time_in_force", f"leaves a {style.entry_type} entry no time to be touched", 'give "day" or "gtc"')
    elif style.entry_time_in_force is TimeInForce.AT_CLOSE:
        say("entry_time_in_force", "is for exits alone", 'give "ioc", "day" or "gtc"')
    if stops and style.entry_offset_bps == 0:
        say("entry_offset_bps", f"puts a {style.entry_type} entry at the price itself", "give 1 or more basis points")
    if style.entry_type is OrdType.MARKET and style.entry_offset_bps:
        say("entry_offset_bps", "means nothing for a market entry", 'give 0, or entry_type = "limit"')
    if style.exit_type is OrdType.LIMIT and style.exit_timeout_s is None:
        say("exit_timeout_s", "would let a limit exit that does not fill wait for ever", "give the seconds it may wait")
    if style.exit_type is OrdType.MARKET and style.exit_offset_bps:
        say("exit_offset_bps", "means nothing for a market exit", 'give 0, or exit_type = "limit"')
    return found
