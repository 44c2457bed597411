"""The sweep explorer over a sweep as it is kept: what it shows, what it concludes, what a click draws."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from qmworkbench.domain.checks import CheckStatus, Verdict
from qmworkbench.reporting import sweep_explorer as report
from qmworkbench.reporting import sweep_explorer_run as runs
from qmworkbench.reporting.parameters import SweepParameters
from qmworkbench.reporting.runner import run_report
from qmworkbench.reporting.sweep_explorer_map import clicked, interactive, load_extensions
from qmworkbench.research.statistics.verdict import sweep_verdict
from qmworkbench.research.sweeps.sweep_store import SweepStore
from tests.reporting.test_tables import balanced, plain

FAST, SLOW, MARKS, CASH = (5, 10, 20, 40), (50, 100, 200), 240, 100_000.0


def kept(home: Path, edge: Callable[[int, int], float], *, matrix: bool = True, failed: int = 0) -> Path:
    """A sweep's directory as SweepStore writes it, of made-up returns with `edge(fast, slow)` a mark in them."""
    points = [(fast, slow) for fast in FAST for slow in SLOW]
    chance = np.random.default_rng(3)
    returns = np.array([chance.normal(edge(*point), 0.004, MARKS) for point in points])
    equity = CASH * np.cumprod(1 + returns, axis=1)
    broken = np.arange(len(points)) < failed
    sound = returns[~broken]
    ratios = returns.mean(axis=1) / returns.std(axis=1, ddof=1) * 252**0.5
    rows = pl.DataFrame(
        {
            "combination": range(len(points)),
            "symbol": "AAA",
            "fast": [fast for fast, _ in points],
            "slow": [slow for _, slow in points],
            "status": np.where(broken, "failed", "ok"),
            "reason": ["prices stood still" if one else None for one in broken],
            "sharpe": np.where(broken, np.nan, ratios),
            "total_return": equity[:, -1] / CASH - 1,
            "max_drawdown": -0.1,
            "trades": 50,
            "win_rate": 0.5,
            "profit_factor": 1.2,
        }
    ).with_columns(pl.col("sharpe").fill_nan(None))
    found = sweep_verdict(sound.T, trials=len(points), draws=200)
    worth = {
        "trials": len(points), "failed": failed, "invalid": 0, "verdict": found.verdict, "sentence": found.sentence,
        "best": int(np.flatnonzero(~broken)[found.best]), "best_sharpe": found.best_sharpe,
        "expected_max_sharpe": found.expected_max_sharpe, "deflated": found.deflated, "details": found.as_dict(),
    }  # fmt: skip
    identity = {
        "strategy": "sma-plain", "grid": "fast=5,10,20,40,slow=50,100,200", "setting": {"cash": CASH},
        "data": {"source": "made up", "symbols": ["AAA"], "first": "2024-01-02T14:30", "last": "2024-12-31T14:30"},
    }  # fmt: skip
    outcome = {
        "engine": "kernel", "reasons": [], "failed_symbols": {}, "worth": worth,
        "checked": {"cases": 8, "max_abs_diff": 1e-14, "engine": "vectorbt", "tolerance": 1e-9},
    }  # fmt: skip
    SweepStore(home, identity).finish(rows, equity if matrix else None, outcome)
    return home


def explored(home: Path, **asked: Any) -> runs.Explored:
    return report.load(SweepParameters(sweep_dir=home, **asked))


@pytest.fixture
def good(tmp_path: Path) -> runs.Explored:
    return explored(kept(tmp_path / "good", lambda fast, slow: 0.002 if fast <= 10 and slow <= 100 else 0.0))


def test_it_shows_the_map_the_curves_the_ranking_and_the_worth(good: runs.Explored) -> None:
    pieces = [report.summary(good), report.stable(good), report.curves(good), report.ranking(good), report.worth(good)]
    words = [plain(piece) for piece in [*pieces, report.held(good)]]
    assert all(balanced(piece) for piece in pieces)
    assert "12 combinations were tried" in words[0]
    assert "distinguishable from luck" in words[0]
    assert "The best point is fast" in words[1]
    assert "best: fast" in pieces[2] or "<svg" in pieces[2]
    assert words[3].index("Sharpe") < words[3].index("Profit factor")
    assert "splits: what one half of the period chose" in words[4]
    assert "vectorbt comes to the same" in words[5]


def test_an_edge_on_a_plateau_is_go(good: runs.Explored) -> None:
    made = report.conclusion(good)
    assert made.verdict is Verdict.GO
    assert made.facts["bars"] == "made up, AAA, 2024-01-02 to 2024-12-31"
    assert runs.checks(good)[0].status is CheckStatus.PASS


def test_the_best_of_noise_is_no_go_and_says_how_many_were_tried(tmp_path: Path) -> None:
    made = report.conclusion(explored(kept(tmp_path / "noise", lambda fast, slow: 0.0)))
    assert made.verdict is Verdict.NO_GO
    assert made.headline.startswith("12 combinations were tried over 240 sessions")
    assert any(reason.startswith("The best is more than luck: not distinguishable") for reason in made.reasons)


