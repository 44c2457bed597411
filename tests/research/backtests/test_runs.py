"""Runs are kept whole, found by a part of their id, and a damaged one is told as such."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from qmworkbench.research.backtests.run_comparison import compare
from qmworkbench.research.backtests.runs import BrokenRun, DataNote, RunManifest, RunRefused, RunRegistry

AT = datetime(2026, 3, 2, 15, 4, 5, tzinfo=UTC)
DATA = DataNote(
    source="bars.parquet",
    hash="ab12",
    symbols=("AAA",),
    first=date(2018, 3, 2),
    last=date(2018, 3, 6),
    bars=1170,
    interval_s=60,
)


def told(**changes: Any) -> RunManifest:
    plain = RunManifest(
        kind="backtest",
        strategy="donchian",
        strategy_version="1.0.0",
        params={"entry_bars": 55},
        params_hash="00aa",
        terms={"fee_rate": 0.0},
        data=DATA,
        code_version="0.1.0",
        engine={"fills": "kernel"},
        seed=None,
        metrics={"sharpe": 1.25, "trades": 12.0, "profit_factor": None},
        at=AT,
    )
    return msgspec.structs.replace(plain, **changes)


def curve(*equity: float) -> pl.DataFrame:
    times = [AT + timedelta(minutes=minute) for minute in range(len(equity))]
    return pl.DataFrame({"ts": times, "equity": list(equity)})


def test_a_run_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    kept = RunRegistry(tmp_path).register(told(), {"equity": curve(100.0, 101.0)})
    found = RunRegistry(tmp_path).find(kept.run_id)
    assert found.manifest == kept.manifest
    assert found.manifest.params == {"entry_bars": 55}
    assert found.table("equity")["equity"].to_list() == [100.0, 101.0]
    assert kept.run_id.startswith("20260302-150405-")


def test_the_id_tells_what_decided_it(tmp_path: Path) -> None:
    registry = RunRegistry(tmp_path)
    first = registry.register(told(), {}).run_id
    assert registry.register(told(), {}).run_id == first
    assert len(registry.runs()) == 1
    for changes in (
        {"params": {"entry_bars": 56}},
        {"terms": {"fee_rate": 1e-4}},
        {"code_version": "0.1.1"},
        {"metrics": {"sharpe": 1.26}},
        {"at": AT + timedelta(seconds=1)},
    ):
        assert registry.register(told(**changes), {}).run_id != first
    assert len(registry.runs()) == 6


def test_what_is_no_number_is_none(tmp_path: Path) -> None:
    kept = RunRegistry(tmp_path).register(told(metrics={"sharpe": float("inf"), "win_rate": float("nan")}), {})
    assert RunRegistry(tmp_path).find(kept.run_id).manifest.metrics == {"sharpe": None, "win_rate": None}


def test_runs_are_listed_newest_first_and_by_strategy(tmp_path: Path) -> None:
    registry = RunRegistry(tmp_path / "not yet there")
    assert registry.runs() == []
    for number, strategy in enumerate(("donchian", "sma-cross", "donchian")):
        registry.register(told(strategy=strategy, at=AT + timedelta(hours=number)), {})
    assert [run.strategy for run in registry.runs() if isinstance(run, RunManifest)] == [
        "donchian",
        "sma-cross",
        "donchian",
    ]
    assert [run.run_id for run in registry.runs()] == sorted((run.run_id for run in registry.runs()), reverse=True)
    assert len(registry.runs(strategy="donchian")) == 2
    assert registry.runs(strategy="donchian", kind="sweep") == []


def damage(kind: str, directory: Path) -> None:
    table = directory / "equity.parquet"
    manifest = directory / "manifest.json"
    if kind == "flipped bit":
        content = bytearray(table.read_bytes())
        content[len(content) // 2] ^= 1
        table.write_bytes(content)
    elif kind == "cut table":
        table.write_bytes(table.read_bytes()[:-7])
    elif kind == "no table":
        table.unlink()
    elif kind == "no manifest":
        manifest.unlink()
    elif kind == "half a manifest":
        manifest.write_bytes(manifest.read_bytes()[:100])
    elif kind == "another result":
        manifest.write_bytes(manifest.read_bytes().replace(b"1.25", b"9.25"))
    elif kind == "another form":
        manifest.write_bytes(manifest.read_bytes().replace(b'"form": 1', b'"form": 7'))
    elif kind == "another's":
        directory.rename(directory.with_name("20200101-000000-00000000"))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("flipped bit", "equity.parquet was changed"),
        ("cut table", "bytes"),
        ("no table", "equity.parquet cannot be read"),
        ("no manifest", "manifest.json is missing"),
        ("half a manifest", "not what a run writes"),
        ("another result", "changed after it was written"),
        ("another form", "form 7"),
        ("another's", "its manifest is that of"),
    ],
)
def test_a_damaged_run_is_listed_and_refused(tmp_path: Path, kind: str, says: str) -> None:
    registry = RunRegistry(tmp_path)
    kept = registry.register(told(), {"equity": curve(100.0, 101.0, 99.5)})
    other = registry.register(told(strategy="sma-cross"), {})
    damage(kind, kept.directory)
    broken = [run for run in registry.runs(strategy="sma-cross") if isinstance(run, BrokenRun)]
    assert len(broken) == 1, "a damaged run is never hidden"
    assert says in broken[0].why
    with pytest.raises(RunRefused, match="damaged") as refused:
        registry.find(broken[0].run_id)
    assert refused.value.remedy
    assert registry.find(other.run_id).manifest.strategy == "sma-cross"


def test_what_a_kill_left_half_written_is_no_run(tmp_path: Path) -> None:
    registry = RunRegistry(tmp_path)
    registry.register(told(), {})
    (tmp_path / "20260302-150405-12345678.77.unfinished").mkdir()
    assert len(registry.runs()) == 1


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    registry = RunRegistry(tmp_path / "runs")
    with pytest.raises(RunRefused, match="cannot be written"):
        registry.register(told(), {"equity": tmp_path / "nowhere.parquet"})
    assert list((tmp_path / "runs").iterdir()) == []
    with pytest.raises(RunRefused, match="no name"):
        registry.register(told(), {"../equity": curve(1.0)})


def test_a_run_is_found_by_a_part_of_its_id(tmp_path: Path) -> None:
    registry = RunRegistry(tmp_path)
    ids = [registry.register(told(params={"entry_bars": n}), {}).run_id for n in (1, 2)]
    assert registry.find(ids[0][-8:]).run_id == ids[0]
    assert registry.find("latest").run_id == sorted(ids)[-1]
    with pytest.raises(RunRefused, match="fits 2 runs"):
        registry.find("20260302")
    with pytest.raises(RunRefused, match="there is no run 'x'"):
        registry.find("x")
    with pytest.raises(RunRefused, match="has no table 'equity'"):
        registry.find(ids[0]).table("equity")


def test_trials_are_counted_on_the_same_bars_alone(tmp_path: Path) -> None:
    registry = RunRegistry(tmp_path)
    for number in (1, 2, 2):
        registry.register(told(params={"entry_bars": number}, at=AT + timedelta(seconds=number)), {})
    registry.register(told(data=msgspec.structs.replace(DATA, hash="cd34")), {})
    assert registry.tried(told()) == 2


def test_a_comparison_tells_what_differs_and_how_alike_they_moved(tmp_path: Path) -> None:
    registry = RunRegistry(tmp_path)
    up = registry.register(told(), {"equity": curve(100.0, 101.0, 100.0, 103.0)})
    same = registry.register(told(params={"entry_bars": 20}), {"equity": curve(200.0, 202.0, 200.0, 206.0)})
    bare = registry.register(told(params={"entry_bars": 20, "x": 1}, metrics={"sharpe": 2.0}), {})
    found = compare([up, same, bare])
    assert {row.name: row.values for row in found.asked} == {"entry_bars": (55, 20, 20), "x": (None, None, 1)}
    assert found.alike > 8
    assert {row.name: row.values for row in found.metrics}["sharpe"] == (1.25, 1.25, 2.0)
    assert found.metrics[0].name == "sharpe", "what every run has comes first"
    assert [pair.correlation for pair in found.likeness] == [pytest.approx(1.0), None, None]
    with pytest.raises(RunRefused, match="two runs or more"):
        compare([up, up])
