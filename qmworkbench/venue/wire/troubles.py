"""What goes wrong on the wire on purpose: faults as data, set through the control door (§13, §14).

A fault strikes requests by method and the beginning of their path, after `skip` of them, `times` times. The stream has
faults of its own: it falls mute, is cut, or carries a frame of the given bytes.
"""

from enum import StrEnum

import msgspec


class Trouble(StrEnum):
    """What happens to a request, or to the stream."""

    LOSE_REQUEST = "lose_request"  # nothing takes effect, the connection breaks
    LOSE_ANSWER = "lose_answer"  # it takes effect, the connection breaks
    STATUS = "status"  # nothing takes effect, an error of that status is answered
    EFFECT_AND_STATUS = "effect_and_status"  # it takes effect, and an error is answered all the same
    GARBAGE = "garbage"  # it takes effect, the answer is no JSON
    DELAY = "delay"  # the answer waits
    HANG = "hang"  # no answer ever, the connection stays open


class WireFault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One planned fault of requests; counts itself down."""

    method: str
    path: str
    trouble: Trouble
    status: int = 503
    skip: int = 0
    times: int = 1
    delay_s: float = 0.0


class StreamFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of the stream now: `mute` keeps it open and silent, `cut` ends it, `frame` is sent as it is."""

    mute: bool = False
    cut: bool = False
    frame: bytes | None = None
    refuse: bool = False  # no new stream is let in until this is told again as False


class Troubles:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self._planned: list[WireFault] = []
        self.mute = False
        self.refuse_streams = False

    def plan(self, faults: tuple[WireFault, ...]) -> None:
        """Replace what was planned."""
        self._planned = list(faults)

    def strikes(self, method: str, path: str) -> WireFault | None:
        """What goes wrong with this request, None when it goes well."""
        for fault in self._planned:
            if fault.method != method or not path.startswith(fault.path) or fault.times == 0:
                continue
            if fault.skip:
                fault.skip -= 1
                return None
            fault.times -= 1
            return fault
        return None
