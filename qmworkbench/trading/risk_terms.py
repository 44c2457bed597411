"""The rules about prices, clocks, the instrument's terms and the law: collar, stale quote, shorts, day trades (§11).

A figure that nobody knows denies, except where the environment has no one who could tell it.
"""

from bisect import bisect_right
from datetime import timedelta
from decimal import Decimal
from typing import Final

from qmworkbench.domain.events.orders import RuleVerdict
from qmworkbench.domain.numbers import cents
from qmworkbench.domain.orders import Side
from qmworkbench.domain.sessions import Environment
from qmworkbench.trading.risk_rule import Case, rule, verdict
from qmworkbench.trading.state import State

# FINRA 4210: a margin account below this may make three day trades in five sessions and not a fourth.
PATTERN_EQUITY: Final = Decimal(25_000)
DAY_TRADES_ALLOWED: Final = 3

_BUY: Final = Side.BUY  # bound once: finding it in its enum costs several times what comparing it does
_MINUTE: Final = timedelta(minutes=1)
_BPS: Final = Decimal(10_000)
# Where bars are replayed there is one clock and nobody to compare it with.
_ONE_CLOCK: Final = frozenset({Environment.BACKTEST, Environment.LOCAL})
_BUYS: Final = verdict("short_sale", True, "not a short sale", "what may be sold short and borrowed")
_MAY_SHORT: Final = verdict("short_sale", True, "may be sold short", "what may be sold short and borrowed")
_UNCOUNTED: Final = verdict("day_trades", True, "not counted here", f"{DAY_TRADES_ALLOWED} in five sessions")
_NO_STOP: Final = "no stop"


@rule("clock_skew")
def clock_skew(case: Case) -> RuleVerdict:
    """This machine's clock is near the broker's or a time server's; where one could tell and none did, no entry."""
    skew, limit = case.day.clock_skew_ms, case.texts["max_clock_skew_ms"]
    if skew is None:
        alone = case.day.environment in _ONE_CLOCK
        return RuleVerdict("clock_skew", alone, "one clock" if alone else "unknown (nobody told)", f"{limit} ms")
    return RuleVerdict("clock_skew", abs(skew) <= case.limits.max_clock_skew_ms, f"{skew} ms", f"{limit} ms")


@rule("instrument")
def instrument(case: Case) -> RuleVerdict:
    """Known instrument, quantity on the lot grid and not below its least quantity."""
    known, qty = case.instrument, case.request.order_qty
    if known is None:
        return verdict("instrument", False, "unknown symbol", "a symbol of the session's universe")
    fits = qty >= known.min_qty and qty > 0 and not qty % known.lot_size
    return RuleVerdict("instrument", fits, "fits" if fits else "not on the lot grid", f"lot {known.lot_size}")


@rule("short_sale")
def short_sale(case: Case) -> RuleVerdict:
    """What is sold short may be, in this account, and can be borrowed without a locate: none is on record."""
    if case.request.side is _BUY:
        return _BUYS
    known, account = case.instrument, case.state.account
    if known is None or account is None:
        lacks = "no account statement" if known is not None else "no instrument"
        return verdict("short_sale", False, f"unknown ({lacks})", "a known figure")
    if not known.shortable:
        problem = "may not be sold short"
    elif not account.shorting_enabled:
        problem = "is in an account that may not"
    elif not known.easy_to_borrow:
        problem = "is hard to borrow, and no locate is on record"
    else:
        return _MAY_SHORT
    return verdict("short_sale", False, problem, "what may be sold short and borrowed")


@rule("min_notional")
def min_notional(case: Case) -> RuleVerdict:
    """The order is worth at least what the venue takes, in the instrument's currency."""
    known = case.instrument
    if known is None:
        return verdict("min_notional", False, "unknown (no instrument)", "a known figure")
    worth = case.request.order_qty * case.px
    return RuleVerdict("min_notional", worth >= known.min_notional, f"{worth:.2f}", str(known.min_notional))


