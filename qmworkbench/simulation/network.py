"""The line between the platform and the broker: requests and answers take time, and get lost, doubled or late (§13).

What a request does, it does when it arrives; what the caller is told, when the answer does, or when its patience ends.
The two have little to do with each other, which is the whole difficulty.
"""

from collections.abc import Callable
from typing import Any, Final

from qmworkbench.domain.execution import SubmitOutcome
from qmworkbench.ports import BrokerUnreachable, OutcomeUnknown, RequestRefused
from qmworkbench.simulation.loop import SECOND, Loop
from qmworkbench.simulation.plan import Faults

TIMEOUT_MS: Final = 5 * SECOND
# The longest a request may be under way and still arrive. An order's absence may only be concluded after this.
LATEST_MS: Final = 9 * SECOND

Told = Callable[[SubmitOutcome, str], None]
Answered = Callable[[Any, str], None]


class Network:
    """Carries requests to the venue. `arrived` is told when one has reached it, `dropped` of each that will
    never have an effect, by subject.
    """

    def __init__(self, loop: Loop, faults: Faults) -> None:
        self.loop = loop
        self.faults = faults
        self.down_until = self.activities_down_until = -(10**9)
        self._under_way: dict[str, int] = {}
        self._doubled: set[str] = set()
        self.arrived: Callable[[], None] = lambda: None
        self.dropped: Callable[[str], None] = lambda subject: None

    @property
    def is_down(self) -> bool:
        return self.loop.now < self.down_until

    @property
    def tells_activities(self) -> bool:
        """The broker's account activities can be read."""
        return self.loop.now >= self.activities_down_until

    def under_way(self, subject: str) -> bool:
        """A request that was sent once has not arrived yet. Its double may come whenever it likes."""
        return subject in self._under_way and subject not in self._doubled

    def drop(self, for_ms: int) -> None:
        """The broker cannot be reached for a while; what is under way is not stopped."""
        self.down_until = max(self.down_until, self.loop.now + for_ms)

    def request(self, subject: str, perform: Callable[[], None], told: Told) -> None:
        """Send something that changes the broker's books. `told` hears the outcome, once."""
        faults, loop = self.faults, self.loop
        if self.is_down:
            self.dropped(subject)
            loop.call(20, told, SubmitOutcome.LOST, "the broker cannot be reached")
            return
        there = faults.chance.whole("latency", subject, 5, 120)
        back = faults.chance.whole("latency/back", subject, 5, 120)
        if faults.strikes("lost_request", subject):
            self.dropped(subject)
            loop.call(TIMEOUT_MS, told, SubmitOutcome.LOST, "timed out")
            return
        if faults.strikes("rate_limited", subject):
            self.dropped(subject)
            loop.call(there + back, told, SubmitOutcome.REFUSED, "rate_limited: 429 too many requests")
            return
        if faults.strikes("server_error", subject):
            if faults.chance.unit("server_error/done", subject) < 0.5:
                self._arrives(there, subject, perform)
            else:
                self.dropped(subject)
            loop.call(there + back, told, SubmitOutcome.LOST, "503 service unavailable")
            return
        if faults.strikes("delayed", subject):
            there = faults.chance.whole("delayed/ms", subject, SECOND, LATEST_MS)
        if faults.strikes("duplicate", subject):
            self._doubled.add(subject)
            again = faults.chance.whole("duplicate/ms", subject, 0, 400)
            self._arrives(there + again, subject, perform)
        lost = faults.strikes("lost_ack", subject)
        state = {"told": False}

        def once(outcome: SubmitOutcome, detail: str) -> None:
            if not state["told"]:
                state["told"] = True
                told(outcome, detail)

        self._arrives(there, subject, perform, None if lost else lambda o, d: loop.call(back, once, o, d))
        if lost or there + back >= TIMEOUT_MS:
            loop.call(TIMEOUT_MS, once, SubmitOutcome.LOST, "timed out")

    def _arrives(self, after_ms: int, subject: str, perform: Callable[[], None], then: Told | None = None) -> None:
        self._under_way[subject] = self._under_way.get(subject, 0) + 1
        self.loop.call(after_ms, self._perform, subject, perform, then)

    def _perform(self, subject: str, perform: Callable[[], None], then: Told | None) -> None:
        self._under_way[subject] -= 1
        if not self._under_way[subject]:
            del self._under_way[subject]
        outcome, detail = SubmitOutcome.SENT, ""
        try:
            perform()
        except RequestRefused as error:
            outcome, detail = SubmitOutcome.REFUSED, str(error)
            self.dropped(subject)
        except (OutcomeUnknown, BrokerUnreachable) as error:
            outcome, detail = SubmitOutcome.LOST, str(error)
        self.arrived()
        if then is not None:
            then(outcome, detail)

    def read(self, subject: str, look: Callable[[], Any], answered: Answered) -> None:
        """Ask something that changes nothing. `answered` hears what was found, or None and why."""
        faults, loop = self.faults, self.loop
        if self.is_down:
            loop.call(20, answered, None, "the broker cannot be reached")
            return
        if faults.strikes("broker_down", "line"):
            self.drop(faults.chance.whole("broker_down/ms", faults.last_key(), 2 * SECOND, 150 * SECOND))
            loop.call(20, answered, None, "connection reset")
            return
        if faults.strikes("read_failed", subject):
            loop.call(300, answered, None, "502 bad gateway")
            return
        there = faults.chance.whole("latency", subject, 2, 60)
        loop.call(there, self._looked, look, faults.chance.whole("latency/back", subject, 2, 60), answered)

    def _looked(self, look: Callable[[], Any], back: int, answered: Answered) -> None:
        try:
            found = look()
        except BrokerUnreachable as error:
            self.loop.call(back, answered, None, str(error))
            return
        self.loop.call(back, answered, found, "")
