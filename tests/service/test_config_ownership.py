"""Who may own a symbol: by market, by configuration, and what two instances cannot both claim (§8, §9)."""

from pathlib import Path

import pytest

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.service.config import Config, check, load
from qmworkbench.service.config_ownership import most_owned, shares_symbols
from qmworkbench.service.runs import schedule


def loaded(directory: Path, text: str = "") -> Config:
    (directory / "qm.toml").write_text(text)
    return load(environ={}, cwd=directory)


def entry(name: str, symbols: str, strategy: str = "donchian") -> str:
    return f'[[strategies]]\nid = "{name}"\nstrategy = "{strategy}"\nsymbols = [{symbols}]\n'


def test_pairs_are_shared_and_shares_are_not_unless_it_is_said(tmp_path: Path) -> None:
    usual = loaded(tmp_path).settings
    assert shares_symbols(usual, AssetClass.FOREX)
    assert not shares_symbols(usual, AssetClass.EQUITY)
    for said in ("shared", "exclusive"):
        settings = loaded(tmp_path, f'allocator.ownership = "{said}"').settings
        assert {shares_symbols(settings, market) for market in AssetClass} == {said == "shared"}


def test_the_usual_forex_day_has_room_for_every_instance_and_what_is_set_binds(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    runs = schedule(config, AssetClass.FOREX).runs
    assert len(runs) >= 36
    assert most_owned(config, AssetClass.FOREX, runs) >= sum(run.max_symbols for run in runs)
    assert config.limits(AssetClass.FOREX).max_trades_per_day > config.limits(AssetClass.EQUITY).max_trades_per_day
    assert most_owned(config, AssetClass.EQUITY, runs) == 20, "a symbol is owned once there"
    assert most_owned(loaded(tmp_path, "allocator.max_owned = 5"), AssetClass.FOREX, runs) == 5
    few = loaded(tmp_path, "limits.max_trades_per_day = 12")
    assert few.limits(AssetClass.FOREX).max_trades_per_day == 12


def test_two_claims_on_one_share_are_a_fault_that_names_both_and_the_symbol(tmp_path: Path) -> None:
    text = entry("first", '"SPY", "AAPL"') + entry("second", '"MSFT", "AAPL"')
    (tmp_path / "qm.toml").write_text('environment = "paper"\n' + text)
    _config, problems = check(environ={}, cwd=tmp_path)
    (problem,) = [p for p in problems if p.key == "strategies[1].symbols"]
    assert problem.value == "AAPL"
    assert problem.source.endswith("qm.toml:9")
    assert "second" in problem.problem
    assert "first (strategies[0])" in problem.problem
    assert 'ownership = "shared"' in problem.remedy


def test_a_day_without_an_account_at_stake_goes_on_without_the_second_claimant(tmp_path: Path) -> None:
    config = loaded(tmp_path, entry("first", '"SPY"') + entry("second", '"SPY"'))
    assert list(config.left_out) == ["second"]
    assert [run.strategy_id for run in schedule(config, AssetClass.EQUITY).runs] == ["first"]


@pytest.mark.parametrize(
    "text",
    [
        entry("first", '"SPY"') + entry("second", '"AAPL"'),
        entry("first", '"EURUSD"') + entry("second", '"EURUSD"'),
        'allocator.ownership = "shared"\n' + entry("first", '"SPY"') + entry("second", '"SPY"'),
        entry("first", "") + entry("second", ""),
    ],
)
def test_claims_that_can_both_stand_are_no_fault(tmp_path: Path, text: str) -> None:
    assert not loaded(tmp_path, text).left_out
