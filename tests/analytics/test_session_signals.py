"""The four signals of a running session: when each speaks, when it says that it cannot, and what it forgets."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.analytics.session_record import record_of
from qmworkbench.analytics.session_signals import STRATEGY, SYMBOL, SessionSignals, exposure
from qmworkbench.analytics.signal_readings import CODES, Reading, changed, foremost, readings, robust
from qmworkbench.analytics.signal_settings import SignalSettings
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.analytics import AnalyticsObserved
from qmworkbench.domain.events.market import FrameComputed
from qmworkbench.domain.events.orders import CancelRequested
from qmworkbench.domain.numbers import ZERO
from qmworkbench.domain.orders import Leg, OrdStatus
from qmworkbench.service.analytics_watch import AnalyticsWatch
from qmworkbench.trading.fold import apply, fold
from qmworkbench.trading.state import State
from tests.analytics.frames import OPEN
from tests.analytics.session_events import (
    ORB,
    denied,
    ended,
    exit_wanted,
    fill,
    intended,
    marked,
    opened,
    trade,
)  # fmt: skip
from tests.analytics.test_round_trips import day, events_of


def seen(events: Iterable[Event | list[Event]], instances: Sequence[str] = (ORB,), **limits: Any) -> SessionSignals:
    made = SessionSignals(SignalSettings(**limits))
    made.take([opened(*instances)])
    for event in events:
        made.take(event if isinstance(event, list) else [event])
    return made


def read(session: SessionSignals, code: str, subject: str, held: Sequence[tuple[str, str, int]] = ()) -> Reading:
    gross = exposure((by, symbol, ZERO + cost) for by, symbol, cost in held)
    found = [r for r in readings(session, gross, len(held)) if (r.code, r.subject) == (code, subject)]
    assert len(found) == 1
    return found[0]


# --- unusual slippage ---------------------------------------------------------------------------------------------


def test_slippage_says_nothing_before_it_has_enough_fills() -> None:
    reading = read(seen([fill("10", "90")] * 3), "unusual_slippage", "OPK")
    assert (reading.state, reading.sample, reading.needed, reading.value) == ("few", 3, 4, 90.0)


def test_slippage_beyond_the_absolute_bound_speaks_once_there_are_enough() -> None:
    reading = read(seen([fill("10", "26")] * 4), "unusual_slippage", "OPK")
    assert (reading.state, reading.value, reading.threshold) == ("active", 26.0, 25.0)


def test_one_bad_fill_does_not_move_the_median() -> None:
    reading = read(seen([fill("10", bps) for bps in ("2", "3", "900", "2")]), "unusual_slippage", "OPK")
    assert (reading.state, reading.value) == ("quiet", 2.5)


def test_what_is_usual_for_a_symbol_is_not_unusual_for_it() -> None:
    always = [fill("3", bps) for bps in ("30", "34", "38", "42") * 3]
    session = seen([*always, *[fill("3", "36")] * 4])
    own = read(session, "unusual_slippage", "OPK")
    assert own.threshold == pytest.approx(36 + 3 * 1.4826 * 4)
    assert own.state == "quiet"
    assert "its own earlier 12 fills" in own.text
    assert read(seen([*always, *[fill("3", "90")] * 4]), "unusual_slippage", "OPK").state == "active"


def test_a_newcomer_is_held_against_everybody_else() -> None:
    others = [fill("50", "40", symbol="GPS", by="vwap-1")] * 12
    reading = read(seen([*others, *[fill("3", "39")] * 4]), "unusual_slippage", "OPK")
    assert (reading.state, reading.threshold) == ("quiet", 40.0)
    assert "everybody else's 12 fills" in reading.text


def test_a_stop_that_trailed_says_nothing_of_slippage() -> None:
    events: list[Event] = [intended("o", trail_bps=50)]
    events += [fill("11", "-2000", order="o-stop", held=0)] * 9
    assert SYMBOL not in {kind for kind, _ in seen(events).slips}
    assert seen([intended("o"), *[fill("9", "8", order="o-stop", held=0)] * 2]).slips[SYMBOL, "OPK"] == [8.0, 8.0]


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40))
def test_the_usual_is_a_value_among_values_and_its_spread_is_no_distance_to_an_outlier(values: list[float]) -> None:
    middle, spread = robust(values)
    assert min(values) <= middle <= max(values)
    assert 0 <= spread <= 1.4826 * (max(values) - min(values))
    assert robust([*values, *values, 1e9])[0] <= max(values)


# --- repeated failed entries ----------------------------------------------------------------------------------------


def failing(kind: str, name: str) -> list[Event]:
    if kind == "denied":
        return denied(name, "buying_power")
    if kind == "stopped out at once":
        return [intended(name), trade("-90", leg=Leg.STOP, bars=2, signal=f"s-{name}")]
    return [intended(name), ended(name, OrdStatus.REJECTED if kind == "rejected" else OrdStatus.EXPIRED)]


@pytest.mark.parametrize("kind", ["denied", "rejected", "unfilled", "stopped out at once"])
def test_three_of_five_entries_that_failed_speak_of_symbol_and_instance(kind: str) -> None:
    good = [intended("a"), ended("a", OrdStatus.FILLED, 100)]
    events = [*good, *(failing(kind, str(n)) for n in range(3))]
    for subject in ("OPK", ORB):
        reading = read(seen(events), "repeated_failed_entries", subject)
        assert (reading.state, reading.value, reading.sample) == ("active", 3, 4)
        assert reading.text == f"3 of the last 4 entries of {subject} failed: 3 {kind}"


def test_old_failures_are_forgotten() -> None:
    events = [*(failing("denied", str(n)) for n in range(3)), *(intended(f"g{n}") for n in range(3))]
    assert read(seen(events), "repeated_failed_entries", "OPK").value == 2


@pytest.mark.parametrize(
    "not_its_own",
    [
        denied("x", "max_trades_per_day", "trading_state"),
        [intended("x"), trade("-90", leg=Leg.STOP, bars=3, signal="s-x")],
        [intended("x"), trade("-90", leg=Leg.EXIT, bars=1, signal="s-x")],
        [intended("x"), ended("x", OrdStatus.CANCELED, 40)],
    ],
)
def test_what_the_whole_book_forbids_and_what_was_held_a_while_is_no_failed_entry(not_its_own: list[Event]) -> None:
    found = [r for r in readings(seen([not_its_own] * 5), {}, 0) if r.code == "repeated_failed_entries"]
    assert all(reading.value == 0 for reading in found)


def test_an_entry_we_called_off_did_not_fail() -> None:
    off = [intended("x"), CancelRequested(at=OPEN, cl_ord_id="x", reason="halt"), ended("x", OrdStatus.CANCELED)]
    assert read(seen([off]), "repeated_failed_entries", "OPK").value == 0


# --- systematic late exits ------------------------------------------------------------------------------------------


def leaving(kind: str) -> list[Event]:
    """One round trip of 100 at 10 with its stop at 9: 1 R are 100."""
    into = fill("10", "1")
    if kind == "slow":
        return [into, exit_wanted(2), fill("10", "1", held=0), trade("5", after_min=5)]
    if kind == "worse":
        return [into, fill("8.9", "111", held=0, realized="-110"), trade("-110", leg=Leg.STOP)]
    if kind == "gave back":
        return [into, marked("OPK", "12"), fill("10.4", "1", held=0, realized="40"), trade("40", leg=Leg.STOP)]
    return [into, exit_wanted(4), fill("11", "1", held=0, realized="100"), trade("100", after_min=5)]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("slow", "3 more than 2 boundaries after the decision"),
        ("worse", "3 more than 25 bps worse than decided"),
        ("gave back", "3 after giving back 75 % of their best"),
    ],
)
def test_half_of_the_trades_left_late_speak_of_the_instance(kind: str, said: str) -> None:
    few = read(seen([leaving(kind)] * 3), "systematic_late_exits", ORB)
    assert (few.state, few.value) == ("few", 100.0)
    reading = read(seen([leaving("in time")] * 3 + [leaving(kind)] * 3), "systematic_late_exits", ORB)
    assert (reading.state, reading.value, reading.sample) == ("active", 50.0, 6)
    assert reading.text == f"3 of the last 6 trades of {ORB} were left late: {said}"


def test_a_trade_that_kept_half_of_its_best_or_never_had_a_full_r_gave_nothing_back() -> None:
    kept = [fill("10", "1"), marked("OPK", "12"), fill("11", "1", held=0, realized="100"), trade("100", leg=Leg.STOP)]
    small = [fill("10", "1"), marked("OPK", "10.9"), fill("10", "1", held=0), trade("0", leg=Leg.STOP)]
    no_stop = [fill("10", "1"), marked("OPK", "12"), fill("10", "1", held=0), trade("0", leg=Leg.EXIT, stop=None)]
    reading = read(seen([kept, small, no_stop] * 2), "systematic_late_exits", ORB)
    assert (reading.state, reading.value) == ("quiet", 0.0)


# --- unusual concentration ------------------------------------------------------------------------------------------


def test_one_position_is_all_of_the_exposure_and_says_nothing() -> None:
    reading = read(seen([]), "unusual_concentration", "OPK", held=[(ORB, "OPK", 1000)])
    assert (reading.state, reading.value, reading.needed) == ("few", 100.0, 4)


def test_a_symbol_with_half_of_the_exposure_speaks() -> None:
    held = [(ORB, "OPK", 600), (ORB, "A", 200), (ORB, "B", 200), (ORB, "C", -200)]
    reading = read(seen([]), "unusual_concentration", "OPK", held=held)
    assert (reading.state, reading.value) == ("active", 50.0)
    assert reading.text == "OPK has 50 % of gross exposure (4 open positions)"


def test_trades_and_their_pnl_count_once_there_are_ten() -> None:
    trades = [trade("1", symbol=f"S{n}") for n in range(5)] + [trade("1")] * 4
    assert read(seen(trades), "unusual_concentration", "OPK").state == "few"
    most = read(seen([*trades, trade("1")]), "unusual_concentration", "OPK")
    assert (most.state, most.text) == ("active", "OPK has 50 % of the closed trades (10 trades)")
    moved = read(seen([*trades, trade("-11", symbol="S0")]), "unusual_concentration", "S0")
    assert moved.text == "S0 has 56 % of the P&L that trades moved (10 trades)"


def test_instances_are_compared_where_there_are_enough_of_them() -> None:
    trades = [trade("1", symbol=f"S{n}") for n in range(12)]
    assert all(r.subject != ORB for r in readings(seen(trades, (ORB, "vwap-1")), {}, 0) if "concentr" in r.code)
    assert read(seen(trades, (ORB, "vwap-1", "hod-1")), "unusual_concentration", ORB).state == "active"


# --- what stands, and what is told ----------------------------------------------------------------------------------


def test_a_signal_stands_until_it_has_fallen_clearly_below_its_threshold() -> None:
    session = seen([fill("10", "26")] * 4)
    told = changed(readings(session, {}, 0), session.told)
    assert {(signal.code, signal.subject, signal.active) for signal in told} == {
        ("unusual_slippage", "OPK", True),
        ("unusual_slippage", ORB, True),
    }
    session.take([AnalyticsObserved(at=OPEN, signals=told)])
    assert changed(readings(session, {}, 0), session.told) == ()
    session.take([fill("10", "21")] * 4)
    assert changed(readings(session, {}, 0), session.told) == (), "21 is below 25, and not yet below 20"
    session.take([fill("10", "19")] * 4)
    over = changed(readings(session, {}, 0), session.told)
    assert [(signal.subject, signal.active) for signal in over] == [("OPK", False), (ORB, False)]
    again = seen([fill("10", "21")] * 4)
    assert not any(r.active for r in readings(again, {}, 0)), "and 21 alone never made it speak"


def test_what_cannot_be_judged_any_more_no_longer_stands() -> None:
    held = exposure([(ORB, "OPK", ZERO + 900)] + [(ORB, name, ZERO + 100) for name in "ABC"])
    session = seen([])
    session.take([AnalyticsObserved(at=OPEN, signals=changed(readings(session, held, 4), session.told))])
    assert session.told[("unusual_concentration", "OPK")]
    gone = changed(readings(session, {}, 0), session.told)
    assert [(signal.subject, signal.active) for signal in gone] == [("OPK", False)]


def test_without_what_has_too_few_observations_the_rest_is_the_same() -> None:
    held = exposure([(ORB, "OPK", ZERO + 900)] + [(ORB, name, ZERO + 100) for name in "ABC"])
    session = seen([*[fill("10", "26")] * 4, *[fill("10", "30", symbol="B", by="x")] * 2, trade("1")])
    found, enough = readings(session, held, 4), readings(session, held, 4, few=False)
    assert enough == [reading for reading in found if reading.state != "few"]
    assert 0 < len(enough) < len(found)
    assert changed(enough, session.told) == changed(found, session.told)
    session.take([AnalyticsObserved(at=OPEN, signals=changed(found, session.told))])
    over, told = readings(session, {}, 0, few=False), readings(session, {}, 0)
    assert changed(over, session.told) == changed(told, session.told) != ()


def test_a_screen_shows_all_that_speak_and_else_the_nearest() -> None:
    loud = [fill("10", "90", symbol=name) for name in "AB" for _ in range(4)]
    shown = foremost(readings(seen([*loud, *[fill("10", "1", symbol="C", by="x")] * 4, trade("1")]), {}, 0))
    assert [(r.code, r.subject, r.state) for r in shown if r.code == "unusual_slippage"] == [
        ("unusual_slippage", "A", "active"),
        ("unusual_slippage", "B", "active"),
        ("unusual_slippage", ORB, "active"),
    ]
    assert [r.state for r in shown if r.code != "unusual_slippage"] == ["few", "few"]
    assert set(CODES) > {r.code for r in shown}


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"slippage_bps": 0}, r"analytics.slippage_bps = 0 makes no sense: give a number from 0.1 to 10000"),
        ({"observe_every": 0}, "observe_every"),
        ({"failed_entries": 6}, r"failed_entries = 6 is more than failed_entries_of = 5"),
        ({"late_exits_of": 4}, r"late_exits_least = 5 is more than late_exits_of = 4"),
    ],
)
def test_settings_without_sense_are_refused_by_name(given_: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SignalSettings(**given_)


# --- on any day -----------------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.data())
def test_folding_in_pieces_is_folding_at_once_and_the_books_agree(seed: int, data: st.DataObject) -> None:
    events = events_of(day(seed))
    whole, pieces = SessionSignals(), SessionSignals()
    whole.take(events)
    cut = data.draw(st.integers(0, len(events)))
    pieces.take(events[:cut])
    for event in events[cut:]:
        pieces.take([event])
    state = fold(events)
    assert readings(whole, {}, 0) == readings(pieces, {}, 0)
    assert whole.trades == state.day.trades == sum(n for (kind, _), n in whole.closed.items() if kind == STRATEGY)
    assert [bps for *_, bps in whole.every_slip] == record_of(events)["fills"]["slippage_bps"].drop_nulls().to_list()
    assert whole._held == {}


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.data())
def test_a_process_that_takes_over_anywhere_tells_what_the_first_would_have_told(
    seed: int, data: st.DataObject
) -> None:
    limits = SignalSettings(slippage_bps=0.1, slippage_fills=2, failed_entries=1, late_exits_least=2, observe_every=2)
    events = events_of(day(seed))

    def lived(record: list[Event], rest: Sequence[Event]) -> list[Event]:
        watch, state, kept = AnalyticsWatch(limits), State(), list(record)
        for event in record:
            watch.take([event])
            apply(state, event)
        for event in rest:
            watch.take([event])
            apply(state, event)
            kept.append(event)
            news = watch.observe(state, state.day.boundary) if isinstance(event, FrameComputed) else None
            if news is not None:
                watch.take([news])
                kept.append(news)
        return kept

    whole = lived([], events)
    cut = data.draw(st.integers(0, len(whole)))
    left = [event for event in whole[cut:] if not isinstance(event, AnalyticsObserved)]
    resumed = lived(whole[:cut], left)

    def told(record: list[Event]) -> dict[tuple[str, str], bool]:
        return {(s.code, s.subject): s.active for e in record if isinstance(e, AnalyticsObserved) for s in e.signals}

    # An observation that fell into the cut is made up for at the next fixed boundary.
    if cut == len(whole) or not isinstance(whole[cut], AnalyticsObserved):
        assert resumed == whole
    else:
        assert told(resumed) == told(whole)
