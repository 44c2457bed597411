"""The regions that only show: status bar, notices, cards, tables, alerts, closing, emergency progress (§9)."""

from pathlib import Path
from typing import Any, ClassVar

import param

from dashboards.components.region import SCRIPTS, Region


class StatusBar(Region):
    """Environment, trading state, health bottom-up, phase and clock; `age` is JSON {text, tone}, new each second."""

    age = param.String(default="null")

    _esm: ClassVar[str | Path] = SCRIPTS / "status_bar.js"


class NoticeLine(Region):
    """What holds trading back or marks the session."""

    _esm: ClassVar[str | Path] = SCRIPTS / "notices.js"


class CardRow(Region):
    """Account summary and daily limits."""

    _esm: ClassVar[str | Path] = SCRIPTS / "cards.js"


class DataTable(Region):
    """Any table of view_models/tables.py."""

    _esm: ClassVar[str | Path] = SCRIPTS / "table.js"


class AlertList(Region):
    """Open alerts with remedies."""

    _esm: ClassVar[str | Path] = SCRIPTS / "alerts.js"


class ClosingPanel(Region):
    """A book without a session, or a session that is over."""

    _esm: ClassVar[str | Path] = SCRIPTS / "closing.js"


class EmergencyStrip(Region):
    """A begun emergency, symbol by symbol."""

    _esm: ClassVar[str | Path] = SCRIPTS / "emergency_progress.js"


def display(name: str, view: Any) -> Region:
    """The component that shows the region `name`."""
    return _BY_NAME.get(name, DataTable)(name, view)


_BY_NAME: dict[str, type[Region]] = {
    "status_bar": StatusBar,
    "notices": NoticeLine,
    "cards": CardRow,
    "alerts": AlertList,
    "closing": ClosingPanel,
    "emergency_progress": EmergencyStrip,
}
