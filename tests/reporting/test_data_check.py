"""The data check says what a file holds, what is wrong with it, and whether it can be traded on."""

import tempfile
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.domain.checks import Verdict
from qmworkbench.reporting import data_check
from qmworkbench.reporting.parameters import DataCheckParameters
from tests.reporting.test_tables import balanced, plain
from tests.research.backtests.backtest_cases import minute_bars

DAYS = [date(2018, 3, day) for day in (1, 2, 5, 6)]


def looked_at(file: Path) -> data_check.DataChecked:
    return data_check.load(DataCheckParameters(data=str(file)))


def pieces(checked: data_check.DataChecked) -> str:
    made = data_check.summary(checked), data_check.findings(checked), data_check.gaps(checked)
    assert all(balanced(piece) for piece in made)
    return plain("".join(made))


def test_a_sound_file(tmp_path: Path) -> None:
    minute_bars(["AAA", "BBB"], DAYS).write_parquet(tmp_path / "good.parquet")
    checked = looked_at(tmp_path / "good.parquet")
    assert data_check.conclusion(checked).verdict is Verdict.GO
    words = pieces(checked)
    assert "3,120" in words
    assert "Sessions without a bar: none" in words


def test_a_missing_session_and_bad_rows(tmp_path: Path) -> None:
    bars = minute_bars(["AAA"], [DAYS[0], DAYS[1], DAYS[3]])
    first = pl.int_range(pl.len()) == 0
    bars.with_columns(close=pl.when(first).then(float("nan")).otherwise("close")).write_parquet(
        tmp_path / "bad.parquet"
    )
    checked = looked_at(tmp_path / "bad.parquet")
    made = data_check.conclusion(checked)
    assert made.verdict is Verdict.NO_GO
    assert any("1 sessions missing" in reason for reason in made.reasons)
    words = pieces(checked)
    assert "2018-03-05" in words
    assert "kept aside" in words


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("not bars")
    checked = looked_at(tmp_path / "text.parquet")
    made = data_check.conclusion(checked)
    assert made.verdict is Verdict.NO_GO
    assert "not_parquet" in made.headline
    assert "refused" in pieces(checked)
    assert "there is no such file" in " ".join(data_check.conclusion(looked_at(tmp_path / "gone.parquet")).reasons)


def test_a_package_s_bars_and_nothing_of_them_is_left_lying_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    checked = data_check.load(DataCheckParameters())
    assert checked.found.symbols == 5
    assert data_check.conclusion(checked).facts["data"] == "package:bokeh-sampledata"
    assert not list(tmp_path.iterdir())
