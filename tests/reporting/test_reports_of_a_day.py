"""The reports of a real demo day, executed by papermill: verdicts, pages, manifests, and how they look in a browser."""

import re
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Page

from qmworkbench.domain.checks import Verdict
from qmworkbench.reporting.manifest import read_manifest
from qmworkbench.reporting.runner import ReportRequest, ReportResult, run_reports, worst
from qmworkbench.storage.reading import open_book
from tests.reporting.conftest import SESSION
from tests.reporting.test_tables import balanced, plain

NAMES = ("preflight", "post_session", "trade_review")


@pytest.fixture(scope="module")
def made(closed_book: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ReportResult]:
    """The three reports of the day, two at a time."""
    requests = [ReportRequest(name=name, parameters={"book_dir": closed_book}) for name in NAMES]
    results = run_reports(requests, out_root=tmp_path_factory.mktemp("reports"), parallel=2)
    return {result.name: result for result in results}


def test_a_clean_day_is_go_three_times(made: dict[str, ReportResult]) -> None:
    assert {name: result.verdict for name, result in made.items()} == dict.fromkeys(NAMES, Verdict.GO)
    assert worst(list(made.values())) == 0


def test_pages_lie_by_date_and_book_with_their_run_beside(made: dict[str, ReportResult]) -> None:
    for name, result in made.items():
        assert result.path.parts[-3:] == ("2024-03-08", "main", f"{name}.html")
        assert result.directory.parent == result.path.with_suffix("")
        there = {entry.name for entry in result.directory.iterdir()}
        assert there == {"notebook.ipynb", "report.html", "verdict.json", "manifest.json"}


def test_every_page_holds_drawn_charts_and_needs_no_network(made: dict[str, ReportResult]) -> None:
    for name, result in made.items():
        content = result.path.read_text()
        assert re.search(r"<svg.*<(path|rect)", content, re.S), name
        links = re.findall(r"(?:\b(?:src|href)=|url\()[\"']?([^\"'\s>)]+)", content)
        outside = [link for link in links if not link.startswith(("#", "data:"))]
        assert outside == [], name
        assert "<script" not in content, name
        assert balanced(content), name


def test_the_pages_say_what_a_reader_came_for(made: dict[str, ReportResult]) -> None:
    words = {name: plain(result.path.read_text().split("</style>", 1)[1]) for name, result in made.items()}
    for told in ("The five items", "Control summary is green", "policy:unattended", "both phases"):
        assert told in words["preflight"], told
    for told in (
        "Orders match the broker",
        "Realized P&L",
        "Both sides",
        "No break was found",
        "market session",
        "Boundaries",
    ):
        assert told in words["post_session"], told
    eight = (
        *("Winners and losers", "Rejected orders", "Partial fills", "Slippage outliers"),
        *("Strategies with poor behaviour", "Risk blocks", "Symbols frequently stopped out", "Weak times of day"),
    )
    four = ("Incident notes", "Operator notes", "Manual overrides", "Candidate improvements")
    for told in (*eight, *four, "What was missed, and why", "Recommendations", "Net P&L"):
        assert told in words["trade_review"], told


def test_figures_are_those_of_the_journal(made: dict[str, ReportResult], closed_book: Path) -> None:
    with open_book(closed_book) as book:
        line = book.sessions().row(0, named=True)
    headline = made["trade_review"].headline
    assert headline.startswith(f"{line['trades']} trade")
    assert f"net {line['net_pnl']:+,.2f} USD".replace("-", "−") in headline


def test_manifests_name_journal_data_limits_and_versions(made: dict[str, ReportResult], closed_book: Path) -> None:
    with open_book(closed_book) as book:
        heads = {stream: book.head(stream) for stream in ("decisions", "telemetry")}
    for name, result in made.items():
        manifest = read_manifest(result.directory)
        assert manifest.journal == heads, name
        assert manifest.parameters["book_dir"] == str(closed_book), name
        assert SESSION in manifest.facts["session"], name
    facts = read_manifest(made["trade_review"].directory).facts
    assert {"data", "limits, configuration", "decision head", "runs"} <= set(facts)
    assert heads["decisions"][1] in facts["decision head"]


def test_kept_notebooks_have_run_to_their_last_cell(made: dict[str, ReportResult]) -> None:
    for name, result in made.items():
        kept = msgspec.json.decode((result.directory / "notebook.ipynb").read_bytes())
        ran = [cell["execution_count"] for cell in kept["cells"] if cell["cell_type"] == "code"]
        assert ran == list(range(1, len(ran) + 1)), name
        assert "papermill" not in kept["metadata"], name


@pytest.mark.browser
@pytest.mark.parametrize("width", [1440, 390])
def test_no_page_scrolls_sideways_and_none_complains(made: dict[str, ReportResult], page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    for name, result in made.items():
        page.goto(result.path.as_uri())
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{name} is {wide} px wide"
        assert page.locator(".verdict b").inner_text() == "✓ GO"
        assert page.locator("svg:visible").count() > 0, name


@pytest.mark.browser
def test_it_prints_on_paper_with_its_verdict_first(made: dict[str, ReportResult], page: Page, tmp_path: Path) -> None:
    page.goto(made["trade_review"].path.as_uri())
    paper = page.pdf(format="A4", print_background=True)
    assert paper.startswith(b"%PDF")
    assert 2 <= paper.count(b"/Type /Page\n") + paper.count(b"/Type /Page ") + paper.count(b"/Type/Page/") <= 30
