"""A signal of §9 that speaks is an alert that stands, once, until the signal has gone quiet."""

from decimal import Decimal

from qmworkbench.domain.events import Event
from qmworkbench.domain.events.analytics import AnalyticsObserved, AnalyticsSignal
from qmworkbench.domain.events.control import AlertCleared, AlertRaised
from qmworkbench.domain.sessions import Priority, TradingState
from qmworkbench.trading.analytics_watch import REMEDIES
from tests.trading.world import World


def observed(world: World, code: str, subject: str, *, active: bool) -> list[Event]:
    signal = AnalyticsSignal(
        code=code, subject=subject, value=Decimal("30.2"), threshold=Decimal(25), unit="bps", sample=4, active=active,
        text=f"the last 4 fills of {subject} slipped 30.2 bps at the median",
    )  # fmt: skip
    return world.feed(AnalyticsObserved(at=world.at(), signals=(signal,)))


def test_a_signal_raises_one_alert_with_its_numbers_and_a_remedy_and_halts_nothing() -> None:
    world = World()
    world.open()
    for code, remedy in REMEDIES.items():
        events = observed(world, code, "OPK", active=True)
        assert [type(event) for event in events] == [AnalyticsObserved, AlertRaised]
        alert = world.state.alerts[events[1].alert.alert_id]  # type: ignore[attr-defined]
        assert (alert.kind, alert.key, alert.priority, alert.remedy) == (code, "OPK", Priority.P2, remedy)
        assert alert.text.endswith("at 30.2 bps, the threshold is 25 bps")
        assert len(observed(world, code, "OPK", active=True)) == 1, "it stands already"
    assert world.state.halt.state is TradingState.ACTIVE


def test_the_alert_goes_when_the_signal_has_gone_quiet_and_others_stay() -> None:
    world = World()
    world.open()
    for subject in ("OPK", "SWN"):
        observed(world, "unusual_slippage", subject, active=True)
    events = observed(world, "unusual_slippage", "OPK", active=False)
    assert [type(event) for event in events] == [AnalyticsObserved, AlertCleared]
    assert [alert.key for alert in world.state.alerts.values()] == ["SWN"]
    assert len(observed(world, "unusual_slippage", "OPK", active=False)) == 1, "nothing stands to be cleared"
