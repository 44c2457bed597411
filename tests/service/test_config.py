"""Configuration: where each value came from, what is refused and how, and a hash that knows meaning from spelling."""

import random
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.domain.checks import CheckStatus, Verdict, verdict_of
from qmworkbench.domain.instruments import AssetClass
from qmworkbench.domain.limits import Limits
from qmworkbench.market.bars import HISTORY_DAYS
from qmworkbench.service import config
from qmworkbench.service.config_reading import KNOWN, read
from qmworkbench.service.config_schema import Settings
from qmworkbench.service.config_sources import find_file, lines_of
from qmworkbench.trading.scanner_settings import ScanSettings
from qmworkbench.venue.costs import costed, ideal


def loaded(cwd: Path, text: str = "", *, environ: Mapping[str, str] | None = None, **flags: Any) -> config.Config:
    if text:
        (cwd / "qm.toml").write_text(text)
    return config.load(cwd=cwd, environ=environ or {}, flags={key: (value, f"--{key}") for key, value in flags.items()})


def problems(cwd: Path, text: str = "", **environ: str) -> dict[str, config.ConfigProblem]:
    """What is refused, by key."""
    (cwd / "qm.toml").write_text(text)
    found, told = config.check(cwd=cwd, environ=environ)
    assert found is None
    assert told
    return {problem.key: problem for problem in told}


# ── defaults ─────────────────────────────────────────────────────────────────────────────────────────────


