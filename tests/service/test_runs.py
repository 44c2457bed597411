"""What runs in a session: catalog or configuration, then what was approved for its date, and what a fault stops."""

import re
from datetime import date
from pathlib import Path

import pytest

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.domain.sessions import Environment
from qmworkbench.service import config as configuration
from qmworkbench.service.approvals import Desk
from qmworkbench.service.config import Config, ConfigProblem, ConfigRefused
from qmworkbench.service.config_strategies import left_out_of
from qmworkbench.service.runs import ScheduleRefused, default_runs, instance_of, schedule
from qmworkbench.storage.refused import StoreDamaged
from qmworkbench.strategies import catalog
from qmworkbench.strategies.catalog import Catalog
from qmworkbench.strategies.parameters import bounded
from tests.service.books_on_record import configured, opened
from tests.strategies.bar_cases import changed

EQUITY = AssetClass.EQUITY
FRIDAY, MONDAY = date(2024, 3, 8), date(2024, 3, 11)
ORB = "opening-range-us"
DESK = "equities desk"
TWO = """
[[strategies]]
id = "orb"
strategy = "opening-range"
params = { range_bars = 20 }
[[strategies]]
id = "channel"
strategy = "donchian"
"""


def test_without_a_configuration_or_a_change_the_catalogs_instances_run_as_published(tmp_path: Path) -> None:
    planned = schedule(configured(tmp_path), EQUITY, session=FRIDAY)
    assert planned.runs == default_runs(EQUITY)
    assert {(run.params_version, run.approved_by) for run in planned.runs} == {(0, "")}
    assert dict(planned.left_out) == {}


def test_every_pair_of_the_universe_runs_and_a_change_touches_one_of_them(tmp_path: Path) -> None:
    config = configured(tmp_path)
    pairs = ("EURUSD", "USDJPY", *(f"{a}{b}" for a in ("AUD", "NZD", "GBP") for b in ("CHF", "CAD", "USD")))
    opened(config, "2024-03-08", symbols=pairs)
    desk = Desk(config)
    desk.propose("donchian-slow-eurusd", {"entry_bars": 60}, by="ada", reason="try")
    desk.approve("donchian-slow-eurusd", 1, by="trend desk")
    runs = schedule(config, AssetClass.FOREX, pairs, MONDAY).runs
    assert len(runs) == 4 * len(pairs)
    assert [run.strategy_id for run in runs if run.params_version] == ["donchian-slow-eurusd"]
    assert runs == tuple(sorted(runs, key=lambda run: run.strategy_id))


def test_an_approved_change_runs_from_its_session_on_and_bears_its_signature(tmp_path: Path) -> None:
    config = configured(tmp_path)
    opened(config, "2024-03-08")
    desk = Desk(config)
    desk.propose(ORB, {"target_r": 2.5}, by="ada", reason="nearer")
    signed = desk.approve(ORB, 1, by=DESK)
    assert signed.effective_from == "2024-03-11"

    def run(session: date | None) -> tuple[object, int, str]:
        (found,) = (run for run in schedule(config, EQUITY, session=session).runs if run.strategy_id == ORB)
        return found.params["target_r"], found.params_version, found.approved_by

    assert run(FRIDAY) == (3.0, 0, "")
    assert run(MONDAY) == (2.5, 1, DESK)
    assert run(None) == (2.5, 1, DESK)


def test_a_book_about_to_begin_has_approved_nothing(tmp_path: Path) -> None:
    config = configured(tmp_path)
    desk = Desk(config)
    desk.propose(ORB, {"target_r": 2.5}, by="ada", reason="nearer")
    desk.approve(ORB, 1, by=DESK)
    assert schedule(config, EQUITY, session=FRIDAY, fresh=True).runs == default_runs(EQUITY)


def test_what_runs_otherwise_than_it_was_signed_bears_nobodys_name(tmp_path: Path) -> None:
    config = configured(tmp_path, TWO)
    desk = Desk(config)
    desk.propose("orb", {"target_r": 2.5}, by="ada", reason="nearer")
    desk.approve("orb", 1, by=DESK)
    runs = {run.strategy_id: run for run in schedule(config, EQUITY).runs}
    assert runs["orb"].params["range_bars"] == 20  # the file says so, nobody approved it
    assert (runs["orb"].params_version, runs["orb"].approved_by) == (1, "")
    desk.propose_as_configured("orb", by="ada", reason="as it runs")
    desk.approve("orb", 2, by=DESK)
    runs = {run.strategy_id: run for run in schedule(config, EQUITY).runs}
    assert (runs["orb"].params_version, runs["orb"].approved_by) == (2, DESK)
    assert instance_of(runs["orb"]).params == runs["orb"].params


def test_where_a_parameter_was_set_is_known(tmp_path: Path) -> None:
    assert schedule(configured(tmp_path, TWO), EQUITY).set_at == {"orb.range_bars": "qm.toml:5"}


# --- one instance that cannot run -----------------------------------------------------------------------------------

BAD = '[[strategies]]\nid = "bad"\nstrategy = "{}"\nparams = {{ entry_bars = {} }}\n'


@pytest.mark.parametrize(
    ("strategy", "value", "said"),
    [
        (
            "donchain",
            20,
            r"qm.toml:11: strategies\[2\].strategy = .donchain. is not in the catalog. Did you mean donchian",
        ),
        ("donchian", 9999, r"qm.toml:12: strategies\[2\].params.entry_bars = 9999 is out of range.*2 to 500 bars"),
    ],
)
@pytest.mark.parametrize("environment", ["local", "backtest"])
def test_where_no_account_is_at_stake_it_is_left_out_by_name_and_the_others_run(
    environment: str, strategy: str, value: int, said: str, tmp_path: Path
) -> None:
    config = configured(tmp_path, TWO + BAD.format(strategy, value), QM_ENVIRONMENT=environment)
    planned = schedule(config, EQUITY)
    assert [run.strategy_id for run in planned.runs] == ["channel", "orb"]
    assert list(planned.left_out) == ["bad"]
    assert re.search(said, planned.left_out["bad"])


