"""The bus within one process: errors are kept and told, and receivers are bounded."""

from collections.abc import Sequence

import pytest

from qmworkbench.bus.in_process import MAX_RECEIVERS, InProcessBus, ReceiverFailed, TooManyReceivers
from qmworkbench.domain.events import Event
from tests.storage.events import decisions


def broken(seq: int, events: Sequence[Event]) -> None:
    raise ValueError(f"cannot take {seq}")


def test_the_error_of_a_dropped_receiver_is_kept_and_told() -> None:
    told: list[ReceiverFailed] = []
    bus = InProcessBus(on_failure=told.append)
    bus.follow(broken)
    bus.publish(7, decisions(1))
    assert told == [ReceiverFailed("broken", 7, "ValueError: cannot take 7")]
    assert bus.failures == tuple(told)
    assert bus.receivers == 0


def test_trouble_in_telling_does_not_reach_the_publisher() -> None:
    def tell(failure: ReceiverFailed) -> None:
        raise OSError("pager down")

    bus = InProcessBus(on_failure=tell)
    bus.follow(broken)
    bus.publish(7, decisions(1))
    assert [failure.receiver for failure in bus.failures] == ["broken", "on_failure"]


def test_receivers_and_kept_errors_are_bounded() -> None:
    bus = InProcessBus()
    leave = [bus.follow(lambda seq, events: None) for _ in range(MAX_RECEIVERS)]
    with pytest.raises(TooManyReceivers, match=f"{MAX_RECEIVERS} receivers already, cannot add broken"):
        bus.follow(broken)
    leave[0]()
    for seq in range(100):
        bus.follow(broken)
        bus.publish(seq, decisions(1))
    assert len(bus.failures) == 32
    assert bus.failures[-1].seq == 99