def test_without_any_source_everything_is_the_owning_rooms_default(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    assert found.limits(AssetClass.EQUITY) == Limits()
    assert found.scan(AssetClass.EQUITY) == ScanSettings()
    assert found.scan(AssetClass.FOREX) == ScanSettings.for_forex()
    assert found.venue_model() == costed()
    assert found.settings.data.history_days == HISTORY_DAYS
    assert {row.source for row in found.provenance()} == {"default"}
    assert found.environment == "local"
    assert found.paths.root == tmp_path / "data" / "books" / "local" / "main"


def test_every_setting_is_shown_once(tmp_path: Path) -> None:
    assert [row.key for row in loaded(tmp_path).provenance()] == list(KNOWN)


def test_a_count_of_shares_does_not_limit_currency_units_unless_it_was_set(tmp_path: Path) -> None:
    assert loaded(tmp_path).limits(AssetClass.FOREX).max_position_qty is None
    assert loaded(tmp_path, "limits.max_position_qty = 7").limits(AssetClass.FOREX).max_position_qty == 7


def test_the_ideal_venue_is_the_venues_own(tmp_path: Path) -> None:
    assert loaded(tmp_path, 'venue.model = "ideal"').venue_model() == ideal()
    altered = loaded(tmp_path, '[venue]\nmodel = "ideal"\n[venue.equity.fees]\nper_unit = 0.01').venue_model()
    assert altered.schedules[AssetClass.EQUITY].fees.per_unit == Decimal("0.01")
    assert altered.schedules[AssetClass.FOREX] == ideal().schedules[AssetClass.FOREX]


# ── which source wins, and who is named ──────────────────────────────────────────────────────────────────────

_SETTABLE: dict[str, tuple[Any, Any]] = {
    "book": ("alpha", "alpha"),
    "initial_cash": (Decimal("2500.50"), Decimal("2500.50")),
    "limits.max_daily_loss": (Decimal(321), Decimal(321)),
    "limits.max_trades_per_day": (11, 11),
    "limits.blocked_symbols": (["GME", "AMC"], ("GME", "AMC")),
    "scan.equity.min_rel_volume": ("off", None),
    "scan.forex.allow_unknown_spread": (False, False),
    "venue.equity.fees.per_unit": (Decimal("0.002"), Decimal("0.002")),
    "allocator.max_owned": (5, 5),
    "feed.speed": ("max", "max"),
    "data.date": ("2018-03-02", date(2018, 3, 2)),
}


def _toml(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"{key} = {str(value).lower()}"
    if isinstance(value, list):
        return f"{key} = [{', '.join(repr(part) for part in value)}]"
    return f"{key} = {value!r}" if isinstance(value, str) else f"{key} = {value}"


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def _at(settings: Any, key: str) -> Any:
    for part in key.split("."):
        settings = getattr(settings, part)
    return settings


@given(
    where=st.dictionaries(
        st.sampled_from(sorted(_SETTABLE)), st.sets(st.sampled_from(["file", "env", "flag"]), min_size=1)
    )
)
def test_the_strongest_source_wins_and_is_named_with_its_place(
    where: dict[str, set[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Flag over environment over file, each told with its file and line, its variable or its flag."""
    cwd = tmp_path_factory.mktemp("cwd")
    lines = [_toml(key, _SETTABLE[key][0]) for key in where if "file" in where[key]]
    random.Random(len(lines)).shuffle(lines)
    environ = {"QM_" + key.replace(".", "__").upper(): _text(_SETTABLE[key][0]) for key in where if "env" in where[key]}
    (cwd / "qm.toml").write_text("# a comment\n\n" + "\n".join(lines))
    flags = {key: (_SETTABLE[key][0], f"--{key}") for key in where if "flag" in where[key]}
    found = config.load(cwd=cwd, environ=environ, flags=flags)
    sources = {row.key: row.source for row in found.provenance()}
    for key in _SETTABLE:
        if key not in where:
            assert sources[key] == "default"
            continue
        assert _at(found.settings, key) == _SETTABLE[key][1]
        strongest = next(kind for kind in ("flag", "env", "file") if kind in where[key])
        line = lines.index(_toml(key, _SETTABLE[key][0])) + 3 if "file" in where[key] else 0
        expected = {
            "flag": f"flag --{key}",
            "env": "env QM_" + key.replace(".", "__").upper(),
            "file": f"qm.toml:{line}",
        }
        assert sources[key] == expected[strongest]
        assert found.source(key) == expected[strongest]


def test_the_nearest_file_upward_is_read_and_the_local_one_is_laid_over_it(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "qm.toml").write_text('book = "outer"\ninitial_cash = 5000')
    assert find_file(below) == tmp_path / "qm.toml"
    (tmp_path / "qm.local.toml").write_text('\nbook = "mine"')
    found = config.load(cwd=below, environ={})
    assert (found.book, found.source("book")) == ("mine", "qm.local.toml:2")
    assert found.source("initial_cash") == "qm.toml:2"
    assert found.files == (tmp_path / "qm.toml", tmp_path / "qm.local.toml")
    assert found.paths.root == tmp_path / "data/books/local/mine", "default paths lie beside the file, not below us"


def test_a_named_file_is_read_instead_of_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "qm.toml").write_text('book = "nearest"')
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.toml").write_text('book = "named"\n[data]\nfile = "bars.parquet"')
    for given_by in ({"file": Path("other/mine.toml")}, {"environ": {"QM_CONFIG": "other/mine.toml"}}):
        found = config.load(cwd=tmp_path, **({"environ": {}} | given_by))  # type: ignore[arg-type]
        assert (found.book, found.source("book")) == ("named", "other/mine.toml:1")
        assert found.data_file == tmp_path / "other" / "bars.parquet", "a path in a file is relative to that file"
    assert loaded(tmp_path, **{"data.file": "bars.parquet"}).data_file == tmp_path / "bars.parquet"


# ── lines ────────────────────────────────────────────────────────────────────────────────────────────────────

_KEY = st.from_regex(r"[a-z]{1,6}", fullmatch=True)
_VALUE = st.sampled_from(['"x"', "1", "[1,\n 2,\n 3]", '"""a\nb"""', "{ p = 1, q = 2 }", "true", "1979-05-27"])


@given(
    tables=st.lists(
        st.tuples(st.lists(_KEY, min_size=1, max_size=2, unique=True), st.dictionaries(_KEY, _VALUE, max_size=3)),
        max_size=4,
        unique_by=lambda table: table[0][0],
    ),
    blank=st.booleans(),
)
def test_lines_are_those_an_editor_shows(tables: list[tuple[list[str], dict[str, str]]], blank: bool) -> None:
    text, expected = "", {}
    for path, values in tables:
        text += "\n# a note = 1\n" if blank else ""
        text += f"[{'.'.join(path)}]  # header\n"
        expected[tuple(path)] = text.count("\n")
        for key, value in values.items():
            expected[(*path, key)] = text.count("\n") + 1
            text += f"{key} = {value}\n"
    found = lines_of(text)
    assert {path: found[path] for path in expected} == expected


def test_lines_of_arrays_of_tables_count_entries_and_their_sub_tables() -> None:
    text = '[[strategies]]\nid = "a"\n[strategies.params]\nn = 1\n\n[[strategies]]\nid = "b"\nparams = { n = 2 }\n'
    found = lines_of(text)
    assert found["strategies", 0, "params", "n"] == 4
    assert found["strategies", 1, "id"] == 7
    assert found["strategies", 1, "params", "n"] == 8


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_everything_wrong_is_named_at_once_in_reading_order(tmp_path: Path) -> None:
    text = """book = "a/b"
[limits]
max_daily_loss = -5
max_dayly_loss = 4
max_trades_per_day = true
stale_quote_s = 0
[scan.equity]
min_price = 50
max_price = 10
[venue]
leverage = 0
[feed]
speed = "quick"
"""
    (tmp_path / "qm.toml").write_text(text)
    found, told = config.check(cwd=tmp_path, environ={"QM_LIMTS__X": "1"})
    assert found is None
    assert [(problem.source, problem.key) for problem in told] == [
        ("env QM_LIMTS__X", "QM_LIMTS__X"),
        ("qm.toml:1", "book"),
        ("qm.toml:3", "limits.max_daily_loss"),
        ("qm.toml:4", "limits.max_dayly_loss"),
        ("qm.toml:5", "limits.max_trades_per_day"),
        ("qm.toml:6", "limits.stale_quote_s"),
        ("qm.toml:8", "scan.equity.min_price"),
        ("qm.toml:11", "venue.leverage"),
        ("qm.toml:13", "feed.speed"),
    ]
    for problem in told:
        assert problem.remedy
        assert str(problem).startswith(f"{problem.source}: {problem.key}")


def test_an_unknown_key_names_the_one_that_was_probably_meant(tmp_path: Path) -> None:
    found = problems(tmp_path, "[limits]\nmax_dayly_loss = 4\n[scan]\nmin_price = 1\n[lmits]\nx = 1\n")
    assert "limits.max_daily_loss" in found["limits.max_dayly_loss"].remedy
    assert "scan.equity.min_price" in found["scan.min_price"].remedy
    assert found["lmits"].problem == "is not a setting"


@pytest.mark.parametrize("key", [key for key in KNOWN if "." in key])
def test_a_misspelt_key_leads_back_to_the_right_one(key: str, tmp_path: Path) -> None:
    misspelt = key[:-1] + ("x" if key[-1] != "x" else "y")
    if misspelt in KNOWN:
        pytest.skip("this misspelling is another setting")
    assert f"did you mean {key}?" in problems(tmp_path, f"{misspelt} = 1")[misspelt].remedy


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("limits.max_open_positions = 1.5", "limits.max_open_positions", "whole number"),
        ('limits.max_daily_loss = "lots"', "limits.max_daily_loss", "a number"),
        ("limits.max_daily_loss = nan", "limits.max_daily_loss", "a number"),
        ("scan.equity.min_price = inf", "scan.equity.min_price", "a number"),
        ('environment = "locl"', "environment", '"local"'),
        ('account_currency = "dollars"', "account_currency", "USD"),
        ("initial_cash = 0", "initial_cash", "above 0"),
        ('data.date = "tomorrow"', "data.date", "2018-03-02"),
        ("data.symbols = 5", "data.symbols", "a list"),
        ("feed.speed = -1", "feed.speed", "a number"),
        ('service.host = "0.0.0.0"', "service.host", "127.0.0.1"),
        ('service.host = "example.org"', "service.host", "loopback"),
        ("service.port = 70000", "service.port", "65535"),
        ("limits = 5", "limits", "a table"),
        ("strategies = 5", "strategies", "a list"),
        ('limits.blocked_symbols = "[1"', "limits.blocked_symbols", "JSON"),
        ("venue.equity.participation = 2", "venue.equity.participation", "at most 1"),
        ("venue.equity.fees.per_unit = -1", "venue.equity.fees.per_unit", "0 or more"),
        ("retention.logs = -1", "retention.logs", "from 0"),
    ],
)
def test_a_bad_value_is_told_with_its_line_and_what_would_do(text: str, key: str, says: str, tmp_path: Path) -> None:
    problem = problems(tmp_path, "\n" + text)[key]
    assert problem.source == "qm.toml:2"
    assert says in problem.remedy


def test_a_cross_check_blames_what_was_set_and_not_a_default(tmp_path: Path) -> None:
    found = problems(tmp_path, "limits.max_strategy_equity_pct = 10")
    assert list(found) == ["limits.max_strategy_equity_pct"]
    assert "max_position_equity_pct = 15" in found["limits.max_strategy_equity_pct"].problem


def test_a_file_that_is_no_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    told = problems(tmp_path, "[limits]\nmax_daily_loss 5\n")
    assert next(iter(told.values())).source == "qm.toml:2"


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    _, told = config.check(cwd=tmp_path, environ={}, file=Path("nowhere.toml"))
    assert "does not exist" in told[0].problem
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe\x00")
    _, told = config.check(cwd=tmp_path, environ={}, file=Path("bad.toml"))
    assert "cannot be read" in told[0].problem


def test_live_is_refused_with_what_arming_takes(tmp_path: Path) -> None:
    problem = problems(tmp_path, 'environment = "live"')["environment"]
    for needed in ("credentials", "hash an owner approved", "live-approved", "error budgets", "typed confirmation"):
        assert needed in problem.remedy
    assert "simulated" in problems(tmp_path, 'environment = "paper"')["environment"].problem


def test_flags_are_held_to_the_same_rules(tmp_path: Path) -> None:
    _, told = config.check(cwd=tmp_path, environ={}, flags={"feed.speed": ("0", "--speed"), "book": ("..", "--book")})
    assert {problem.source for problem in told} == {"flag --speed", "flag --book"}


def test_unknown_variables_are_refused_but_those_of_others_are_left_alone(tmp_path: Path) -> None:
    fine = {"QM_TEST_HOME": "x", "HOME": "y", "QMX_LIMITS": "z"}
    assert config.check(cwd=tmp_path, environ=fine)[1] == ()
    _, told = config.check(cwd=tmp_path, environ={"QM_MAX_DAILY_LOSS": "5"})
    assert "QM_LIMITS__MAX_DAILY_LOSS" in told[0].remedy


def test_strategies_are_held_against_the_catalog_with_their_lines(tmp_path: Path) -> None:
    text = """[[strategies]]
id = "a"
strategy = "donchain"
[[strategies]]
id = "a"
strategy = "donchian"
budget_pct = 20
[strategies.params]
entry_bars = 1
exit_brs = 3
[[strategies]]
id = "b"
strategy = "opening-range"
symbols = ["A", "A"]
[[strategies]]
id = "c"
strategy = "donchian"
params = { long = false, short = false }
"""
    found = problems(tmp_path, text)
    told = {key: problem.source for key, problem in found.items()}
    assert told == {
        "strategies[0].strategy": "qm.toml:3",
        "strategies[1].id": "qm.toml:5",
        "strategies[1].budget_pct": "qm.toml:7",
        "strategies[1].params.entry_bars": "qm.toml:9",
        "strategies[1].params.exit_brs": "qm.toml:10",
        "strategies[2].symbols": "qm.toml:14",
        "strategies[3].params": "qm.toml:18",
    }
    assert "did you mean donchian?" in found["strategies[0].strategy"].remedy
    assert "did you mean exit_bars?" in found["strategies[1].params.exit_brs"].remedy
    missing = problems(tmp_path, '\n[[strategies]]\nstrategy = "donchian"')
    assert missing["strategies[0].id"].source == "qm.toml:2"


def test_instances_may_come_as_json_from_the_environment(tmp_path: Path) -> None:
    environ = {"QM_STRATEGIES": '[{"id": "x", "strategy": "donchian", "params": {"stop_atr": 2.5}}]'}
    entry = (loaded(tmp_path, environ=environ).settings.strategies or ())[0]
    assert (entry.id, entry.params) == ("x", {"stop_atr": 2.5})


def test_problems_become_failed_lines_of_the_preflight(tmp_path: Path) -> None:
    told = tuple(problems(tmp_path, "limits.max_daily_loss = -1").values())
    checks = config.as_checks(told)
    assert verdict_of(checks) is Verdict.NO_GO
    assert checks[0].status is CheckStatus.FAIL
    assert (checks[0].looked_at, checks[0].value) == ("qm.toml:1", "-1")
    assert checks[0].remedy


# ── secrets ──────────────────────────────────────────────────────────────────────────────────────────────────

_TOKEN = "s3cr3t-s3cr3t-s3cr3t"


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    found = loaded(tmp_path, f'service.token = "{_TOKEN}"')
    assert found.secrets == (_TOKEN,)
    shown = {row.key: row.value for row in found.provenance()}
    assert shown["service.token"] == "********"
    assert _TOKEN not in repr(found.settings)
    assert _TOKEN not in str(found.decisive())


def test_a_refused_secret_is_not_repeated(tmp_path: Path) -> None:
    for text in ('service.token = "hunter2"', 'service.tokn = "hunter2"', 'service.token = ["hunter2"]'):
        told = problems(tmp_path, text)
        assert "hunter2" not in "".join(str(problem) for problem in told.values())


# ── the hash ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_hash_knows_meaning_from_spelling_and_place(tmp_path: Path) -> None:
    plain = loaded(tmp_path).config_hash
    spelt = [
        "limits.max_daily_loss = 1000.00\nlimits.max_position_notional = 1e4",
        "[limits]\nmax_position_notional = 10_000\nmax_daily_loss = 1000",
        '[scan.equity]\nmin_change_pct = 3\nmode = "gainers"',
        'book = "other"\nfeed.speed = 10\nreports.enabled = false\nretention.logs = 3\npaths.data = "elsewhere"',
        f'service.token = "{_TOKEN}"',
    ]
    assert {loaded(tmp_path, text).config_hash for text in spelt} == {plain}
    assert loaded(tmp_path, environ={"QM_LIMITS__MAX_DAILY_LOSS": "1000.0"}).config_hash == plain


def test_the_hash_changes_with_everything_a_decision_depends_on(tmp_path: Path) -> None:
    changes = [
        "limits.max_daily_loss = 999",
        'limits.blocked_symbols = ["GME"]',
        "scan.equity.min_price = 1",
        'scan.equity.min_rel_volume = "off"',
        "scan.forex.window_close_min = 5",
        "venue.equity.slippage_bps = 3",
        'venue.model = "ideal"',
        "allocator.max_owned = 3",
        'allocator.ownership = "shared"',
        "initial_cash = 50000",
        "data.history_days = 3",
        'data.symbols = ["SPY"]',
        '[[strategies]]\nid = "x"\nstrategy = "donchian"',
    ]
    hashes = [loaded(tmp_path, text).config_hash for text in changes]
    (tmp_path / "qm.toml").unlink()
    assert len({*hashes, loaded(tmp_path).config_hash}) == len(changes) + 1


def test_reading_twice_gives_the_same_settings(tmp_path: Path) -> None:
    first, again = loaded(tmp_path, "limits.max_daily_loss = 5"), loaded(tmp_path)
    assert first.settings == again.settings
    assert isinstance(first.settings, Settings)
    assert read(())[0] == Settings()


def test_the_example_of_the_documentation_is_read_as_it_stands(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text()
    example = page.split("```toml\n")[1].split("```")[0]
    found = loaded(tmp_path, example)
    assert found.limits(AssetClass.EQUITY).blocked_symbols == ("GME",)
    assert found.scan(AssetClass.EQUITY).min_rel_volume is None
    assert found.data_file == tmp_path / "bars.parquet"
    (entry,) = found.settings.strategies or ()
    assert entry.params == {"range_bars": 20}
