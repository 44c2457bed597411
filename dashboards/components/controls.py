"""The regions a person gives commands through: emergency, required decisions, the desk (§10, §11, §15, §23)."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from dashboards.components.region import SCRIPTS, Region


class Control(Region):
    """A region that sends what was ordered to `on_order`; its view carries `results`, the newest outcomes first."""

    def __init__(self, name: str, view: Mapping[str, Any], on_order: Callable[[Mapping[str, Any]], None]) -> None:
        self._results: list[Mapping[str, Any]] = []
        self._plain = view
        super().__init__(name, {**view, "results": []})
        self._on_order = on_order
        self.on_msg(self._received)

    def put(self, view: Mapping[str, Any]) -> None:
        """Put a view on the page, with the outcomes so far."""
        self._plain = view
        super().put({**view, "results": self._results})

    def tell(self, results: Sequence[Mapping[str, Any]]) -> None:
        """Show outcomes. They are state, not a message: a browser that missed one gets it with the next view."""
        self._results = list(results)
        self.put(self._plain)

    def _received(self, event: Any) -> None:
        data = getattr(event, "data", event)
        if isinstance(data, Mapping):
            self._on_order(data)


class Emergency(Control):
    """Emergency Liquidate & Halt: arm, then confirm with a reason."""

    _esm: ClassVar[str | Path] = SCRIPTS / "emergency.js"


class Decisions(Control):
    """Required decisions, each with its options."""

    _esm: ClassVar[str | Path] = SCRIPTS / "decisions.js"


class Desk(Control):
    """Pause, resume, block, drop and the other routine commands as forms."""

    _esm: ClassVar[str | Path] = SCRIPTS / "desk.js"
