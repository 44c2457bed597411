"""The page without a browser: what it holds from the start, what it sends when, and what it sends again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import panel as pn
import pytest
from bokeh.document import Document

from dashboards.commands import CommandSender, Outcome
from dashboards.components.charts import EquityChart, TradesChart
from dashboards.components.display import NoticeLine
from dashboards.core_api import CoreApi, book_endpoint
from dashboards.pages.command_center import CommandCenter, Views
from dashboards.source import SnapshotSource
from dashboards.view_models.charts import Curve, TradeBars
from tests.dashboards import scenarios
from tests.dashboards.fake_core_api import TOKEN, FakeCoreApi

NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeCoreApi]:
    served = FakeCoreApi(scenarios.daily_loss(), scenarios.health())
    served.write_api_json(tmp_path)
    yield served
    served.close()


@pytest.fixture
def center(fake: FakeCoreApi, tmp_path: Path) -> Iterator[CommandCenter]:
    api = CoreApi(book_endpoint(tmp_path))
    source = SnapshotSource(api)
    source.poll()
    yield CommandCenter(Views(source, NEW_YORK), CommandSender(api))
    api.close()


def shown(center: CommandCenter, name: str) -> Any:
    return json.loads(center.regions[name].view)["v"]


def test_everything_is_on_the_page_at_construction(center: CommandCenter) -> None:
    """What is written later can be lost on its way to a browser that is still loading."""
    assert shown(center, "status_bar")["state"]["text"] == scenarios.REDUCING
    assert len(shown(center, "decisions")["items"]) == 1
    assert shown(center, "positions")["rows"]
    assert json.loads(center.heartbeat.beat)["veil"]["state"] == ""


def test_the_template_names_every_region_once(center: CommandCenter) -> None:
    html = (Path(__file__).resolve().parents[2] / "dashboards/pages/command_center.html").read_text()
    names = [*center.regions, "heartbeat", "equity_chart", "trades_chart"]
    assert all(html.count(f"embed(roots.{name})") == 1 for name in names)
    assert html.count("embed(roots.") == len(names)
    assert isinstance(center.template(), pn.Template)


def test_a_tick_sends_what_has_changed_and_nothing_else(center: CommandCenter, fake: FakeCoreApi) -> None:
    source = center._views.source
    before = {name: region.sent for name, region in center.regions.items()}
    center.tick()
    assert {name: region.sent for name, region in center.regions.items()} == before
    later = scenarios.daily_loss()
    later["alerts"] = []
    fake.show(later)
    source.poll()
    center.tick()
    changed = {name for name, region in center.regions.items() if region.sent != before[name]}
    # the version itself goes to whatever dates a command with it
    assert changed == {"alerts", "status_bar", "emergency", "decisions", "desk"}
    assert json.loads(center.heartbeat.beat)["n"] == 2


def test_one_view_is_computed_for_all_pages(center: CommandCenter) -> None:
    views = center._views
    assert views.latest()[1] is views.latest()[1]


def test_what_the_browser_has_not_drawn_is_sent_again(center: CommandCenter) -> None:
    drawn = {name: region.sent for name, region in center.regions.items()}
    lost = drawn | {"status_bar": 0}
    center._drawn(drawn)
    center._drawn(lost)
    assert center.regions["status_bar"].sent == 1  # it may be on its way
    center._drawn(lost)
    assert center.regions["status_bar"].sent == 2
    assert shown(center, "status_bar")["state"]["text"] == scenarios.REDUCING
    center._drawn(drawn | {"status_bar": 2})
    center._drawn(lost | {"status_bar": 2})
    assert {name: region.sent for name, region in center.regions.items()} == drawn | {"status_bar": 2}


def test_outcomes_reach_every_form_and_stay_through_updates(center: CommandCenter) -> None:
    first = Outcome("c1", "Pause", "sending")
    center._note(first)
    center._note(Outcome("c2", "Block AMD", "accepted"))
    center._note(Outcome("c1", "Pause", "refused", "too old", "again"))
    for name in ("emergency", "decisions", "desk"):
        assert [(r["command_id"], r["state"]) for r in shown(center, name)["results"]] == [
            ("c2", "accepted"),
            ("c1", "refused"),
        ]
    center.regions["desk"].put({"offers": {}})
    assert len(shown(center, "desk")["results"]) == 2


def test_old_outcomes_are_forgotten(center: CommandCenter) -> None:
    for n in range(30):
        center._note(Outcome(f"c{n}", "Pause", "accepted"))
    results = shown(center, "desk")["results"]
    assert [results[0]["command_id"], results[-1]["command_id"], len(results)] == ["c29", "c10", 20]


def test_no_view_holds_the_token(center: CommandCenter) -> None:
    assert all(TOKEN not in region.view for region in center.regions.values())


def test_a_region_does_not_send_what_is_shown() -> None:
    region = NoticeLine("notices", {"items": []})
    region.put({"items": []})
    assert (region.sent, region.view) == (1, '{"n":1,"v":{"items":[]}}')
    region.put({"items": ["–"]})
    assert region.view == '{"n":2,"v":{"items":["–"]}}'


def test_the_equity_chart_streams_what_is_new() -> None:
    chart = EquityChart(Curve((1.0, 2.0), (10.0, 11.0), 10.0, 9.0))
    document, sent = Document(), []
    document.add_root(chart.pane.object)
    document.on_change(lambda event: sent.append(type(event).__name__))
    chart.show(Curve((1.0, 2.0, 3.0), (10.0, 11.0, 12.0), 10.0, 9.0))
    assert sent.count("ColumnsStreamedEvent") == 1
    assert chart._source.data["at"] == [1.0, 2.0, 3.0]
    assert list(chart._source.data["equity"]) == [10.0, 11.0, 12.0]
    chart.show(Curve((5.0,), (7.0,), None, None))  # another session
    assert list(chart._source.data["at"]) == [5.0]
    assert not chart._start.visible
    assert not chart._floor.visible
    chart.show(Curve((5.0,), (8.0,), None, None))  # the newest point moved
    assert list(chart._source.data["equity"]) == [8.0]


def test_the_trades_chart_colours_gains_and_losses() -> None:
    chart = TradesChart(TradeBars((), ()))
    chart.show(TradeBars(("AMD", "FB"), (5.0, -3.0)))
    assert list(chart._source.data["n"]) == [1, 2]
    colors = list(chart._source.data["color"])
    assert colors[0] != colors[1]
