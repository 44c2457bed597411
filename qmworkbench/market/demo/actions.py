"""What the demo market's companies do to their shares, as announced actions (§5, §14)."""

from datetime import date
from decimal import Decimal
from typing import Final

import numpy as np

from qmworkbench.domain.corporate_actions import CorporateAction, action_order
from qmworkbench.domain.execution import ActivityKind
from qmworkbench.market.demo.daily import days_with
from qmworkbench.market.demo.directory import SEATS
from qmworkbench.market.demo.exact import exp
from qmworkbench.market.demo.listings import CALENDAR, FIRST_DAY, number_of, pays_on, split_between, terms, tickers

_CENT: Final = Decimal("0.01")


def demo_actions(first: date, last: date, seed: int, symbols: int) -> tuple[CorporateAction, ...]:
    """The actions with an ex-date from `first` to `last`, both included, among the first `symbols` companies.

    Oldest first. A dividend is what the price falls by that night; a delisted company was bought, at its last price.
    """
    found: list[CorporateAction] = []
    for day in CALENDAR.sessions_between(max(first, FIRST_DAY), last):
        if day > FIRST_DAY:
            found += _actions_of(day, number_of(day), seed, symbols)
    return tuple(sorted(found, key=action_order))


def _actions_of(day: date, number: int, seed: int, symbols: int) -> list[CorporateAction]:
    """One session's actions, told in the tickers of the session before."""
    both = terms(np.array([number - 1, number]))
    ratio = split_between(number - 1, number)
    days, row = days_with(seed, number)
    before, above = days_with(seed, number - 1)
    who, holder = days.companies, days.holder[row]
    paid = pays_on(who.payout[holder], who.phase[holder], number, both.deal[1], both.old[1])
    old_names, names = tickers(number - 1), tickers(number)
    found = []
    for seat in range(min(symbols, SEATS)):
        if not both.listed[0, seat]:
            continue
        symbol, later = old_names[seat], names[seat]
        source = f"demo:{seed}"
        if not both.listed[1, seat]:
            found.append(CorporateAction(symbol=symbol, ex_date=day, kind=ActivityKind.DELISTING, source=source))
            continue
        if ratio[seat] != 1.0:
            told = Decimal(str(float(ratio[seat])))
            found.append(
                CorporateAction(symbol=symbol, ex_date=day, kind=ActivityKind.SPLIT, ratio=told, source=source)
            )
        if later != symbol:
            found.append(
                CorporateAction(
                    symbol=symbol, ex_date=day, kind=ActivityKind.SYMBOL_CHANGE, new_symbol=later, source=source
                )
            )
        if paid[seat] > 0:
            price = float(exp(before.closed[above, seat : seat + 1])[0])
            amount = max(Decimal(str(round(price * float(paid[seat]), 2))), _CENT)
            found.append(
                CorporateAction(symbol=symbol, ex_date=day, kind=ActivityKind.DIVIDEND, amount=amount, source=source)
            )
    return found
