"""In the ideal venue session and backtest agree to the last tick; what somebody or something changed has its cause."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from qmworkbench.domain.commands import ClosePosition, Command, Pause
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.market import FrameComputed, FrameDropped
from qmworkbench.domain.instruments import AssetClass
from qmworkbench.market.bars import load_session
from qmworkbench.market.session import SessionData
from qmworkbench.research.parity.parity import Parity, parity
from qmworkbench.research.parity.parity_causes import Cause
from qmworkbench.research.parity.parity_record import RecordedDay
from qmworkbench.strategies import catalog
from qmworkbench.strategies.indicators import Stages
from qmworkbench.strategies.parameters import Params
from qmworkbench.trading.frames import BarFrame
from qmworkbench.trading.state import State
from qmworkbench.venue.costs import CostSchedule, FeeSchedule, ideal
from qmworkbench.venue.faults import FaultKind, FaultPlan, PlannedFault
from tests.research.parity.parity_cases import UNBOUND, equities, forex, with_events
from tests.service.day_process import cut_short, demo_day
from tests.strategies.bar_cases import changed


@cache
def short_day(boundaries: int) -> SessionData:
    """The demo market's day as if it had closed after so many boundaries."""
    return cut_short(demo_day(), boundaries)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> RecordedDay:
    """A short demo day with every strategy, in the ideal venue."""
    return equities(tmp_path_factory.mktemp("quiet"), short_day(200))[0]


@pytest.fixture(scope="module")
def compared(quiet: RecordedDay) -> Parity:
    return parity(quiet)


@pytest.fixture(scope="module")
def closing(tmp_path_factory: pytest.TempPathFactory) -> tuple[SessionData, list[str]]:
    """A short demo day and the symbols that it left at its close."""
    whole = short_day(120)
    found = parity(equities(tmp_path_factory.mktemp("closing"), whole)[0])
    return whole, [one.symbol for one in found.pairs if "close" in one.recorded_exit]


def demand_exact(found: Parity, least: int) -> None:
    """Whatever the session could take, it took exactly so; it could not take what was not assigned to it yet."""
    assert found.left_out == {}
    assert [one for one in found.differences if one.cause is not Cause.ALLOCATOR] == []
    assert found.unexplained_share == 0
    both = [pair for pair in found.pairs if pair.recorded_pnl is not None]
    assert len(both) >= least
    for pair in both:
        assert (pair.expected_entry_at, pair.expected_exit_at) == (pair.recorded_entry_at, pair.recorded_exit_at)
        assert pair.expected_qty == pair.recorded_qty
        assert pair.expected_pnl == pytest.approx(pair.recorded_pnl, abs=0.005)
    settles(found)


def settles(found: Parity) -> None:
    """The causes' money adds up to the whole difference."""
    told = sum(found.pnl_by_cause.values())
    assert told == pytest.approx(found.recorded_pnl - found.expected_pnl, abs=0.02 * (1 + len(found.pnl_by_cause)))


# --- the ideal venue ----------------------------------------------------------------------------------------------


def test_a_demo_day_of_every_strategy_is_its_backtest(compared: Parity) -> None:
    found = compared
    demand_exact(found, 20)
    assert {one.definition_id for one in found.strategies} == set(catalog.ids())
    assert [level.name for level in found.levels] == ["signal", "order", "trade"]
    assert found.levels[0].compared > 100


def test_a_real_day_of_every_strategy_is_its_backtest(shared_data: Path, tmp_path: Path) -> None:
    data = load_session(shared_data / "us_equity_minute_2018.parquet", date(2018, 3, 2), history_days=4)
    found = parity(equities(tmp_path, data, max_candidates=40)[0])
    demand_exact(found, 60)
    traded = {pair.strategy_id for pair in found.pairs if pair.recorded_pnl is not None}
    assert len(traded) >= 6


def test_real_days_of_forex_are_their_backtests_and_positions_are_carried(shared_data: Path, tmp_path: Path) -> None:
    days = forex(tmp_path, shared_data, [date(2016, 6, 22), date(2016, 6, 23), date(2016, 6, 24)])
    assert not days[0].carried
    assert len(days[2].carried) > 5
    every = [parity(day) for day in days]
    for found in every:
        demand_exact(found, 15)
    assert any(pair.carried and not pair.open for pair in every[2].pairs)
    assert any(pair.carried and pair.open for found in every for pair in found.pairs)


def test_every_strategy_of_forex_has_traded_there() -> None:
    both = {name for name in catalog.ids() if AssetClass.FOREX in catalog.get(name).asset_classes}
    assert both == {"donchian", "rsi-reversion", "sma-cross"}


