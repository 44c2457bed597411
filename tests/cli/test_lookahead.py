"""`qm lookahead`: passed with its hashes, or what stands in the way; a planted look-ahead is exit code 1."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from qmworkbench.cli.app import app
from qmworkbench.cli.exit_codes import Exit
from qmworkbench.strategies import catalog
from qmworkbench.strategies.catalog import Catalog
from tests.strategies.planted import planted

DATA = ("--data", "demo:7:6", "--symbols", "2")


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def qm(*args: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["lookahead", *args])
    return done.exit_code, done.output


def test_a_passed_examination_is_told_with_what_it_stands_on() -> None:
    code, said = qm("sma-cross", *DATA, "--evidence")
    definition = catalog.get("sma-cross")
    assert code == Exit.OK, said
    for part in ("truncation", "shuffled future", "recursive warm-up", "next-bar leak", definition.hash({})):
        assert part in said
    assert "LookaheadPassed(" in said
    assert "\npassed" in said


def test_as_json_and_with_other_parameters() -> None:
    code, said = qm("sma-cross", "fast_bars=5", *DATA, "--json")
    found = json.loads(said[said.index("{") :])
    assert code == Exit.OK
    assert found["passed"] is True
    assert found["params"]["fast_bars"] == 5
    names = ["truncation", "shuffled future", "recursive warm-up", "next-bar leak"]
    assert [(one["name"], one["findings"]) for one in found["analyses"]] == [(name, []) for name in names]


def test_a_planted_look_ahead_names_its_column(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = planted({"s_next": pl.col.close.shift(-1).fill_null(0.0)}, f_close=pl.col.s_next)
    monkeypatch.setattr(catalog, "_CATALOG", Catalog(ahead))
    code, said = qm("planted", *DATA)
    assert code == Exit.NO_GO
    assert "truncation, column at fault: s_next (step), first for" in said
    assert "not passed" in said


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("nonesuch",), "nonesuch"),
        (("sma-cross", "fast_bars=900"), "fast_bars = 900"),
        (("sma-cross", "--symbols", "0"), "--symbols 0"),
        (("sma-cross", "--from", "soon"), "--from 'soon' is not a date"),
        (("sma-cross", "--data", "nowhere.parquet"), "nowhere.parquet"),
        (("sma-cross", "--data", "demo:7", "--symbols", "NOPE"), "NOPE"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_by_name(args: tuple[str, ...], said: str) -> None:
    code, text = qm(*args)
    assert code in (Exit.FAILED, Exit.NO_GO)
    assert said in text
    assert "Traceback" not in text
