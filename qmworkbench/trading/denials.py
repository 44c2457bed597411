"""Why an order was denied, as a sentence: each risk rule's verdict in words (§11).

The code stays in front, because people search the journal for it; value and limit are the verdict's own.
"""

from typing import Final

from qmworkbench.domain.events.orders import RuleVerdict

_WORDS: Final[dict[str, str]] = {
    "reduce_only": "{value} was asked to close, {limit} may be",
    "reduce_only_broker": "{value} was asked to close, the broker has {limit}",
    "rule_failed": "the Risk Manager cannot answer ({value}); orders need {limit}",
    "trading_state": "the {value}; entries need {limit}",
    "critical_health": "critical components are not healthy ({value})",
    "environment_armed": "{value} is not armed",
    "entries_released": "entries are held: {value}",
    "run_active": "the strategy's run has {value}",
    "session_window": "{value}; entries keep {limit}",
    "broker_connected": "the broker does not answer",
    "feed_quality": "market data is {value}; entries need it {limit}",
    "clock_skew": "this machine's clock is {value} away from the broker's; the limit is {limit}",
    "reconciled": "the books with the broker are not reconciled: {value}",
    "blocked_symbol": "the symbol is blocked, {value}",
    "ownership": "the symbol belongs to {value}, not to {limit}",
    "conversion_rate": "{value}; entries need {limit}",
    "instrument": "the order is {value}; the venue takes {limit}",
    "short_sale": "it {value}; only {limit}",
    "min_notional": "the order is worth {value}; the venue takes {limit} or more",
    "max_daily_loss": "day P&L is {value}; entries stop at {limit}",
    "max_trades_per_day": "{value} entries were intended today; the limit is {limit}",
    "max_open_positions": "{value} other positions are held or on their way; the limit is {limit}",
    "max_position_qty": "{value} units would be held; the limit is {limit}",
    "max_position_notional": "a position would be worth {value}; the limit is {limit}",
    "max_position_equity_pct": "a position would take {value} % of equity; the limit is {limit} %",
    "max_symbol_equity_pct": "both sides of the symbol would take {value} % of equity; the limit is {limit} %",
    "max_strategy_equity_pct": "the strategy would hold {value} % of equity; the limit is {limit} %",
    "buying_power": "it ties up {value}, and {limit} is free",
    "day_trades": "day trades: {value}; allowed: {limit}",
    "price_collar": "one of its prices is {value} away from the decision price; the limit is {limit}",
    "stop_side": "the stop at {value} does not lie {limit}",
    "stale_quote": "the age of the last price is {value}; the limit is {limit}",
    "submit_rate": "{value} orders; the limit is {limit}",
}
# What is unknown reads better in their own words.
_NAME_WHAT_IS_UNKNOWN: Final = ("max_daily_loss", "instrument")


def sentence(verdict: RuleVerdict) -> str:
    """One failed rule in words: "stale_quote: the age of the last price is 240 s; the limit is 180 s"."""
    if verdict.value.startswith("unknown") and verdict.code not in _NAME_WHAT_IS_UNKNOWN:
        return f"{verdict.code}: the figure is {verdict.value}; the limit is {verdict.limit}"
    words = _WORDS.get(verdict.code, "{value}; the limit is {limit}")
    return f"{verdict.code}: {words.format(value=verdict.value, limit=verdict.limit)}"
