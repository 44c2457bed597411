"""Reports refuse what they cannot be told, naming the parameter, its value and the way out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qmworkbench.reporting.notebook import begin
from qmworkbench.reporting.parameters import NOTEBOOKS, REPORTS, ReportRefused, home, report_named, validated
from qmworkbench.reporting.runner import ReportRequest, run_report, run_reports


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("trade_review", {}, "book_dir is missing"),
        ("trade_review", {"book_dir": ""}, "data/books/local/main"),
        (
            "trade_review",
            {"book_dir": "b", "colour": "red"},
            "colour = 'red' is no parameter; it takes book_dir, session_id",
        ),
        ("preflight", {"book_dir": "b", "day": "2018-03-02"}, "give one or the other"),
        ("preflight", {"session_id": "s"}, "needs book_dir"),
        ("preflight", {"day": "2018-02-30"}, "day = '2018-02-30'"),
        ("backtest_explorer", {"first": "2010-01-02", "last": "2009-01-02"}, "first 2010-01-02 lies after last"),
        ("backtest_explorer", {"positions": "many"}, "positions = 'many'"),
        ("backtest_explorer", {"cash": -1}, "cash = -1"),
        ("backtest_explorer", {"cash": float("nan")}, "cash"),
        ("backtest_explorer", {"symbol": "TSLA"}, "symbol = 'TSLA'"),
        ("backtest_explorer", {"cost_bps": 1e6, "cash": 0}, "cash = 0"),
    ],
)
def test_a_parameter_that_does_not_fit_is_named(name: str, given: dict[str, Any], says: str) -> None:
    with pytest.raises(ReportRefused) as refused:
        validated(report_named(name), given)
    assert says in str(refused.value)
    assert name in str(refused.value)


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(ReportRefused) as refused:
        validated(REPORTS["backtest_explorer"], {"cost_bps": 1e6, "cash": 0, "x": 1})
    assert all(word in str(refused.value) for word in ("cost_bps", "cash", "x = 1"))


def test_an_unknown_report_lists_those_there_are_and_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(ReportRefused, match=r"trade_reviews.*preflight, post_session, .*backtest_explorer"):
        run_report("trade_reviews", out_root=tmp_path, book_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_bad_parameters_start_nothing(tmp_path: Path) -> None:
    with pytest.raises(ReportRefused):
        run_report("trade_review", out_root=tmp_path, parameters={"book_dir": "b", "sesion": "x"})
    good = ReportRequest(name="trade_review", parameters={"book_dir": "b"})
    with pytest.raises(ReportRefused):
        run_reports([good, ReportRequest(name="backtest_explorer", parameters={"positions": 0})], out_root=tmp_path)
    with pytest.raises(ValueError, match="parallel is 0"):
        run_reports([good], out_root=tmp_path, parallel=0)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_notebook_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = replace(REPORTS["preflight"], folder=tmp_path)
    monkeypatch.setitem(REPORTS, "preflight", moved)
    with pytest.raises(ReportRefused, match=r"preflight\.ipynb is missing"):
        report_named("preflight")


def test_what_goes_into_a_notebook_comes_out_of_it_again() -> None:
    given = validated(REPORTS["preflight"], {"data": "bars.parquet", "day": "2018-03-02"})
    told = given.for_notebook()
    assert told == {"book_dir": "", "session_id": "", "config": "", "data": "bars.parquet", "day": "2018-03-02"}
    run = begin("preflight", out_dir="somewhere", run_id="r", **told)
    assert run.parameters == given
    assert run.unattended


def test_a_notebook_looks_for_its_configuration_where_the_command_line_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JupyterLab runs it in notebooks/: a book begun there would be read instead of the real one from then on."""
    monkeypatch.chdir(NOTEBOOKS)
    assert home() == NOTEBOOKS.parent
    monkeypatch.chdir(tmp_path)
    assert home() == tmp_path
    kept = tmp_path / "notebooks"
    kept.mkdir()
    monkeypatch.chdir(kept)
    assert home() == kept, "only the checkout's own notebooks lie beside its data"
