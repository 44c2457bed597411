"""The parity review of a real demo day: executed by papermill, looked at in a browser, and what it says of trouble."""

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Page

from qmworkbench.domain.checks import CheckStatus, Verdict
from qmworkbench.reporting import parity_checks, parity_review, parity_tracking, trade_review
from qmworkbench.reporting.parameters import ParityParameters
from qmworkbench.reporting.parity_review import ParitySource
from qmworkbench.reporting.runner import ReportResult, run_report
from qmworkbench.research.parity.drift import OUTSIDE, WITHIN, Tolerance, drift
from qmworkbench.research.parity.parity import Level
from qmworkbench.research.parity.parity_causes import Cause
from qmworkbench.service.parity_book import kept
from tests.reporting.conftest import SESSION
from tests.reporting.test_tables import balanced, plain


@pytest.fixture(scope="module")
def book(closed_book: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the closed book, beside whose session the comparison is kept."""
    mine = tmp_path_factory.mktemp("parity") / "main"
    shutil.copytree(closed_book, mine)
    return mine


@pytest.fixture(scope="module")
def made(book: Path, tmp_path_factory: pytest.TempPathFactory) -> ReportResult:
    return run_report("parity_review", out_root=tmp_path_factory.mktemp("reports"), book_dir=book)


@pytest.fixture(scope="module")
def source(book: Path) -> ParitySource:
    return parity_review.load(ParityParameters(book_dir=book))


def test_the_report_of_a_costed_day_is_go(made: ReportResult) -> None:
    assert made.verdict is Verdict.GO
    assert made.headline.startswith("0.0% unexplained; session ")
    content = made.path.read_text()
    words = plain(content.split("</style>", 1)[1])
    for told in ("Session and backtest", "What made the difference", "slippage", "Is it tracking?", "too few trades"):
        assert told in words, told
    assert "<script" not in content
    assert balanced(content)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1440, 390])
def test_it_fits_a_desk_and_a_phone(made: ReportResult, page: Page, page_faults: list[str], width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(made.path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("svg:visible").count() >= 3
    assert page.locator("table.pairs tbody tr").count() > 5
    assert page_faults == []


def test_what_was_compared_is_kept_and_the_trade_review_shows_it(source: ParitySource) -> None:
    paths = source.session.book.paths
    assert kept(paths, SESSION) == source.found
    assert "Unexplained" in plain(trade_review.summary(source.session))
    assert [one.session_id for one in source.sessions] == [SESSION]


def troubled(source: ParitySource) -> ParitySource:
    """The same day as if a trade had gone wrong and nobody knew why, many times over."""
    found = source.found
    pair = next(p for p in found.pairs if p.recorded_pnl is not None and p.expected_pnl is not None)
    bad = msgspec.structs.replace(
        pair, recorded_pnl=(pair.expected_pnl or 0.0) - (pair.notional or 0.0) / 50, causes=(Cause.UNEXPLAINED,)
    )
    difference = msgspec.structs.replace(
        found.differences[0], cause=Cause.UNEXPLAINED, why="nobody knows <why>", what="another exit"
    )
    worse = msgspec.structs.replace(
        found,
        pairs=(bad,) * 70,
        differences=(difference,) * 70,
        levels=(Level(name="trade", compared=70, differ=70, unexplained=70),),
        recorded_pnl=found.recorded_pnl - 1000,
        left_out={"orb-us": "its strategy is not in the catalog any more"},
    )
    return replace(source, found=worse, sessions=(worse,) * 3, drift=drift([worse] * 3, Tolerance()))


def test_trouble_is_a_no_go_with_its_remedies(source: ParitySource) -> None:
    bad = troubled(source)
    checks = {check.check_id: check for check in parity_checks.checks(bad)}
    assert checks["parity.explained"].status is CheckStatus.FAIL
    assert checks["parity.compared"].status is CheckStatus.WARN
    assert checks["parity.adds_up"].status is CheckStatus.FAIL
    assert checks["parity.tracks"].status is CheckStatus.FAIL
    assert "are unexplained" in checks["parity.tracks"].detail
    told = parity_checks.conclusion(bad)
    assert told.verdict is Verdict.NO_GO
    assert "outside tolerance" in told.headline
    assert any("qm why" in reason for reason in told.reasons)
    page = "".join(
        [
            parity_review.summary(bad),
            parity_review.by_cause(bad),
            parity_tracking.tracking(bad),
            parity_review.trades(bad),
            parity_review.differences(bad),
        ]
    )
    words = plain(page)
    for said in (
        "100.0\N{NO-BREAK SPACE}%",
        "unexplained",
        "nobody knows <why>",
        "Not compared",
        "orb-us",
        "45 more",
        OUTSIDE,
    ):
        assert said in words, said
    assert balanced(page)
    assert WITHIN not in {one.verdict for one in bad.drift.strategies}


def test_a_day_that_agrees_says_so(source: ParitySource) -> None:
    quiet = replace(
        source,
        found=msgspec.structs.replace(source.found, differences=(), pairs=(), pnl_by_cause={}, levels=()),
    )
    assert "both agree exactly" in plain(parity_review.by_cause(quiet))
    assert "session and backtest agree exactly" in plain(parity_review.differences(quiet))
    assert "Neither side traded" in plain(parity_review.trades(quiet))
    checks = {check.check_id: check for check in parity_checks.checks(quiet)}
    assert checks["parity.explained"].status is CheckStatus.NOT_APPLICABLE
