"""Orders that have worked too long: entries are cancelled, exits go out at the market (§13).

Time is an input, so this is looked at when it moves.

1. An entry that has not filled within its style's `entry_timeout_s` is cancelled; what has filled stays, with its
   exits.
2. A limit exit that has not filled within `exit_timeout_s` is cancelled, and alarmed. Once the broker says it has
   ended, the next step of the standing wish to be out sends what is left to the market: the emergency exit.
3. A market exit that is older than `exit_timeout_s` has nothing faster behind it: a person is told.

A cancel that does not take is asked for again at the pace that all cancels keep (exits.py).
"""

from datetime import timedelta
from typing import Final

from qmworkbench.domain.orders import Leg, Order, OrderStyle, OrdType
from qmworkbench.domain.positions import Position
from qmworkbench.domain.sessions import Phase, Priority
from qmworkbench.trading.decision import Decision
from qmworkbench.trading.exits import cancel_all
from qmworkbench.trading.state import State, position_key

_EMERGENCY_EXIT: Final = "emergency_exit"
_LATE: Final = "exit_timeout"
_ABOUT_EXITS: Final = frozenset({_EMERGENCY_EXIT, _LATE, "exit_failed"})


def style_of(state: State, strategy_id: str) -> OrderStyle | None:
    """The style of an instance of this session; None for what no instance here runs."""
    run = state.day.runs.get(strategy_id)
    return run.spec.order_style if run is not None else None


def watch(decision: Decision) -> None:
    """Look at entries and exits that still work."""
    state = decision.state
    if state.session is None or state.day.phase is Phase.CLOSED:
        return
    if decision.exposure_moved and state.alerts:
        _clear(decision)
    if not decision.time_moved:
        return
    for order in state.working_entries() if state.open_entries else ():
        style = style_of(state, order.strategy_id)
        if style is not None and _older(decision, order, style.entry_timeout_s):
            cancel_all(decision, [order], f"entry timeout: not filled within {style.entry_timeout_s} s")
    for key in list(state.leaving):
        _exit(decision, state.positions[key])


def _exit(decision: Decision, held: Position) -> None:
    state = decision.state
    style = style_of(state, held.strategy_id)
    if style is None or style.exit_timeout_s is None:
        return
    for order in state.working_for(held.strategy_id, held.symbol):
        if order.leg is not Leg.EXIT or not _older(decision, order, style.exit_timeout_s):
            continue
        if order.ord_type is OrdType.LIMIT:
            cancel_all(decision, [order], f"exit timeout: not filled within {style.exit_timeout_s} s")
            decision.alarm(
                _EMERGENCY_EXIT,
                position_key(held.strategy_id, held.symbol),
                Priority.P1,
                f"{held.symbol}: the limit exit at {order.limit_px} did not fill within {style.exit_timeout_s} s; "
                f"what is left of {held.qty} goes out at the market",
                "nothing to do if it fills; see why the limit did not (`qm why`)",
            )
        else:
            decision.alarm(
                _LATE,
                position_key(held.strategy_id, held.symbol),
                Priority.P1,
                f"{held.symbol}: a market exit has not filled within {style.exit_timeout_s} s: {order.cl_ord_id}",
                "see whether the symbol trades; close it at the broker, or trigger Emergency Liquidate & Halt",
            )


def _older(decision: Decision, order: Order, timeout_s: int | None) -> bool:
    if timeout_s is None:
        return False
    return decision.at - (order.submitted_at or order.intended_at) >= timedelta(seconds=timeout_s)


def _clear(decision: Decision) -> None:
    """Alarms about exits that have been answered: the position is closed, or the order has ended."""
    state = decision.state
    for alert in list(state.alerts.values()):
        if alert.kind in _ABOUT_EXITS and alert.key not in state.positions:
            decision.all_clear(alert.kind, alert.key, "the position is closed")
        elif alert.kind == "cancel_fails" and alert.key not in state.open_orders:
            decision.all_clear(alert.kind, alert.key, "the order has ended")
