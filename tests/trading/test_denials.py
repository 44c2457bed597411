"""Denials read well, and a missing rate is one by name: it blocks entries and never an exit (§11)."""

from decimal import Decimal
from typing import Any

import pytest

from qmworkbench.domain import commands
from qmworkbench.domain.events import decode
from qmworkbench.domain.events.control import AlertCleared, AlertRaised
from qmworkbench.domain.events.orders import FillRecorded, OrderDenied, RiskDecided, RuleVerdict
from qmworkbench.domain.orders import Leg
from qmworkbench.trading.denials import sentence
from qmworkbench.trading.risk import ENTRY_RULES, EXIT_RULES
from tests.trading.test_kernel_rules import entry, opened
from tests.trading.test_kernel_world import BUSY
from tests.trading.world import World


class Blind(World):
    """A world of pairs in which the kernel is not told some prices."""

    unseen: tuple[str, ...] = ()

    def marked(self) -> tuple[str, ...]:
        return tuple(symbol for symbol in self.symbols if symbol not in self.unseen)


def blind(*unseen: str) -> Blind:
    world = Blind(shared=True, strategies=("one", "two"), limits=BUSY)
    world.unseen = unseen
    world.open()
    world.boundary(1, [])
    return world


def events(world: World, kind: type[Any]) -> list[Any]:
    return [e for e in map(decode, world.journal) if isinstance(e, kind)]


def denial(world: World) -> str:
    return str(events(world, OrderDenied)[-1].reason)


def test_every_rule_has_its_words() -> None:
    world = opened()
    entry(world)
    world.boundary(3, [])
    world.boundary(4, [world.row("AAA", exit_long=True)])
    seen = {v.code for e in events(world, RiskDecided) for v in e.rules}
    assert len(seen) == len(ENTRY_RULES) + len(EXIT_RULES)
    for code in seen:
        said = sentence(RuleVerdict(code=code, passed=False, value="7", limit="5"))
        assert said.startswith(f"{code}: ")
        assert "{" not in said


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            commands.Pause(reason="lunch"),
            "trading_state: the book is HALTED – entries blocked, exits running; entries need ACTIVE",
        ),
        (
            commands.EmergencyLiquidateAndHalt(reason="out"),
            "trading_state: the book is HALTED – only liquidation may pass; entries need ACTIVE",
        ),
        (
            commands.StopStrategy(reason="odd", strategy_id="test-1"),
            "trading_state: the strategy is HALTED – entries blocked, exits running; entries need ACTIVE",
        ),
    ],
)
def test_who_is_halted_is_said_in_the_words_of_every_screen(command: commands.AnyCommand, said: str) -> None:
    world = opened()
    world.command(command)
    entry(world)
    assert said in denial(world)
    assert "against" not in denial(world)


def test_a_missing_rate_denies_by_name_and_sends_nothing() -> None:
    world = blind("GBPUSD")
    world.boundary(2, [world.row("EURGBP", "one", entry_long=True)])
    assert denial(world) == "conversion_rate: no rate from GBP to USD is recorded; entries need a recorded rate"
    assert [v.code for v in events(world, RiskDecided)[-1].failed] == ["conversion_rate"]
    assert not world.sent
    world.boundary(3, [world.row("USDJPY", "one", entry_long=True)])
    assert len(world.sent) == 1, "a pair whose own price tells the rate is not concerned"


def test_the_rate_an_entry_was_judged_with_is_on_record() -> None:
    world = blind()
    world.boundary(2, [world.row("USDJPY", "one", entry_long=True)])
    rate = next(v for v in events(world, RiskDecided)[-1].rules if v.code == "conversion_rate")
    mark = world.state.marks["USDJPY"].px
    assert (rate.passed, rate.value) == (True, f"1 JPY is {1 / mark:.8g} USD")
    world.boundary(3, [])
    (fill,) = events(world, FillRecorded)
    assert fill.conversion_rate > 0


def test_a_rate_that_goes_missing_blocks_entries_everywhere_and_no_exit() -> None:
    world = blind()
    world.boundary(2, [world.row("EURGBP", "one", entry_long=True), world.row("EURGBP", "two", entry_short=True)])
    world.boundary(3, [])
    assert len(world.state.positions) == 2
    del world.state.marks["GBPUSD"]
    world.unseen = ("GBPUSD",)
    world.boundary(4, [world.row("USDJPY", "one", entry_long=True)])
    assert not world.state.net, "the two parts come to nothing, and nothing is there to be valued"
    assert "max_strategy_equity_pct: the figure is unknown" in denial(world)
    assert "max_daily_loss" not in denial(world)
    world.boundary(5, [world.row("EURGBP", "two", exit_short=True)])
    world.boundary(6, [])
    assert world.state.net_qty("EURGBP") > 0, "the exit of the other part went through"
    world.boundary(7, [world.row("USDCHF", "two", entry_long=True)])
    assert "max_daily_loss: day P&L is unknown (EURGBP: no rate from GBP to USD is recorded)" in denial(world)
    raised = [e.alert for e in events(world, AlertRaised) if e.alert.kind == "conversion_rate_missing"]
    assert [(a.priority, "EURGBP" in a.text) for a in raised] == [("P1", True)]
    world.boundary(8, [world.row("EURGBP", "one", exit_long=True)])
    world.boundary(9, [])
    assert world.state.net_qty("EURGBP") == 0
    assert [e for e in events(world, AlertCleared) if e.alert_id == raised[0].alert_id]


def test_an_exit_is_judged_by_its_size_alone() -> None:
    world = opened()
    entry(world)
    world.boundary(3, [])
    world.boundary(4, [world.row("AAA", exit_long=True)])
    exits = [e for e in events(world, RiskDecided) if e.leg is Leg.EXIT]
    assert [[v.code for v in e.rules] for e in exits] == [["reduce_only"]]
    assert exits[0].rules[0].limit == str(Decimal(exits[0].rules[0].value))
