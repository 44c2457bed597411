"""The log as people follow it: one short line for each event, on standard error (§21)."""

import sys
from collections.abc import MutableMapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from qmworkbench.service.logs import Human

_STYLES: Final = {"error": "bold red", "warning": "yellow"}
_KINDS: Final = {"fill": "green", "signal": "cyan", "order_command": "blue", "emergency": "bold red"}
# What happens at every boundary and says nothing to a person who watches a day go by.
_QUIET: Final = frozenset({"feed.boundary_closed", "frame.computed", "clock.ticked", "broker.account_observed"})
_LONGEST: Final = 160


def human_lines() -> "Human":
    """A receiver for SessionLog that prints to standard error, in colour where there is a terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stderr, highlight=False, soft_wrap=True)

    def show(at: datetime, level: str, kind: str, event: str, fields: MutableMapping[str, Any]) -> None:
        if event in _QUIET:
            return
        told = " ".join(f"{name}={value}" for name, value in fields.items() if value not in ("", "None", "[]", "0"))
        text = told if len(told) <= _LONGEST else told[: _LONGEST - 1] + "…"
        line = Text(f"{at:%H:%M:%S} ")
        line.append(f"{kind:<19} ", style=_STYLES.get(level) or _KINDS.get(kind, "dim"))
        line.append(f"{event:<30} ")
        line.append(text, style="dim" if level == "info" else _STYLES[level])
        console.print(line)

    return show
