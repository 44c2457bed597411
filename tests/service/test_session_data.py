"""What a day is made of, from the configuration alone: the file's day or the demo market's, its symbols, its runs."""

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.market.calendars import NotASession
from qmworkbench.market.demo import demo_bars, demo_symbols
from qmworkbench.market.findings import DataRefused
from qmworkbench.service.config import Config, load
from qmworkbench.service.plan import market_of, plan_of
from qmworkbench.service.session_data import DEMO_DATE, load_data
from qmworkbench.strategies.catalog import default_instances


def configured(tmp_path: Path, **settings: Any) -> Config:
    flags = {key.replace("__", "."): (value, f"--{key}") for key, value in settings.items()}
    return load(flags=flags, environ={}, cwd=tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two demo symbols over three days, and a row on the Saturday after."""
    bars = demo_bars(date(2024, 3, 8), 3, demo_symbols(2), history_days=2)
    saturday = bars.tail(1).with_columns(pl.col("ts") + pl.duration(days=1))
    path = tmp_path / "bars.parquet"
    pl.concat([bars, saturday]).sort("symbol", "ts").write_parquet(path)
    return path


def test_without_a_file_it_is_the_demo_market_and_the_seed_decides(tmp_path: Path) -> None:
    few = demo_symbols(200)[:3]
    first, again, other = (load_data(configured(tmp_path, data__seed=seed, data__symbols=few)) for seed in (7, 7, 8))
    assert (first.source, first.window.date) == ("demo:7", DEMO_DATE)
    assert first.universe.symbols == tuple(few)
    assert first.data_hash == again.data_hash != other.data_hash


def test_a_day_on_which_the_demo_market_is_closed_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotASession, match="Sunday"):
        load_data(configured(tmp_path, data__date=date(2024, 3, 10)))


def test_without_a_date_it_is_the_files_last_session_not_its_last_row(tmp_path: Path, file: Path) -> None:
    data = load_data(configured(tmp_path, data__file=file))
    assert (data.source, data.window.date) == ("file:bars.parquet", date(2024, 3, 8))
    assert len(data.history) > 0


@pytest.mark.parametrize("where", ["file", "demo"])
def test_symbols_that_are_not_there_are_named(where: str, tmp_path: Path, file: Path) -> None:
    settings: dict[str, Any] = {"data__symbols": ["NOSUCH", demo_symbols(2)[0]]}
    if where == "file":
        settings["data__file"] = file
    with pytest.raises(DataRefused, match=r"data\.symbols names NOSUCH.*Correct data\.symbols"):
        load_data(configured(tmp_path, **settings))


def test_a_universe_restricted_to_some_symbols_has_only_their_bars(tmp_path: Path, file: Path) -> None:
    one = demo_symbols(2)[1]
    data = load_data(configured(tmp_path, data__file=file, data__symbols=[one]))
    assert data.universe.symbols == (one,)
    whole = load_data(configured(tmp_path, data__file=file))
    assert 0 < data.bars < whole.bars


def test_the_plan_takes_its_settings_from_the_configuration(tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        book="other",
        data__symbols=demo_symbols(200)[:2],
        allocator__max_owned=7,
        feed__speed=240.0,
        feed__compute="one-pass",
    )
    plan = plan_of(config, load_data(config))
    assert market_of(plan.data) is AssetClass.EQUITY
    assert (plan.session_id, plan.max_owned, plan.speed, plan.compute) == ("other-2024-03-08", 7, 240.0, "one-pass")
    assert plan.paths == config.paths
    assert plan.config_hash == config.config_hash
    assert [run.strategy_id for run in plan.runs] == [each.instance_id for each in default_instances(AssetClass.EQUITY)]
    opened = plan.opened(plan.starts_at)
    assert opened.limits_hash == plan.limits.content_hash
    assert opened.data_hash == plan.data.data_hash
    assert plan.starts_at < plan.data.frames[0].as_of


def test_how_fast_and_how_signals_are_computed_is_no_fact_of_a_decision(tmp_path: Path) -> None:
    symbols = demo_symbols(200)[:2]
    slow = configured(tmp_path, data__symbols=symbols, feed__speed=1.0)
    fast = configured(tmp_path, data__symbols=symbols, feed__compute="one-pass")
    plans = [plan_of(config, load_data(config)) for config in (slow, fast)]
    assert plans[0].opened(plans[0].starts_at) == plans[1].opened(plans[1].starts_at)