# --- what makes a difference -----------------------------------------------------------------------------------------


def short(tmp_path: Path, **plan: object) -> Parity:
    found = parity(equities(tmp_path, short_day(120), **plan)[0])
    settles(found)
    return found


def causes(found: Parity) -> set[Cause]:
    return {one.cause for one in found.differences} - {Cause.ALLOCATOR}


def test_a_limit_that_binds_is_a_risk_denial(tmp_path: Path) -> None:
    found = short(tmp_path, limits=msgspec.structs.replace(UNBOUND, max_open_positions=1))
    assert causes(found) == {Cause.RISK_DENIAL}
    assert found.unexplained_share == 0
    denied = next(one for one in found.differences if one.cause is Cause.RISK_DENIAL)
    assert denied.why.startswith("max_open_positions")
    assert denied.what == "entry not taken"


def test_costs_are_slippage_fees_and_partial_fills(tmp_path: Path) -> None:
    terms = CostSchedule(
        slippage_bps=Decimal(5), round_to_tick=True, fees=FeeSchedule(per_unit=Decimal("0.01")),
        participation=Decimal("0.02"),
    )  # fmt: skip
    model = msgspec.structs.replace(ideal(), schedules={**ideal().schedules, AssetClass.EQUITY: terms})
    found = short(tmp_path, venue_model=model)
    assert causes(found) >= {Cause.SLIPPAGE, Cause.PARTIAL_FILL}
    assert Cause.UNEXPLAINED not in causes(found)
    assert found.pnl_by_cause["fees"] < 0
    assert found.pnl_by_cause["slippage"] < 0
    slipped = [one for one in found.differences if one.cause is Cause.SLIPPAGE]
    assert all((one.pnl or 0) <= 0 for one in slipped)


def test_an_order_the_broker_refuses_is_rejected(tmp_path: Path) -> None:
    faults = FaultPlan(planned=tuple(PlannedFault(kind=FaultKind.REJECT, nth=nth) for nth in (1, 3)))
    found = short(tmp_path, venue_model=msgspec.structs.replace(ideal(), faults=faults))
    assert causes(found) == {Cause.REJECTED}
    assert found.unexplained_share == 0


def person(tmp_path: Path, act: Callable[[int, State], Command | None]) -> Parity:
    data = short_day(80)
    found = parity(equities(tmp_path, data, act=act)[0])
    settles(found)
    return found


def test_a_position_that_a_person_closes_is_an_operators_action(tmp_path: Path) -> None:
    def act(boundary: int, state: State) -> Command | None:
        held = [one for one in state.positions.values() if one.qty and not one.exit_wanted]
        if boundary < 130 or not held:
            return None
        return ClosePosition(strategy_id=held[0].strategy_id, symbol=held[0].symbol, reason="I have seen enough")

    found = person(tmp_path, act)
    assert causes(found) == {Cause.OPERATOR_ACTION}
    closed = next(one for one in found.differences if one.cause is Cause.OPERATOR_ACTION)
    assert (closed.what, closed.why) == ("another exit", "closed by grace: I have seen enough")


def test_entries_that_a_person_pauses_are_an_operators_action(tmp_path: Path) -> None:
    found = person(tmp_path, lambda at, _: Pause(reason="lunch") if at == 100 else None)
    assert causes(found) == {Cause.OPERATOR_ACTION}
    assert all("lunch" in one.why for one in found.differences if one.cause is Cause.OPERATOR_ACTION)


def without_first_entry(day: RecordedDay, found: Parity) -> tuple[list[Event], FrameComputed]:
    """The record as if the frame of the first entry had come too late: nothing of that trade ever happened."""
    first = min((one for one in found.pairs if one.recorded_entry_at), key=lambda one: one.recorded_entry_at)  # type: ignore[arg-type,return-value]
    lane = (first.strategy_id, first.symbol)
    frames = [event for event in day.record.events if isinstance(event, FrameComputed)]
    decided = max((one for one in frames if one.as_of < first.recorded_entry_at), key=lambda one: one.as_of)  # type: ignore[operator]
    kept = [event for event in day.record.events if not _of(event, lane)]
    return kept, decided


def _of(event: Event, lane: tuple[str, str]) -> bool:
    mine = getattr(event, "strategy_id", None) == lane[0]
    request = getattr(event, "request", None)
    symbol = getattr(event, "symbol", None) or getattr(request, "symbol", None)
    kind = type(event).__name__
    return mine and symbol == lane[1] and not kind.startswith(("Assignment", "Run"))