@pytest.mark.parametrize("environment", ["paper", "live"])
def test_in_paper_and_live_it_refuses_everything(environment: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigRefused, match=r"params.entry_bars = 9999 is out of range"):
        configured(tmp_path, TWO + BAD.format("donchian", 9999), QM_ENVIRONMENT=environment)


@pytest.mark.parametrize("environment", Environment)
def test_only_where_no_account_is_at_stake_does_a_day_go_on_without_an_instance(
    environment: Environment, tmp_path: Path
) -> None:
    sound = configured(tmp_path, TWO)
    settings = sound.settings.model_copy(update={"environment": environment})
    fault = ConfigProblem(
        key="strategies[1].params.entry_bars", problem="is odd", remedy="make it even", source="qm.toml:9"
    )
    goes_on = environment in (Environment.BACKTEST, Environment.LOCAL)
    assert left_out_of(settings, [fault]) == ({"channel": (fault,)} if goes_on else {})


def test_a_day_with_no_sound_instance_and_ids_that_two_share_are_refused_everywhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigRefused, match="entry_bars = 9999"):
        configured(tmp_path, BAD.format("donchian", 9999))
    with pytest.raises(ConfigRefused, match=r'strategies\[2\].id = "orb" is the id of strategies\[0\] as well'):
        configured(tmp_path, TWO + '[[strategies]]\nid = "orb"\nstrategy = "donchian"\n')


def test_a_refused_configuration_still_tells_everything_at_once(tmp_path: Path) -> None:
    (tmp_path / "qm.toml").write_text(TWO + BAD.format("donchian", 9999) + "[limits]\nmax_daily_loss = -1\n")
    _, problems = configuration.check(cwd=tmp_path, environ={})
    assert {problem.key for problem in problems} == {"limits.max_daily_loss", "strategies[2].params.entry_bars"}


def _narrower_opening_range() -> Catalog:
    """The catalog after its owner has narrowed a range."""
    entry = catalog.get("opening-range")
    narrower = bounded("range_bars", 15, 2, 60, "bars", "the opening range")
    specs = (narrower, *(spec for spec in entry.parameter_specs if spec.name != "range_bars"))
    return Catalog(*{**catalog.catalog(), "opening-range": changed(entry, parameter_specs=specs)}.values())


@pytest.mark.parametrize("environment", [Environment.LOCAL, Environment.LIVE])
def test_an_approved_set_that_no_longer_fits_leaves_its_run_out_or_refuses_the_day(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = configured(tmp_path, '[owners]\n"equities desk" = ["ada"]')
    # No configuration reaches live yet; what would be planned there is decided all the same.
    config = Config(sound.settings.model_copy(update={"environment": environment}), sound._layers, tmp_path)
    desk = Desk(config)
    desk.propose(ORB, {"range_bars": 100}, by="bob", reason="wide")
    desk.approve(ORB, 1, by="ada")
    monkeypatch.setattr(catalog, "_CATALOG", _narrower_opening_range())
    said = "version 1 of its parameters, which was approved, no longer fits: .*range_bars = 100 .*allowed: 2 to 60 bars"
    if environment is Environment.LIVE:
        with pytest.raises(ScheduleRefused, match=f"{ORB} cannot run: {said}.*live does not start without one of its"):
            schedule(config, EQUITY)
        return
    planned = schedule(config, EQUITY)
    assert ORB not in {run.strategy_id for run in planned.runs}
    assert re.search(said, planned.left_out[ORB])


def test_a_ledger_that_does_not_verify_stops_the_day_everywhere(tmp_path: Path) -> None:
    config = configured(tmp_path)
    desk = Desk(config)
    desk.propose(ORB, {"target_r": 2.5}, by="ada", reason="nearer")
    ledger = config.paths.approvals
    ledger.write_text(ledger.read_text().replace("2.5", "9.5", 1))
    with pytest.raises(StoreDamaged, match=r"approvals.jsonl line 2 was changed or damaged"):
        schedule(config, EQUITY)


# --- who may sign, as configured --------------------------------------------------------------------------------------


def test_people_are_listed_by_owner_in_a_file_or_a_variable(tmp_path: Path) -> None:
    listed = configured(tmp_path, '[owners]\n"equities desk" = ["ada", "grace"]\n"trend desk" = "bob"\n')
    assert listed.settings.owners == {"equities desk": ("ada", "grace"), "trend desk": ("bob",)}
    assert listed.source("owners.equities desk") == "qm.toml:2"
    by_variable = configured(tmp_path, QM_OWNERS='{"equities desk": ["ada"]}')
    assert by_variable.settings.owners == {"equities desk": ("ada",)}
    assert listed.config_hash == by_variable.config_hash  # who signs decides nothing


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[owners]\n"equities dsk" = ["ada"]',
            r'qm.toml:2: owners."equities dsk" .*owns no strategy .*Did you mean equities',
        ),
        ('[owners]\n"equities desk" = []', 'names nobody under "equities desk"'),
        ('[owners]\n"equities desk" = [""]', 'names nobody under "equities desk"'),
        ('[owners]\n"equities desk" = 5', 'names nobody under "equities desk"'),
        ("owners = 5", "owners = 5 is not a table"),
        ('owners = "ada"', "is not a table in JSON"),
    ],
)
def test_a_list_of_people_nobody_could_use_is_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigRefused, match=said):
        configured(tmp_path, text)
