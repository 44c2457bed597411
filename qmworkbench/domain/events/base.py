"""The root of every event: when it holds, and how it is written (§21)."""

from datetime import datetime
from typing import ClassVar

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", gc=False):
    """A fact, in the past tense. `at` is aware UTC: the bars' clock in a replay, the wall's otherwise.

    The wire name is the struct's tag and never changes; a field may be added with a default, never renamed or
    removed (SCHEMA_VERSION counts such additions). `IS_INPUT` marks what came from outside: feeding the inputs of a
    journal to a fresh kernel must give every other decision again. A fact is a tree of values, and none of them refers
    back to it: the collector of cycles need not look at it.
    """

    IS_INPUT: ClassVar[bool] = False

    at: datetime


class Input(Event, frozen=True, kw_only=True):
    """Something the kernel was told rather than decided."""

    IS_INPUT: ClassVar[bool] = True
