"""The rules about money and size: losses, trades, positions, buying power (§11).

Exposure is counted at its worst (exposure.py): open, in-doubt and unproven entry orders as if they had filled, and what
others hold against a position as if it were gone.
"""

from decimal import Decimal
from typing import Final

from qmworkbench.domain.events.orders import RuleVerdict
from qmworkbench.domain.numbers import ONE, ZERO
from qmworkbench.trading.exposure import hidden_margin
from qmworkbench.trading.risk_rule import Case, rule, verdict

_HUNDRED: Final = Decimal(100)
_UNKNOWN: Final = "unknown (a rate or price is missing)"


@rule("conversion_rate")
def conversion_rate(case: Case) -> RuleVerdict:
    """Money of the instrument's currency converts into the account's at a recorded rate; without one, no entry."""
    known, account = case.instrument, case.day.account_currency
    if known is None:
        return verdict("conversion_rate", False, "no instrument", "a recorded rate")
    if case.rate is None:
        return verdict("conversion_rate", False, case.state.missing_rate(known.symbol), "a recorded rate")
    # Many orders come at one rate: what was said of it last is kept beside the state.
    kept = case.state.__dict__.get("conversion_rate")
    if kept is None or kept[0] is not case.rate or kept[1] != known.currency or kept[2] != account:
        said = f"1 {known.currency} is {case.rate:.8g} {account}"
        kept = case.rate, known.currency, account, RuleVerdict("conversion_rate", True, said, "a recorded rate")
        case.state.__dict__["conversion_rate"] = kept
    answer: RuleVerdict = kept[3]
    return answer


@rule("max_daily_loss")
def max_daily_loss(case: Case) -> RuleVerdict:
    """Realized + unrealized + fees of the day; an unknown figure denies, and names the mark or rate it lacks."""
    most = case.day.max_loss
    if most is None:
        return verdict("max_daily_loss", False, "unknown (no session-start equity)", f"-{case.texts['max_daily_loss']}")
    pnl = case.state.day_pnl()
    if pnl is None:
        return verdict("max_daily_loss", False, f"unknown ({'; '.join(case.state.unvalued())})", -most)
    limit = case.texts["max_daily_loss"] if most is case.limits.max_daily_loss else str(most)
    return RuleVerdict("max_daily_loss", pnl > -most, f"{pnl:.2f}", f"-{limit}")


@rule("max_trades_per_day")
def max_trades(case: Case) -> RuleVerdict:
    """Entries intended today, in-doubt ones included, stay under the cap (§11)."""
    count = case.day.entries_intended
    passed = count < case.limits.max_trades_per_day
    return RuleVerdict("max_trades_per_day", passed, str(count), case.texts["max_trades_per_day"])


@rule("max_open_positions")
def max_open_positions(case: Case) -> RuleVerdict:
    """Other symbols held by anyone, or that an order on its way would open."""
    count = case.exposure.others
    passed = count < case.limits.max_open_positions
    return RuleVerdict("max_open_positions", passed, str(count), case.texts["max_open_positions"])


@rule("max_position_qty")
def max_position_qty(case: Case) -> RuleVerdict:
    """Units held and on their way stay under the cap (§11)."""
    limit = case.limits.max_position_qty
    worst = case.exposure.qty(case.request.side) + case.request.order_qty
    return RuleVerdict("max_position_qty", limit is None or worst <= limit, str(worst), case.texts["max_position_qty"])


@rule("max_position_notional")
def max_position_notional(case: Case) -> RuleVerdict:
    """Worst-case value of the symbol's side over all owners stays under the cap (§11)."""
    limit, worst = case.texts["max_position_notional"], case.side_value
    if worst is None:
        return verdict("max_position_notional", False, "unknown (no rate)", limit)
    passed = worst <= case.limits.max_position_notional
    return RuleVerdict("max_position_notional", passed, f"{worst:.2f}", limit)


@rule("max_position_equity_pct")
def max_position_equity(case: Case) -> RuleVerdict:
    """That value as a share of session-start equity stays under the cap (§11)."""
    return _share("max_position_equity_pct", case, case.side_value, case.limits.max_position_equity_pct)


@rule("max_symbol_equity_pct")
def max_symbol_equity(case: Case) -> RuleVerdict:
    """Both sides of the symbol over all owners together, as if each stood alone."""
    limit = case.limits.max_symbol_equity_pct
    side, other = case.side_value, case.exposure.value(case.request.side.opposite)
    both = side + other if side is not None and other is not None else None
    return _share("max_symbol_equity_pct", case, both, limit)


@rule("max_strategy_equity_pct")
def max_strategy_equity(case: Case) -> RuleVerdict:
    """All that one instance holds and has on its way, against session-start equity."""
    held, mine = case.exposure.strategy_value, case.notional
    total = held + mine if held is not None and mine is not None else None
    return _share("max_strategy_equity_pct", case, total, case.limits.max_strategy_equity_pct)


@rule("buying_power")
def buying_power(case: Case) -> RuleVerdict:
    """The statement's buying power, less everything that may not be inside it: counted twice is allowed, too little
    never.
    """
    account, known, notional = case.state.account, case.instrument, case.notional
    if account is None or known is None or notional is None:
        return verdict("buying_power", False, "unknown (no account statement or rate)", "a known figure")
    sums = case.exposure
    free = account.buying_power - sums.tied_up - sums.spent - hidden_margin(case.state)
    needed = notional if known.margin_rate is ONE else notional * known.margin_rate
    return RuleVerdict("buying_power", needed <= free, f"{needed:.2f}", f"{free:.2f}")


def _share(code: str, case: Case, value: Decimal | None, limit: Decimal | None) -> RuleVerdict:
    """A value against session-start equity; what nobody knows is above every limit there is."""
    equity = case.day.start_equity
    if limit is None:
        return RuleVerdict(code, True, "not limited", "none")
    if value is None or equity is None or equity <= ZERO:
        return verdict(code, False, _UNKNOWN, limit)
    share = value / equity * _HUNDRED
    return RuleVerdict(code, share <= limit, f"{share:.2f}", case.texts[code])
