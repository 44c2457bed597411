"""Parameter changes of a book, and what the preflight sees of them: signer, since when, what waits, what differs."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.market.bars import session_from_frame
from qmworkbench.operations.evidence import StrategySeen
from qmworkbench.service.approvals import Desk, UnknownInstance, parsed
from qmworkbench.service.config import Config
from qmworkbench.service.evidence import platform_preflight, recorded
from qmworkbench.service.headless import run_headless
from qmworkbench.service.plan import DayPlan, plan_of
from qmworkbench.service.runs import default_runs
from qmworkbench.service.strategies_seen import strategies_seen
from qmworkbench.storage.journal_reader import JournalReader
from qmworkbench.storage.refused import StoreDamaged
from qmworkbench.strategies import catalog
from qmworkbench.strategies.changes import ApprovalRefused
from qmworkbench.trading.fold import fold
from qmworkbench.trading.state import State
from tests.service.books_on_record import configured, opened

ORB, DESK = "opening-range-us", "equities desk"
NOON = datetime(2024, 3, 8, 12, tzinfo=UTC)


def desk(config: Config) -> Desk:
    return Desk(config, now=lambda: NOON)


def changed(config: Config, instance: str = ORB, by: str = DESK, **values: Any) -> None:
    at = desk(config)
    put = at.propose(instance, values, by="bob", reason="a test")
    at.approve(instance, put.version, by=by)


def plan(config: Config, day: date = date(2024, 3, 8)) -> DayPlan:
    minutes = [datetime(day.year, day.month, day.day, 15, minute, tzinfo=UTC) for minute in range(5)]
    bars = pl.DataFrame({"symbol": ["AAPL"] * 5, "ts": minutes}).with_columns(
        pl.col("ts").cast(pl.Datetime("us", "UTC")),
        *(pl.lit(10.0).alias(name) for name in ("open", "high", "low", "close")),
        pl.lit(100.0).alias("volume"),
    )
    return plan_of(config, session_from_frame(bars, day, history_days=0, source="demo:7"))


def seen(config: Config, instance: str = ORB, before: State | None = None, **when: Any) -> StrategySeen:
    return next(one for one in strategies_seen(plan(config, **when), before) if one.instance_id == instance)


# --- the desk ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "following"), [("2024-03-08", "2024-03-11"), ("2024-03-28", "2024-04-01"), ("2024-03-11", "2024-03-12")]
)
def test_a_change_is_for_the_session_after_the_one_opened_last_by_the_markets_calendar(
    last: str, following: str, tmp_path: Path
) -> None:
    config = configured(tmp_path)
    opened(config, last)
    changed(config, target_r=2.5)
    signed = desk(config).approvals().versions(ORB)[0].approved
    assert signed is not None
    assert (signed.after_session, signed.effective_from) == (f"main-{last}", following)


def test_the_session_that_is_open_keeps_the_set_it_was_opened_with(tmp_path: Path) -> None:
    config = configured(tmp_path)
    opened(config, "2024-03-08", default_runs(AssetClass.EQUITY))
    changed(config, target_r=2.5)
    assert {run.params_version for run in plan(config).runs} == {0}  # resumed, it is planned as it was
    following = plan(config, date(2024, 3, 11))
    assert [run.params["target_r"] for run in following.runs if run.strategy_id == ORB] == [2.5]
    assert desk(config).withdraw(ORB, None, by=DESK, reason="second thoughts").version == 1
    assert {run.params_version for run in plan(config, date(2024, 3, 11)).runs} == {0}


def test_who_when_why_and_under_which_login_are_on_record(tmp_path: Path) -> None:
    config = configured(tmp_path, '[owners]\n"equities desk" = ["ada"]')
    changed(config, by="ada", target_r=2.5)
    version = desk(config).approvals().versions(ORB)[0]
    assert version.approved is not None
    assert (version.proposed.by, version.approved.by, version.approved.owner) == ("bob", "ada", DESK)
    assert version.proposed.reason == "a test"
    assert version.proposed.login == version.approved.login != ""
    assert version.approved.at == NOON


def test_a_refused_change_leaves_no_trace(tmp_path: Path) -> None:
    config = configured(tmp_path)
    desk(config).propose(ORB, {"target_r": 2.5}, by="bob", reason="a test")
    before = config.paths.approvals.read_bytes()
    with pytest.raises(ApprovalRefused):
        desk(config).approve(ORB, 1, by="bob")
    assert config.paths.approvals.read_bytes() == before


def test_going_back_is_proposed_and_signed_at_once_or_not_at_all(tmp_path: Path) -> None:
    config = configured(tmp_path)
    changed(config, target_r=2.5)
    with pytest.raises(ApprovalRefused, match="'bob' is no owner"):
        desk(config).revert(ORB, 0, by="bob", reason="worse")
    assert len(desk(config).approvals().records) == 2
    put, signed = desk(config).revert(ORB, 0, by=DESK, reason="worse")
    assert (put.reverts_to, signed.version) == (0, 2)
    assert desk(config).view(ORB).as_approved


def test_a_book_shows_the_instances_of_its_own_market_and_knows_the_others(tmp_path: Path) -> None:
    config = configured(tmp_path)
    assert {view.instance.asset_class for view in desk(config).views()} == set(AssetClass)
    opened(config, "2024-03-08", symbols=("EURUSD", "USDJPY"))
    views = desk(config).views()
    assert {symbol for view in views for symbol in view.instance.symbols} == {"EURUSD", "USDJPY"}
    assert desk(config).view(ORB).as_approved


def test_an_instance_nobody_knows_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownInstance, match=r"no strategy instance 'opening-range-su' in book 'main' .*did you mean"):
        desk(configured(tmp_path)).view("opening-range-su")


def test_an_instance_that_cannot_run_is_corrected_first(tmp_path: Path) -> None:
    text = '[[strategies]]\nid = "{}"\nstrategy = "donchian"\nparams = {{ entry_bars = {} }}\n'
    config = configured(tmp_path, text.format("good", 20) + text.format("bad", 0))
    with pytest.raises(ApprovalRefused, match=r"bad cannot run as it is configured: qm.toml:8: .*entry_bars = 0"):
        desk(config).propose("bad", {"entry_bars": 30}, by="bob", reason="a test")


def test_sessions_say_what_they_ran_with(tmp_path: Path) -> None:
    config = configured(tmp_path)
    assert desk(config).sessions([ORB]) == {ORB: []}
    for day in ("2024-03-07", "2024-03-08"):
        opened(config, day, plan(config, date.fromisoformat(day)).runs)
        if day == "2024-03-07":
            changed(config, target_r=2.5)
    assert [(day, run.params_version) for day, run in desk(config).sessions([ORB])[ORB]] == [
        ("2024-03-07", 0),
        ("2024-03-08", 1),
    ]


@pytest.mark.parametrize(
    ("given", "values"),
    [
        (["range_bars=20", "target_r=2"], {"range_bars": 20, "target_r": 2}),
        (["stop_at=low", "short=true", "min_stop_bps = 12.5"], {"stop_at": "low", "short": True, "min_stop_bps": 12.5}),
        (["range_bars=many"], {"range_bars": "many"}),
        (["bogus=1"], {"bogus": "1"}),
    ],
)
def test_values_are_read_in_their_parameters_type(given: list[str], values: dict[str, Any]) -> None:
    assert parsed(catalog.get("opening-range"), given) == values


@pytest.mark.parametrize("given", [["range_bars"], ["=3"], ["range_bars="], ["range_bars=3", "range_bars=4"]])
def test_what_sets_nothing_is_refused(given: list[str]) -> None:
    with pytest.raises(ApprovalRefused):
        parsed(catalog.get("opening-range"), given)


def test_a_day_runs_what_was_approved_goes_on_without_the_one_that_cannot_and_says_both(tmp_path: Path) -> None:
    text = "[reports]\nenabled = false\n"
    text += '[[strategies]]\nid = "orb"\nstrategy = "opening-range"\n'
    text += '[[strategies]]\nid = "bad"\nstrategy = "donchian"\nparams = { entry_bars = 0 }\n'
    config = configured(tmp_path, text)
    changed(config, "orb", target_r=2.5)
    planned = plan(config)
    result = run_headless(planned, platform_preflight(config))
    assert set(result.verdicts.values()) == {"GO"}
    record = recorded(config.paths.session(planned.session_id).preflight("pre-market"))
    assert record is not None
    lines = {check.check_id: check for check in record.checks}
    assert lines["premarket.strategy_parameters"].status == "pass"
    assert f"version 1, signed by {DESK}" in lines["premarket.strategy_parameters"].detail
    assert lines["premarket.strategies_ready"].status == "warn"
    assert "bad: left out, the others go on: qm.toml:9" in lines["premarket.strategies_ready"].detail
    assert desk(config).sessions(["orb"])["orb"][0][1].approved_by == DESK
    with JournalReader(config.paths.journal) as reader:
        events = [event for _, event in reader.events(["session.opened", "run.ended"])]
    assert "entry_bars = 0 is out of range" in events[0].left_out["bad"]
    assert [event.strategy_id for event in events[1:]] == ["orb"]


# --- what the preflight sees ----------------------------------------------------------------------------------------


def test_the_catalogs_own_set_runs_as_approved(tmp_path: Path) -> None:
    found = seen(configured(tmp_path))
    assert found.params_hash == found.approved_hash
    assert (found.params_version, found.approved_by, found.changed, found.proposals) == (0, "", (), ())


def test_a_version_in_force_shows_its_signer_and_since_when(tmp_path: Path) -> None:
    config = configured(tmp_path)
    opened(config, "2024-03-07")
    changed(config, target_r=2.5)
    found = seen(config)
    assert (found.params_version, found.approved_by) == (1, DESK)
    assert (found.approved_on, found.effective_from) == ("2024-03-08", "2024-03-08")
    assert found.params_hash == found.approved_hash == catalog.get("opening-range").hash({"target_r": 2.5})
    (to_come,) = seen(config, day=date(2024, 3, 7)).coming
    assert to_come == f"version 1, signed by {DESK}, from 2024-03-08 on"


def test_an_edit_nobody_approved_is_told_with_its_line(tmp_path: Path) -> None:
    text = '[[strategies]]\nid = "orb"\nstrategy = "opening-range"\nparams = { range_bars = 20 }\n'
    found = seen(configured(tmp_path, text), "orb")
    assert found.params_hash != found.approved_hash
    assert found.changed == ("range_bars: 15 → 20 (qm.toml:4)",)


def test_what_was_signed_after_the_day_was_planned_is_a_difference(tmp_path: Path) -> None:
    config = configured(tmp_path)
    planned = plan(config)
    changed(config, target_r=2.5)
    (found,) = (one for one in strategies_seen(planned) if one.instance_id == ORB)
    assert found.changed == ("target_r: 2.5 → 3",)


def test_a_proposal_that_waits_is_told_with_its_difference(tmp_path: Path) -> None:
    config = configured(tmp_path)
    desk(config).propose(ORB, {"target_r": 2.5}, by="bob", reason="a test")
    assert seen(config).proposals == ("version 1 proposed by bob on 2024-03-08: target_r: 3 → 2.5",)


def test_one_left_out_is_shown_with_its_reason(tmp_path: Path) -> None:
    text = '[[strategies]]\nid = "{}"\nstrategy = "donchian"\nparams = {{ entry_bars = {} }}\n'
    config = configured(tmp_path, text.format("good", 20) + text.format("bad", 0))
    assert "entry_bars = 0 is out of range" in seen(config, "bad").left_out
    event = plan(config).opened(NOON)
    assert list(event.left_out) == ["bad"]
    assert [run.strategy_id for run in event.runs] == ["good"]


def test_a_record_cut_off_the_ledgers_end_is_given_away_by_what_a_session_ran_with(tmp_path: Path) -> None:
    config = configured(tmp_path)
    changed(config, target_r=2.5)
    spec = next(run for run in plan(config).runs if run.strategy_id == ORB)
    state = fold([msgspec.structs.replace(plan(config).opened(NOON), runs=(spec,))])
    assert seen(config, before=state).unrecorded == ""
    ledger = config.paths.approvals
    ledger.write_text("".join(ledger.read_text().splitlines(keepends=True)[:-1]))
    assert (
        "ran with version 1, signed by equities desk, of which the ledger has no approval"
        in seen(config, before=state).unrecorded
    )


def test_a_ledger_that_does_not_verify_is_never_looked_past(tmp_path: Path) -> None:
    config = configured(tmp_path)
    planned = plan(config)
    config.paths.approvals.parent.mkdir(parents=True)
    config.paths.approvals.write_text("nonsense\n")
    with pytest.raises(StoreDamaged, match="line 1 does not begin a ledger"):
        strategies_seen(planned)
