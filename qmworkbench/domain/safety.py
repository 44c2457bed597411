"""Settings of order safety that a session is decided with, recorded when it opens (§14, §15, §23)."""

from datetime import timedelta
from enum import StrEnum
from typing import Final

import msgspec


class SafetyInvalid(ValueError):
    """A setting that makes no sense. The message names it, its value and the remedy."""


class ReconciliationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the broker is asked, and what is concluded from its answers (§14). Seconds, unless the name says otherwise.

    `in_flight_after_s`: an answer to a submit, cancel or replace that is due longer is asked for by the order's id, and
    again after the same time. `absence_grace_s`: an id is only absent once a complete answer came this long after it
    was sent, or at an exact cursor past it. `open_check_s` and `position_check_s`: how old the last comparison of
    resting orders and of positions may grow in the session before the next one starts. `queries_before_missing`:
    targeted queries by id that must find nothing before an order counts as missing. `continuous_every_boundaries`: a
    whole comparison every so many boundaries.
    """

    in_flight_after_s: int = 5
    absence_grace_s: int = 10
    open_check_s: int = 300
    position_check_s: int = 300
    queries_before_missing: int = 1
    continuous_every_boundaries: int = 15

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value < 1:
                raise SafetyInvalid(f"reconciliation.{name} = {value} makes no sense: give a whole number of 1 or more")

    @property
    def in_flight_after(self) -> timedelta:
        return timedelta(seconds=self.in_flight_after_s)


class MustHalt(StrEnum):
    """§23 "Must Halt Trading Immediately", line by line. The value is the code of the state change."""

    EXECUTION_AMBIGUOUS = "must_halt.execution_ambiguous"
    RISK_MANAGER_UNAVAILABLE = "must_halt.risk_manager_unavailable"
    DUPLICATE_SUSPECTED = "must_halt.duplicate_suspected"
    DATA_DEGRADED = "must_halt.data_degraded"
    POSITION_MISMATCH = "must_halt.position_mismatch"


MUST_HALT: Final = tuple(MustHalt)


class HaltSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When trouble that may pass by itself has lasted long enough to halt the book (§23). Seconds.

    `ambiguous_after_s`: an order that was sent and of which nobody knows whether the broker has it, or a report that
    contradicts our books and that no comparison has explained yet. `data_degraded_after_s`: market data that is not
    good. `prices_untrusted_after_s`: quotes that are crossed or absurd, by which not even exits can be judged.
    """

    ambiguous_after_s: int = 30
    data_degraded_after_s: int = 300
    prices_untrusted_after_s: int = 60

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value < 1:
                raise SafetyInvalid(f"halt.{name} = {value} makes no sense: give a whole number of seconds, 1 or more")


class HaltPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner approved beforehand for one condition of §23: the book liquidates by itself. Default is none."""

    condition: MustHalt
    approved_by: str
    reason: str
