"""What each kind of event says about a symbol: its own sentence, and nothing about anybody else's."""

from decimal import Decimal

import msgspec
import pytest

from qmworkbench.domain.events.analytics import AnalyticsObserved, AnalyticsSignal
from qmworkbench.domain.events.orders import PositionsOffset
from qmworkbench.domain.events.overnight import PositionRestated
from qmworkbench.service.stories import tell
from tests.service.samples import AT, sample


def signal(subject: str, *, active: bool) -> AnalyticsSignal:
    return AnalyticsSignal(
        code="unusual_slippage", subject=subject, value=Decimal("30.2"), threshold=Decimal(25), unit="bps", sample=4,
        active=active, text="the last 4 fills slipped 30.2 bps",
    )  # fmt: skip


def test_a_signal_is_told_of_the_symbol_it_is_about_alone() -> None:
    event = AnalyticsObserved(at=AT, signals=(signal("SWN", active=False), signal("OPK", active=True)))
    assert tell(event, "OPK", set()) == ("analytics: unusual slippage speaks: the last 4 fills slipped 30.2 bps")
    assert tell(event, "SWN", set()).startswith("analytics: unusual slippage is quiet: ")
    assert tell(event, "AMD", set()) == ""


def test_parts_that_were_set_off_and_positions_restated_overnight() -> None:
    offset = sample(PositionsOffset, symbol="EURUSD", strategy_ids=("a", "b"), px=Decimal("1.25"), reason="flat")
    assert tell(offset, "EURUSD", set()) == "a and b were set off against each other at 1.25: flat"
    restated = sample(
        PositionRestated, strategy_id="donchian-us", symbol="FB", new_symbol="META", qty_before=Decimal(10),
        qty_after=Decimal(20), cause="2 for 1",
    )  # fmt: skip
    for symbol in ("FB", "META"):
        assert tell(restated, symbol, set()) == "donchian-us: 10 became 20 as META (2 for 1)"
    assert tell(msgspec.structs.replace(restated, new_symbol="FB"), "META", set()) == ""


@pytest.mark.parametrize("kind", [PositionsOffset, PositionRestated])
def test_another_symbol_is_no_business_of_this_one(kind: type) -> None:
    assert tell(sample(kind), "OPK", set()) == ""
