"""Conversion through recorded marks: straight, turned round, or by way of the dollar (DESIGN "Numbers")."""

from datetime import UTC, datetime
from decimal import Decimal as D

import pytest

from qmworkbench.domain.events.market import Mark
from qmworkbench.trading.state import State
from tests.trading.world import World

AT = datetime(2018, 3, 2, 15, tzinfo=UTC)


def state(account: str, **marks: str) -> State:
    world = World(seed=1)
    world.open()
    found = world.state
    found.day.account_currency = account
    found.marks = {symbol: Mark(symbol=symbol, px=D(px), at=AT) for symbol, px in marks.items()}
    return found


@pytest.mark.parametrize(
    ("account", "currency", "marks", "rate"),
    [
        ("USD", "USD", {}, "1"),
        ("USD", "GBP", {"GBPUSD": "1.25"}, "1.25"),
        ("USD", "JPY", {"USDJPY": "125"}, "0.008"),
        ("EUR", "JPY", {"EURJPY": "125", "USDJPY": "100", "EURUSD": "1.25"}, "0.008"),  # a pair of its own counts
        ("EUR", "AUD", {"AUDUSD": "0.75", "EURUSD": "1.25"}, "0.6"),
        ("EUR", "JPY", {"USDJPY": "100", "EURUSD": "1.25"}, "0.008"),
        ("GBP", "CHF", {"USDCHF": "0.8", "GBPUSD": "1.25"}, "1"),
    ],
)
def test_a_currency_is_worth_what_pairs_say(account: str, currency: str, marks: dict[str, str], rate: str) -> None:
    assert state(account, **marks).rate(currency) == D(rate)


@pytest.mark.parametrize(
    ("account", "currency", "marks"),
    [
        ("USD", "JPY", {}),
        ("USD", "JPY", {"EURJPY": "125", "EURUSD": "1.25"}),  # the dollar alone leads anywhere
        ("EUR", "JPY", {"USDJPY": "100"}),
        ("EUR", "JPY", {"USDJPY": "0", "EURUSD": "1.25"}),
    ],
)
def test_without_pairs_there_is_no_rate(account: str, currency: str, marks: dict[str, str]) -> None:
    assert state(account, **marks).rate(currency) is None
