"""The command center: one page over the running platform, each browser session fed from the one reading of all (§9)."""

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import panel as pn
from markupsafe import Markup

from dashboards.commands import CommandSender, Outcome
from dashboards.components.charts import EquityChart, TradesChart
from dashboards.components.controls import Control, Decisions, Desk, Emergency
from dashboards.components.display import StatusBar, display
from dashboards.components.heartbeat import Heartbeat
from dashboards.components.region import SCRIPTS, Region
from dashboards.reading import Reading
from dashboards.source import SnapshotSource
from dashboards.view_models import charts, status
from dashboards.view_models.page import page_view

TICK_MS: Final = 1000
SOON_MS: Final = 200
SOON_TICKS: Final = 8
RESULTS_KEPT: Final = 20
# A view that the browser has not drawn after this many beats is sent again.
_BEATS_TO_DRAW: Final = 2

_HERE: Final = Path(__file__).parent
_CONTROLS: Final[dict[str, type[Control]]] = {"emergency": Emergency, "decisions": Decisions, "desk": Desk}


class Views:
    """The view of the newest reading, computed once for all open pages."""

    def __init__(self, source: SnapshotSource, zone: ZoneInfo) -> None:
        self.source = source
        self.zone = zone
        self._of: Reading | None = None
        self._view: dict[str, Any] = {}

    def latest(self) -> tuple[Reading, dict[str, Any]]:
        """The newest reading and its view."""
        reading = self.source.latest()
        if self._of is None or reading.revision != self._of.revision:
            self._view = page_view(reading, self.zone)
        self._of = reading
        return reading, self._view


class CommandCenter:
    """One browser's page. Everything is on it at construction, refreshed once it has loaded, then once a second.

    Callbacks read what is in memory and return; commands are carried by the sender's own threads.
    """

    def __init__(self, views: Views, sender: CommandSender) -> None:
        self._views = views
        self._sender = sender
        self._outcomes: OrderedDict[str, Outcome] = OrderedDict()
        self._document = pn.state.curdoc
        reading, view = views.latest()
        self._revision = reading.revision
        self._undrawn: dict[str, int] = {}
        self.regions: dict[str, Region] = {name: self._region(name, shown) for name, shown in view.items()}
        self.heartbeat = Heartbeat(status.veil(reading, views.source.now()), self._drawn)
        snapshot = reading.snapshot or {}
        self.equity = EquityChart(charts.equity_curve(snapshot, views.zone))
        self.trades = TradesChart(charts.trade_bars(snapshot))
        self._show_age(reading)

    def template(self) -> pn.Template:
        """The page itself."""
        template = pn.Template(_source("command_center.html"))
        for name, region in self.regions.items():
            template.add_panel(name, region)
        template.add_panel("heartbeat", self.heartbeat)
        template.add_panel("equity_chart", self.equity.pane)
        template.add_panel("trades_chart", self.trades.pane)
        template.add_variable("style", Markup(_source("command_center.css")))
        template.add_variable("scripts", [Markup(_script(name)) for name in ("qm.js", "commands.js")])
        _, view = self._views.latest()
        bar = view["status_bar"]
        template.add_variable("state_text", bar["state"]["text"])
        template.add_variable("environment", bar["environment"]["kind"])
        return template

    def begin(self) -> None:
        """Once the browser has loaded: refresh what it may have missed, and start the clock."""
        self.tick()
        pn.state.add_periodic_callback(self.tick, TICK_MS)

    def tick(self) -> None:
        """Show what has changed since the last time, and beat."""
        reading, view = self._views.latest()
        with pn.io.hold():
            if reading.revision != self._revision:
                self._revision = reading.revision
                for name, region in self.regions.items():
                    region.put(view[name])
                snapshot = reading.snapshot or {}
                self.equity.show(charts.equity_curve(snapshot, self._views.zone))
                self.trades.show(charts.trade_bars(snapshot))
            self._show_age(reading)
            self.heartbeat.pulse(status.veil(reading, self._views.source.now()))

    def _region(self, name: str, view: Any) -> Region:
        control = _CONTROLS.get(name)
        return display(name, view) if control is None else control(name, view, self._order)

    def _show_age(self, reading: Reading) -> None:
        bar = self.regions["status_bar"]
        if isinstance(bar, StatusBar):
            bar.age = json.dumps(status.data_age(reading, self._views.source.now(), datetime.now(UTC)))

    def _drawn(self, shown: Mapping[str, Any]) -> None:
        """The browser says which views it has drawn: what it has not is sent again, or it would be lost for good."""
        for name, region in self.regions.items():
            if shown.get(name) == region.sent:
                self._undrawn.pop(name, None)
                continue
            self._undrawn[name] = self._undrawn.get(name, 0) + 1
            if self._undrawn[name] >= _BEATS_TO_DRAW:
                self._undrawn[name] = 0
                region.renew()

    def _order(self, message: Mapping[str, Any]) -> None:
        self._sender.send(message, self._told)

    def _told(self, outcome: Outcome) -> None:
        """An outcome, from one of the sender's threads: into the page's own turn."""
        if self._document is not None:
            self._document.add_next_tick_callback(lambda: self._note(outcome))

    def _note(self, outcome: Outcome) -> None:
        known = outcome.command_id in self._outcomes
        self._outcomes[outcome.command_id] = outcome
        if not known:
            self._outcomes.move_to_end(outcome.command_id, last=False)
        while len(self._outcomes) > RESULTS_KEPT:
            self._outcomes.popitem()
        if outcome.state == "accepted" and self._document is not None and self._document.session_context:
            # What it did is on the page as soon as the platform shows it, not at the next second.
            pn.state.add_periodic_callback(self.tick, SOON_MS, count=SOON_TICKS)
        results = [each.as_row() for each in self._outcomes.values()]
        with pn.io.hold():
            for region in self.regions.values():
                if isinstance(region, Control):
                    region.tell(results)


def page_of(views: Views, sender: CommandSender) -> Callable[[], pn.Template]:
    """The function that Panel calls for each browser."""

    def page() -> pn.Template:
        center = CommandCenter(views, sender)
        pn.state.onload(center.begin)
        return center.template()

    return page


def _source(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _script(name: str) -> str:
    return (SCRIPTS / name).read_text(encoding="utf-8")
