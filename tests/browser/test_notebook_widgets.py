"""The notebooks' widgets in a real Chromium: a click on the map draws, a choice runs again (§2 Backtesting)."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.reporting.test_sweep_explorer_report import kept

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_MS = 120_000
expect.set_options(timeout=PATIENCE_MS)
Serve = Callable[[str, Path], str]

# A chart's title is drawn, not written: what is on the page is asked of the drawing library.
TITLES = """() => window.Bokeh === undefined ? [] : window.Bokeh.documents.flatMap(
    d => [...d._all_models.values()].filter(m => m.type === "Title").map(m => m.text))"""


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a page of widgets and answers its address."""
    started: list[subprocess.Popen[str]] = []

    def start(kind: str, home: Path) -> str:
        command = [sys.executable, "-m", "tests.browser.widget_process", kind, str(home)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return process.stdout.readline().strip()

    yield start
    for process in started:
        process.terminate()
        process.wait(timeout=120)
        assert process.stdout is not None
        process.stdout.close()


def titled(page: Page, words: str) -> None:
    page.wait_for_function(f"words => ({TITLES})().some(text => text.includes(words))", arg=words, timeout=PATIENCE_MS)


def test_a_click_on_the_map_of_a_sweep_draws_the_equity_behind_the_point(
    page: Page, serve: Serve, tmp_path: Path
) -> None:
    home = kept(tmp_path / "sweep", lambda fast, slow: 0.002 if fast <= 10 and slow <= 100 else 0.0)
    page.set_default_timeout(PATIENCE_MS)
    page.goto(serve("sweep", home))
    titled(page, "sharpe")
    plots = page.locator(".bk-Figure")
    expect(plots).to_have_count(2)
    before = page.evaluate(f"({TITLES})()")
    assert not any("fast 40, slow 200" in text for text in before)
    box = plots.first.bounding_box()
    assert box is not None
    # The last column and the upper row of four by three: inside the frame, left of the colour bar.
    page.mouse.click(box["x"] + box["width"] * 0.80, box["y"] + box["height"] * 0.22)
    titled(page, "fast 40, slow 200")


def test_another_strategy_is_run_where_the_widgets_say_so(page: Page, serve: Serve, tmp_path: Path) -> None:
    page.set_default_timeout(PATIENCE_MS)
    page.goto(serve("backtest", tmp_path))
    titled(page, "sma-cross on GOOG")
    page.locator("select").first.select_option("rsi-reversion")
    titled(page, "rsi-reversion on GOOG")
    page.get_by_label("parameters", exact=False).fill("flat=sideways")
    page.get_by_label("parameters", exact=False).press("Enter")
    expect(page.get_by_text("sideways", exact=False).last).to_be_visible()
