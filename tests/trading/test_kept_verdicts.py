"""Verdicts that are kept for the next order stand while all they go by is the same, and not a moment longer (§11)."""

from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from qmworkbench.domain.events.orders import RuleVerdict
from qmworkbench.domain.sessions import Phase
from qmworkbench.trading import risk
from qmworkbench.trading.state import State
from tests.trading.risk_cases import SYMBOL, D, a_state, an_entry, later


def judged(state: State, code: str) -> RuleVerdict:
    return {verdict.code: verdict for verdict in risk.judge(state, an_entry())}[code]


def _now(state: State) -> None:
    later(state, minutes=7)


def _phase(state: State) -> None:
    state.day.phase = Phase.SHUTDOWN


def _opens(state: State) -> None:
    state.day.opens_at -= timedelta(minutes=9)


def _closes(state: State) -> None:
    state.day.closes_at += timedelta(minutes=9)


def _limits(state: State) -> None:
    state.day.limits = msgspec.structs.replace(state.day.limits, entry_delay_min=55)


@pytest.mark.parametrize("change", [_now, _phase, _opens, _closes, _limits])
def test_the_windows_verdict_follows_each_thing_it_goes_by(change: Callable[[State], None]) -> None:
    state = a_state()
    first = judged(state, "session_window")
    assert judged(state, "session_window") is first, "kept"
    change(state)
    second = judged(state, "session_window")
    assert second != first
    state.__dict__.clear()
    assert judged(state, "session_window") == second, "as one that was never asked"


def test_a_rates_verdict_follows_the_rate() -> None:
    state = a_state()
    first = judged(state, "conversion_rate")
    assert judged(state, "conversion_rate") is first, "kept"
    instruments = state.day.instruments
    instruments[SYMBOL] = msgspec.structs.replace(instruments[SYMBOL], currency="EUR")
    lacking = judged(state, "conversion_rate")
    assert (first.passed, lacking.passed) == (True, False)
    marks = state.marks
    for px in (D(2), D(3)):
        marks["EURUSD"] = msgspec.structs.replace(marks[SYMBOL], symbol="EURUSD", px=px)
        told = judged(state, "conversion_rate")
        assert told.passed
        assert str(px) in told.value, "of the newest"
        assert judged(state, "conversion_rate") is told, "kept"


@pytest.mark.parametrize(("currency", "account"), [("GBP", "USD"), ("EUR", "CHF")])
def test_a_rates_verdict_is_of_its_two_currencies_though_the_figure_is_the_same(currency: str, account: str) -> None:
    state, same = a_state(), D("1.25")

    def told(currency: str, account: str) -> str:
        day = state.day
        day.instruments[SYMBOL] = msgspec.structs.replace(day.instruments[SYMBOL], currency=currency)
        day.account_currency = account
        pair = currency + account
        state.marks[pair] = msgspec.structs.replace(state.marks[SYMBOL], symbol=pair, px=same)
        return judged(state, "conversion_rate").value

    assert told("EUR", "USD") == "1 EUR is 1.25 USD"
    assert told(currency, account) == f"1 {currency} is 1.25 {account}"
