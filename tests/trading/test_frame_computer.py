"""Between bars and decisions: what is asked, what is answered, and that both ways of signals agree."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from qmworkbench.domain.events.market import FeedChanged, FeedState, SignalRow
from qmworkbench.domain.instruments import AssetClass, forex_pair, us_equity
from qmworkbench.domain.sessions import TradingState
from qmworkbench.market.bars import load_session
from qmworkbench.market.demo import demo_session
from qmworkbench.market.session import SessionData
from qmworkbench.service.frames import period_signals, raw_bars, signal_source
from qmworkbench.service.ground import ground_of
from qmworkbench.service.runs import default_runs
from qmworkbench.strategies.batch import RunFault, SignalBatch
from qmworkbench.strategies.one_pass import SessionSignals
from qmworkbench.strategies.period import PeriodSignals
from qmworkbench.trading.fold import apply
from qmworkbench.trading.frame_computer import BEFORE_OPEN, Computed, FrameComputer, FrameRequest, request_for
from qmworkbench.trading.frames import BarFrame, Reference, Universe
from qmworkbench.trading.radar import Radar
from qmworkbench.trading.scanner import ScanConditions, ScanSettings
from qmworkbench.trading.state import position_key
from tests.trading.radar_cases import MINUTE, OPEN, flat, frame
from tests.trading.world import World

EVERYONE = ScanSettings(mode="all", min_bars=1, window_open_min=0, window_close_min=0)


@dataclass
class ScriptedSignals:
    """Says what it was told to, and keeps what it was asked."""

    rows: list[SignalRow] = field(default_factory=list)
    faults: tuple[RunFault, ...] = ()
    appended: list[BarFrame] = field(default_factory=list)
    asked: list[list[tuple[str, Sequence[str]]]] = field(default_factory=list)

    def append(self, taken: BarFrame) -> None:
        self.appended.append(taken)

    def signals(self, owned: Sequence[tuple[str, Sequence[str]]]) -> SignalBatch:
        self.asked.append(list(owned))
        batch = SignalBatch(as_of=OPEN, ts=OPEN, runs=(), faults=self.faults, features=())
        object.__setattr__(batch, "rows", lambda exposed: tuple(row for row in self.rows if _matters(row, exposed)))
        return batch


def _matters(row: SignalRow, exposed: Container[str]) -> bool:
    return row.entry_long or row.entry_short or position_key(row.strategy_id, row.symbol) in exposed


def computer(
    symbols: Sequence[str] = ("AAA", "BBB", "CCC"),
    signals: ScriptedSignals | None = None,
    settings: ScanSettings = EVERYONE,
) -> FrameComputer:
    universe = Universe(symbols)
    instruments = {s: forex_pair(s) if len(s) == 6 else us_equity(s) for s in symbols}
    radar = Radar(universe, Reference.unknown(universe), 10, session_open=OPEN)
    return FrameComputer(universe, instruments, radar, settings, signals or ScriptedSignals())


def wanting(
    owned: tuple[tuple[str, str], ...] = (),
    exposed: frozenset[str] = frozenset(),
    marked: tuple[str, ...] = (),
    conditions: ScanConditions | None = None,
) -> FrameRequest:
    return FrameRequest(owned=owned, exposed=exposed, marked=marked, conditions=conditions or ScanConditions())


def row(symbol: str, strategy_id: str = "s", **flags: bool) -> SignalRow:
    return SignalRow(strategy_id=strategy_id, symbol=symbol, close=Decimal(10), **flags)


def test_the_answer_names_the_bars_and_the_radar_it_was_made_from() -> None:
    made = computer()
    bars = frame(1, {0: flat(10), 2: flat(20)})
    computed = made.compute(bars, wanting())
    assert computed.answer.as_of == bars.as_of
    assert computed.answer.frame_hash == bars.content_hash
    assert computed.answer.radar_hash == computed.radar.content_hash
    assert {candidate.symbol for candidate in computed.answer.candidates} == {"AAA", "CCC"}
    assert made.radar_snapshot is computed.radar


def test_before_the_open_the_radar_learns_and_nobody_is_asked() -> None:
    signals = ScriptedSignals(rows=[row("AAA", entry_long=True)])
    computed = computer(signals=signals).compute(
        frame(0, {0: flat(10)}, extended=True), wanting(owned=(("s", "AAA"),), marked=("AAA",))
    )
    answer = computed.answer
    assert (answer.silenced, answer.candidates, answer.signals) == (BEFORE_OPEN, (), ())
    assert [mark.px for mark in answer.marks] == [Decimal(10)]
    assert signals.asked == []
    assert computed.radar.last[0] == 10


def test_marks_are_dated_when_they_printed_and_missing_where_nothing_did() -> None:
    made = computer()
    made.compute(frame(1, {0: flat(10.5), 1: flat(7)}), wanting())
    answer = made.compute(frame(2, {1: flat(8)}), wanting(marked=("AAA", "BBB", "CCC", "ZZZ"))).answer
    assert [(mark.symbol, mark.px, mark.at) for mark in answer.marks] == [
        ("AAA", Decimal("10.5"), OPEN + MINUTE),
        ("BBB", Decimal(8), OPEN + 2 * MINUTE),
    ]


def test_every_pair_is_marked_because_rates_are_made_of_them() -> None:
    answer = computer(("EURUSD", "USDJPY")).compute(frame(1, {0: flat(1.2), 1: flat(110)}), wanting()).answer
    assert [mark.symbol for mark in answer.marks] == ["EURUSD", "USDJPY"]


def test_a_call_to_leave_is_passed_on_only_where_something_is_held_or_worked() -> None:
    signals = ScriptedSignals(
        rows=[row("AAA", exit_long=True), row("BBB", exit_long=True), row("CCC", entry_long=True, exit_short=True)]
    )
    request = wanting(owned=(("s", "AAA"), ("s", "BBB"), ("s", "CCC")), exposed=frozenset({position_key("s", "BBB")}))
    answer = computer(signals=signals).compute(frame(1, {0: flat(1)}), request).answer
    assert [signal.symbol for signal in answer.signals] == ["BBB", "CCC"]


def test_symbols_are_asked_for_by_instance_and_strangers_left_out() -> None:
    signals = ScriptedSignals()
    request = wanting(owned=(("a", "AAA"), ("a", "NOTHERE"), ("b", "BBB"), ("b", "CCC")))
    computer(signals=signals).compute(frame(1, {0: flat(1)}), request)
    assert signals.asked == [[("a", ("AAA",)), ("b", ("BBB", "CCC"))]]
    computer(signals=signals).compute(frame(1, {0: flat(1)}), wanting())
    assert len(signals.asked) == 1, "nobody owns anything, nobody is asked"


def test_a_broken_contract_is_told_and_takes_no_other_down() -> None:
    fault = RunFault("bad", "donchian", "returned 3 rows for 4 bars")
    signals = ScriptedSignals(rows=[row("AAA", "good", entry_long=True)], faults=(fault,))
    computed = computer(signals=signals).compute(
        frame(1, {0: flat(1)}), wanting(owned=(("bad", "BBB"), ("good", "AAA")))
    )
    assert computed.faults == (("bad", "returned 3 rows for 4 bars"),)
    assert [signal.strategy_id for signal in computed.answer.signals] == ["good"]


def test_a_closed_gate_silences_the_scan_and_says_why() -> None:
    conditions = ScanConditions(entries_open=False, entries_reason="lunch", feed_ok=False, feed_reason="stale")
    answer = computer().compute(frame(1, {0: flat(1)}), wanting(conditions=conditions)).answer
    assert answer.candidates == ()
    assert "lunch" in answer.silenced
    assert "stale" in answer.silenced


def test_frames_are_taken_once_and_in_order() -> None:
    made = computer()
    made.compute(frame(2, {0: flat(1)}), wanting())
    for earlier in (1, 2):
        with pytest.raises(ValueError, match="in order"):
            made.compute(frame(earlier, {0: flat(1)}), wanting())


# --- what is asked for ----------------------------------------------------------------------------------------------


def test_a_request_holds_what_is_owned_held_worked_and_watched() -> None:
    world = World(seed=3)
    world.open()
    for number in range(1, 12):
        world.boundary(number)
    state = world.state
    request = request_for(state)
    held = {(position.strategy_id, position.symbol) for position in state.positions.values()}
    owned = {(assignment.strategy_id, assignment.symbol) for assignment in state.day.assignments.values()}
    assert set(request.owned) == held | owned
    assert list(request.owned) == sorted(request.owned)
    assert set(state.positions) <= request.exposed
    assert {order.symbol for order in state.working()} <= set(request.marked)
    assert request.conditions.entries_open


def test_a_request_closes_the_gates_a_person_or_the_feed_has_closed() -> None:
    world = World(seed=3)
    world.open()
    world.boundary(1)
    state = world.state
    apply(state, FeedChanged(at=state.clock(), state=FeedState.STALE, detail="no bars"))
    assert request_for(state).conditions.feed_reason == "stale: no bars"
    state.halt.state, state.halt.reason = TradingState.REDUCING, "lunch"
    conditions = request_for(state).conditions
    assert not conditions.entries_open
    assert "lunch" in conditions.entries_reason
    for run in state.day.runs.values():
        run.ended = True
    assert request_for(state).owned == ()


# --- incremental and in one pass ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def session() -> SessionData:
    return demo_session(date(2024, 3, 8), 11, 25)


def whole_day(
    data: SessionData, *, one_pass: bool, owned_from: int = 0, period: PeriodSignals | None = None
) -> list[Computed]:
    ground, runs = ground_of(data), default_runs(next(iter(data.instruments.values())).asset_class)
    bars = raw_bars(data) if one_pass else None
    signals = signal_source(ground, data.instruments, runs, bars, period)
    made = FrameComputer(data.universe, data.instruments, ground.radar(), ScanSettings(), signals)
    everything = tuple(sorted((run.strategy_id, symbol) for run in runs for symbol in data.universe.symbols))
    exposed = frozenset(position_key(*pair) for pair in everything)
    found = []
    for number, taken in enumerate(data.frames):
        owned = everything if number >= owned_from else ()
        found.append(made.compute(taken, wanting(owned=owned, exposed=exposed, marked=data.universe.symbols)))
    return found


def test_incremental_and_one_pass_give_the_same_answers_bit_for_bit(session: SessionData) -> None:
    incremental, one_pass = whole_day(session, one_pass=False), whole_day(session, one_pass=True)
    assert [computed.answer for computed in incremental] == [computed.answer for computed in one_pass]
    said = [signal for computed in incremental for signal in computed.answer.signals]
    assert any(signal.entry_long for signal in said), "a day on which nothing was said would prove nothing"


def test_sessions_of_a_period_give_the_same_answers_and_other_runs_or_history_are_computed_by_themselves(
    shared_data: Path,
) -> None:
    file = shared_data / "forex_hourly_9pairs_2015_2018.parquet"
    sessions = [load_session(file, day) for day in (date(2016, 6, 23), date(2016, 6, 24))]
    runs = default_runs(AssetClass.FOREX)
    period = period_signals(runs, sessions)
    for data in sessions:
        alone, together = whole_day(data, one_pass=True), whole_day(data, one_pass=True, period=period)
        assert [computed.answer for computed in alone] == [computed.answer for computed in together]
    ground, instruments = ground_of(data), data.instruments
    assert not isinstance(signal_source(ground, instruments, runs, raw_bars(data), period), SessionSignals)
    assert isinstance(signal_source(ground, instruments, runs[1:], raw_bars(data), period), SessionSignals)
    split = replace(ground, warmup=ground.warmup.with_columns(pl.col("close") * 2))
    assert isinstance(signal_source(split, instruments, runs, raw_bars(data), period), SessionSignals)


def test_what_is_said_does_not_depend_on_since_when_a_symbol_is_owned(session: SessionData) -> None:
    early, late = whole_day(session, one_pass=False), whole_day(session, one_pass=False, owned_from=200)
    assert [c.answer for c in early[200:]] == [c.answer for c in late[200:]]


def test_catching_up_leaves_the_computer_where_computing_would_have(session: SessionData) -> None:
    ground, runs = ground_of(session), default_runs(session.instruments[session.universe.symbols[0]].asset_class)

    def fresh() -> FrameComputer:
        signals = signal_source(ground, session.instruments, runs)
        return FrameComputer(session.universe, session.instruments, ground.radar(), ScanSettings(), signals)

    computed, caught_up = fresh(), fresh()
    request = wanting(owned=tuple((runs[0].strategy_id, s) for s in session.universe.symbols))
    for taken in session.frames[:90]:
        computed.compute(taken, request)
        caught_up.take(taken)
    last = session.frames[90]
    assert computed.compute(last, request).answer == caught_up.compute(last, request).answer
    assert np.array_equal(computed.radar_snapshot.values, caught_up.radar_snapshot.values, equal_nan=True)  # type: ignore[union-attr]
    assert last.as_of - session.frames[89].as_of == timedelta(minutes=1)