@rule("day_trades")
def day_trades(case: Case) -> RuleVerdict:
    """In a small margin account no entry that could become the fourth day trade in five sessions (FINRA 4210).

    Each position opened today and each entry on its way may be closed today, and counts as a day trade to come.
    """
    known, account = case.instrument, case.state.account
    if known is not None and not known.day_trade_rule:
        return _UNCOUNTED
    limit = f"{DAY_TRADES_ALLOWED} in five sessions"
    if known is None or account is None or case.day.start_equity is None:
        return verdict("day_trades", False, "unknown (no account statement)", limit)
    equity = min(account.equity, case.day.start_equity)
    if equity >= PATTERN_EQUITY:
        return RuleVerdict("day_trades", True, f"equity {cents(equity)}", f"{PATTERN_EQUITY} of equity, or {limit}")
    if account.pattern_day_trader:
        value = f"flagged as a pattern day trader, equity {cents(equity)}"
        return verdict("day_trades", False, value, f"none below {PATTERN_EQUITY} of equity")
    if account.day_trades is None:
        return verdict("day_trades", False, "unknown (the account has no count)", limit)
    count = account.day_trades + _round_trips_to_come(case) + 1
    return verdict("day_trades", count <= DAY_TRADES_ALLOWED, f"up to {count}", limit)


def _round_trips_to_come(case: Case) -> int:
    """Positions opened today, entries on their way, and what has closed since the account statement."""
    state, today = case.state, case.day.opens_at.date()
    opened = sum(held.opened_at is None or held.opened_at.date() >= today for held in state.positions.values())
    unstated = case.day.trades if _is_old(state) else 0
    return opened + case.exposure.coming + unstated


def _is_old(state: State) -> bool:
    """Whether executions have come since the account statement: their round trips may not be in its count."""
    return state.account is not None and state.exec_cursor > state.account.cursor


@rule("price_collar")
def price_collar(case: Case) -> RuleVerdict:
    """Limit, stop and mark within reach of the decision price: a slipped decimal point never leaves the house."""
    px, request, limit = case.px, case.request, case.texts["price_collar_bps"]
    if px <= 0:
        return verdict("price_collar", False, f"unknown (a decision price of {px})", f"{limit} bps")
    mark = case.state.marks.get(request.symbol)
    low = high = px if mark is None else mark.px
    prices = [request.limit_px, request.stop_px]
    for leg in request.legs:
        prices += (leg.limit_px, leg.stop_px)
    for price in prices:
        if price is not None:
            low, high = min(low, price), max(high, price)
    off_bps = max(px - low, high - px) * _BPS / px
    return RuleVerdict("price_collar", off_bps <= case.limits.price_collar_bps, f"{off_bps:.0f} bps", f"{limit} bps")


@rule("stop_side")
def stop_side(case: Case) -> RuleVerdict:
    """A protective stop lies on the losing side of the decision price."""
    stop, px = case.intent.stop_px, case.px
    if stop is None:
        return RuleVerdict("stop_side", True, _NO_STOP, f"beyond {px}")
    ok = stop < px if case.request.side is _BUY else stop > px
    return RuleVerdict("stop_side", ok, str(stop), f"beyond {px}")


@rule("stale_quote")
def stale_quote(case: Case) -> RuleVerdict:
    """The price decided on must be recent, by no more than the clocks' skew from the future; without one, no entry."""
    mark, limit = case.state.marks.get(case.request.symbol), case.limits.stale_quote_s
    limit = max(limit, case.day.window.interval_s)
    if mark is None:
        return verdict("stale_quote", False, "unknown (no quote)", f"{limit} s")
    age_s = (case.state.clock() - mark.at).total_seconds()
    ok = -case.limits.max_clock_skew_ms / 1000 <= age_s <= limit
    return RuleVerdict("stale_quote", ok, f"{age_s:.0f} s", f"{limit} s")


@rule("submit_rate")
def submit_rate(case: Case) -> RuleVerdict:
    """Orders per minute stay under the cap: a runaway loop is stopped here."""
    submits = case.day.submits  # in order of time
    recent = len(submits) - bisect_right(submits, case.state.clock() - _MINUTE)
    ok = recent < case.limits.max_submits_per_minute
    return RuleVerdict("submit_rate", ok, f"{recent} in the last minute", case.texts["max_submits_per_minute"])
