"""A strategy's card holds the evidence there is, and says what is missing."""

from pathlib import Path
from typing import Any

import pytest

from qmworkbench.domain.checks import CheckStatus, Verdict
from qmworkbench.reporting import strategy_card
from qmworkbench.reporting.parameters import StrategyCardParameters
from qmworkbench.research.backtests.backtest import backtest
from qmworkbench.research.backtests.runs import RunRegistry
from qmworkbench.service.bar_sources import open_bars
from qmworkbench.strategies.catalog import UnknownStrategy
from tests.reporting.test_tables import plain


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    bars = open_bars("demo:7:6", data=root)
    for params in ({"range_bars": 10}, {}):
        done = backtest("opening-range", bars, params)
        RunRegistry(root).register(done.manifest(code_version="1"), done.tables)
    return root


def told(runs: Path, **changes: Any) -> strategy_card.Card:
    return strategy_card.load(StrategyCardParameters(data="demo:7:4", runs=runs, **changes))


def test_the_evidence_is_there_and_what_is_missing_is_said(runs: Path) -> None:
    card = told(runs)
    status = {check.check_id: check.status for check in strategy_card.checks(card)}
    assert status["card.lookahead"] is CheckStatus.PASS
    assert status["card.examined_code"] is CheckStatus.PASS
    assert status["card.parity"] is CheckStatus.WARN
    assert card.run is not None
    assert card.run.manifest.params["range_bars"] == 15, "the approved parameters, not the newest run of others"
    assert card.tried == 2
    made = strategy_card.conclusion(card)
    assert made.verdict is Verdict.GO
    assert "not shown yet" in made.headline
    assert any("no book was named" in reason for reason in made.reasons)
    for piece, says in (
        (strategy_card.identity(card), "experimental"),
        (strategy_card.rules(card), "range_bars"),
        (strategy_card.history(card), "truncations"),
        (strategy_card.latest_backtest(card), card.run.run_id),
        (strategy_card.examination(card), "shuffled future"),
        (strategy_card.parity(card), "no book was named"),
        (strategy_card.evidence(card), "It does not see the future"),
    ):
        assert says in plain(piece)


def test_without_a_backtest_or_bars_it_says_so(tmp_path: Path) -> None:
    card = strategy_card.load(StrategyCardParameters(data="nowhere.parquet", runs=tmp_path, book_dir=tmp_path))
    assert card.run is None
    assert "`qm backtest opening-range" in card.untold["backtest"]
    assert "nowhere.parquet" in card.untold["look-ahead"]
    assert card.untold["parity"]
    assert {check.status for check in strategy_card.checks(card)} == {CheckStatus.PASS, CheckStatus.WARN}
    assert "no kept backtest" in plain(strategy_card.latest_backtest(card))


def test_a_strategy_that_is_none() -> None:
    with pytest.raises(UnknownStrategy, match="did you mean 'donchian'"):
        strategy_card.load(StrategyCardParameters(strategy="donchia"))
