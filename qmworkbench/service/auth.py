"""Who acts: the name a command is signed with (§3, §10)."""

import getpass
import os
from typing import Final

_NAME_MAX: Final = 100


class OperatorUnknown(ValueError):
    """Nobody to sign a command with; the message says how to name oneself."""


def operator_name(given: str | None = None) -> str:
    """The person who acts: as given, or the system's name for whoever runs this process. Raises OperatorUnknown."""
    if given is not None:
        name = given.strip()
        if not name or len(name) > _NAME_MAX or not name.isprintable():
            raise OperatorUnknown(f"operator {given!r} is no name: give 1 to {_NAME_MAX} printable characters")
        return name
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise OperatorUnknown(
            f"the system has no name for user {os.getuid()}: say who you are with --operator NAME"
        ) from None