def test_a_needle_a_failure_and_a_difference_are_told(tmp_path: Path) -> None:
    found = explored(kept(tmp_path / "needle", lambda fast, slow: 0.003 * (fast == 20 and slow == 100), failed=1))
    statuses = {check.check_id: check for check in runs.checks(found)}
    assert statuses["sweep.plateau"].status is CheckStatus.WARN
    assert statuses["sweep.failed"].status is CheckStatus.WARN
    assert "1 of 12 combinations" in statuses["sweep.failed"].value
    assert "prices stood still" in plain(report.ranking(found))
    checked = {**found.manifest["checked"], "max_abs_diff": 1e-3}
    differs = runs.Explored(found.asked, found.whole, found.equity, {**found.manifest, "checked": checked})
    assert runs.checks(differs)[0].status is CheckStatus.FAIL
    assert report.conclusion(differs).verdict is Verdict.NO_GO


def test_a_sweep_too_large_for_its_equities_is_shown_without_them(tmp_path: Path) -> None:
    found = explored(kept(tmp_path / "large", lambda fast, slow: 0.002, matrix=False))
    assert "too large" in plain(report.curves(found))
    assert "too large" in plain(report.worth(found))
    assert "too large" in clicked(found, None, "sharpe").object
    with pytest.raises(ValueError, match="too large"):
        runs.curve(found, 0)


def test_a_click_draws_the_equity_behind_the_point_beside_the_best(good: runs.Explored) -> None:
    load_extensions()
    whole = interactive(good)
    assert [widget.value for widget in whole[0]] == ["fast", "slow", "sharpe"]
    drawn = clicked(good, {"fast": "40", "slow": "200"}, "sharpe").object
    best, this = drawn
    assert (best.label, this.label) == ("best of all", "this one")
    assert good.equity is not None
    assert this.dimension_values(1).tolist() == pytest.approx([1.0, *(good.equity[11] / CASH)])
    assert "No combination" in clicked(good, {"fast": "41", "slow": "200"}, "sharpe").object
    before = clicked(good, None, "sharpe").object
    top, below = before
    assert top.dimension_values(1).tolist() == below.dimension_values(1).tolist()


def test_the_map_is_by_the_parameters_asked_for(tmp_path: Path) -> None:
    home = kept(tmp_path / "axes", lambda fast, slow: 0.001)
    assert explored(home).axes == ("fast", "slow")
    assert explored(home, x="slow").axes == ("slow", "fast")
    assert explored(home, y="fast").axes == ("slow", "fast")
    wrong = explored(home, x="speed").map
    assert isinstance(wrong, str)
    assert "no column 'speed'" in wrong


def test_a_directory_without_a_whole_sweep_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"sweep_dir .*nowhere holds no sweep"):
        explored(tmp_path / "nowhere")
    SweepStore(tmp_path / "half", {"strategy": "sma-plain"})
    with pytest.raises(ValueError, match="not finished"):
        explored(tmp_path / "half")


def test_without_a_directory_it_sweeps_what_the_parameters_say(
    monkeypatch: pytest.MonkeyPatch, good: runs.Explored
) -> None:
    """The sweep itself has its own tests; here it is what it is asked for."""
    asked: dict[str, Any] = {}

    def swept(definition: Any, bars: Any, grid: str, **more: Any) -> Any:
        asked.update(strategy=definition.strategy_id, bars=bars, grid=grid, **more)
        return SimpleNamespace(whole=good.whole, equity=good.equity, manifest=good.manifest)

    monkeypatch.setattr(runs, "sweep", swept)
    found = report.load(
        SweepParameters(
            symbols="IBM", first=date(2009, 1, 2), last=date(2011, 12, 30), fixed="flat=carry,stop_atr=1.5", cost_bps=10
        )
    )
    assert found.whole is good.whole
    assert (asked["strategy"], asked["grid"]) == ("donchian", SweepParameters().grid)
    assert asked["bars"].symbols == ("IBM",)
    assert (asked["bars"].first, asked["bars"].last) == (date(2009, 1, 2), date(2011, 12, 30))
    assert asked["bars"].history > 0
    assert asked["fixed"] == {"flat": "carry", "stop_atr": 1.5}
    assert asked["setting"].terms.fee_rate == pytest.approx(0.001)
    assert (asked["setting"].cash, asked["setting"].position) == (100_000, 25_000)


@pytest.mark.slow
def test_the_notebook_runs_and_its_page_needs_nothing(tmp_path: Path) -> None:
    home = kept(tmp_path / "swept", lambda fast, slow: 0.002)
    made = run_report("sweep_explorer", out_root=tmp_path / "reports", parameters={"sweep_dir": home})
    content = made.path.read_text()
    assert made.verdict is Verdict.GO, made.headline
    assert made.headline.startswith("12 combinations were tried")
    assert "<script" not in content
    assert balanced(content)
    words = plain(content.split("</style>", 1)[1])
    for told in ("The sweep", "Map", "Equity", "Ranking", "Overfitting", "Checks"):
        assert told in words