def test_a_frame_that_came_too_late_is_a_late_bar_and_silence_is_unexplained(
    quiet: RecordedDay, compared: Parity
) -> None:
    kept, frame = without_first_entry(quiet, compared)
    silent = parity(with_events(quiet, kept))
    assert Cause.UNEXPLAINED in causes(silent)
    assert (silent.unexplained_share or 0) > 0
    dropped = FrameDropped(at=frame.at, as_of=frame.as_of, expected=frame.as_of)
    late = parity(with_events(quiet, [*kept, dropped]))
    told = [one for one in late.differences if one.at > frame.as_of and one.cause is Cause.LATE_BAR]
    assert [one.what for one in told][:1] == ["entry not taken"]


def other_rules(whole: str) -> dict[str, object]:
    """The catalog with one strategy that says it is the same version and is not."""
    definition = catalog.get(whole)

    def signals(params: Params) -> Stages:
        *stages, flags = definition.signals(params)
        shifted = [
            (expr & (pl.col.i_pos % 2 == 0)).alias(name) if name == "entry_long" else expr
            for expr in flags
            for name in [expr.meta.output_name()]
        ]
        return (*stages, shifted)

    return {**catalog.catalog(), whole: changed(definition, signals=signals)}


def test_rules_that_changed_without_a_new_version_are_unexplained(quiet: RecordedDay) -> None:
    found = parity(quiet, other_rules("donchian"))  # type: ignore[arg-type]
    assert (found.unexplained_share or 0) > 0.01
    lost = {one.strategy_id for one in found.differences if one.cause is Cause.UNEXPLAINED}
    assert lost == {"donchian-x"}
    by = {one.strategy_id: one.unexplained_share for one in found.strategies}
    assert (by["donchian-x"] or 0) > 0
    assert not by["sma-cross-x"]


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({}, "is not in the catalog any more"),
        ({**catalog.catalog(), "donchian": changed(catalog.get("donchian"), version="9.0.0")}, "the catalog has 9.0.0"),
    ],
)
def test_an_instance_that_cannot_be_compared_is_named(quiet: RecordedDay, known: dict[str, object], said: str) -> None:
    found = parity(quiet, known)  # type: ignore[arg-type]
    assert said in found.left_out["donchian-x"]
    assert not found.exact
    assert "donchian-x" not in {one.strategy_id for one in found.pairs}


def quiet_at_the_end(data: SessionData, symbols: Sequence[str], silent: int) -> SessionData:
    """The same day as if `symbols` had not traded in its last boundaries."""
    keep = np.array([symbol not in symbols for symbol in data.universe.symbols])

    def without(frame: BarFrame) -> BarFrame:
        rows = keep[frame.index]
        values = {name: getattr(frame, name)[rows] for name in ("index", "open", "high", "low", "close", "volume")}
        return replace(frame, **values)

    last = data.regular_frames[-silent:]
    frames = tuple(without(frame) if frame in last else frame for frame in data.frames)
    return replace(data, frames=frames, spreads_bps=None)


@pytest.mark.parametrize("silent", [2, 60])
def test_a_symbol_that_stops_trading_leaves_at_its_last_print_or_is_held(
    closing: tuple[SessionData, list[str]], tmp_path: Path, silent: int
) -> None:
    whole, held = closing
    assert held
    day = equities(tmp_path, quiet_at_the_end(whole, held, silent))[0]
    found = parity(day)
    settles(found)
    assert found.unexplained_share == 0
    if silent == 2:
        assert causes(found) == set()
        assert any(one.recorded_exit.startswith("close") for one in found.pairs if one.symbol in held)


def test_a_session_cut_off_is_compared_as_far_as_it_went(quiet: RecordedDay) -> None:
    frames = [event.as_of for event in quiet.record.events if isinstance(event, FrameComputed)]
    middle = frames[len(frames) * 3 // 4]
    some = [event for event in quiet.record.events if event.at <= middle]
    cut = with_events(quiet, some)
    cut = replace(cut, bars=cut.bars.filter(pl.col("ts") < middle))
    found = parity(cut)
    assert not found.closed
    assert found.unexplained_share == 0
    assert any(pair.open for pair in found.pairs)


def test_nothing_to_compare_has_no_share(tmp_path: Path) -> None:
    day = equities(tmp_path, short_day(5))[0]
    found = parity(day)
    assert found.unexplained_share is None
    assert (found.pairs, found.expected_pnl, found.recorded_pnl) == ((), 0.0, 0.0)


def test_a_result_is_the_same_read_back(compared: Parity) -> None:
    assert msgspec.json.decode(msgspec.json.encode(compared), type=Parity) == compared
