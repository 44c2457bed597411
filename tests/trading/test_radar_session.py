"""A session measured at once gives the bits of the radar that goes boundary by boundary, and goes on as that one."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.trading.frames import Reference, Universe
from qmworkbench.trading.radar import Radar, RadarSnapshot
from qmworkbench.trading.radar_session import SessionRadar
from tests.trading.radar_cases import OPEN, Bar, Session, flat, frame, sessions

FIELDS = ("boundary", "extended", "minutes_from_open", "minutes_to_close", "as_of", "content_hash")


def known(session: Session) -> SessionRadar:
    return SessionRadar(
        session.universe, session.reference, session.regular_boundaries, session_open=OPEN, frames=session.frames
    )


def whole(session: Session) -> Session:
    """The session with every boundary's frame up to its last, without quotes or extended hours."""
    at = {(f.as_of - OPEN).seconds // 60: f for f in session.frames if not f.extended}
    frames = [at.get(k) or frame(k, {}) for k in range(1, max(at, default=0) + 1)]
    return Session(session.universe, session.reference, session.regular_boundaries, frames, [None] * len(frames))


def alike(one: RadarSnapshot, other: RadarSnapshot) -> None:
    assert one.values.tobytes() == other.values.tobytes()
    assert one.order.tolist() == other.order.tolist()
    assert [getattr(one, name) for name in FIELDS] == [getattr(other, name) for name in FIELDS]
    assert not any(array.flags.writeable for array in (one.values, one.last, one.order))


@given(sessions().map(whole))
def test_measured_at_once_it_is_the_same_bit_for_bit(session: Session) -> None:
    radar = known(session)
    with np.errstate(all="raise"):
        measured = [radar.advance(f) for f in session.frames]
    assert radar._boundary == 0, "nothing was measured twice"
    for one, other in zip(measured, session.snapshots(), strict=True):
        alike(one, other)


@given(st.integers(2, 12), st.integers(1, 40), st.randoms(use_true_random=False))
def test_a_market_in_which_everybody_trades_is_the_same_bit_for_bit(n: int, boundaries: int, random) -> None:  # type: ignore[no-untyped-def]
    def bar() -> Bar:
        low, high = sorted((random.uniform(0.5, 200.0), random.uniform(0.5, 200.0)))
        return (random.uniform(low, high), high, low, random.uniform(low, high), float(random.randrange(1, 9_000)))

    universe = Universe([f"S{i:02}" for i in range(n)])
    reference = Reference(np.array([random.uniform(0.5, 200.0) for _ in range(n)]), None, 5)
    frames = [frame(k, {i: bar() for i in range(n)}) for k in range(1, boundaries + 1)]
    session = Session(universe, reference, boundaries, frames, [None] * boundaries)
    radar = known(session)
    for one, other in zip([radar.advance(f) for f in frames], session.snapshots(), strict=True):
        alike(one, other)


@given(sessions())
def test_sessions_with_gaps_quotes_or_extended_hours_are_measured_as_they_come(session: Session) -> None:
    radar = known(session)
    measured = [radar.advance(f, spread) for f, spread in zip(session.frames, session.spreads, strict=True)]
    for one, other in zip(measured, session.snapshots(), strict=True):
        alike(one, other)


@given(sessions().map(whole), st.data())
def test_another_frame_than_the_known_one_is_measured_as_it_comes(session: Session, data: st.DataObject) -> None:
    if not session.frames:
        return
    turn = data.draw(st.integers(0, len(session.frames) - 1))
    frames = [replace(f) if k == turn else f for k, f in enumerate(session.frames)]
    radar = known(session)
    for one, other in zip([radar.advance(f) for f in frames], session.snapshots(), strict=True):
        alike(one, other)


def test_nothing_of_a_later_boundary_is_in_an_earlier_one() -> None:
    universe = Universe(["AAA", "BBB"])
    early = [frame(k, {0: flat(10.0 + k), 1: flat(20.0)}) for k in range(1, 6)]
    late = [frame(6, {0: flat(1000.0), 1: flat(1.0)})]
    short = Session(universe, Reference.unknown(universe), 6, early, [None] * 5)
    long = Session(universe, Reference.unknown(universe), 6, early + late, [None] * 6)
    first, second = known(short), known(long)
    for one in early:
        alike(first.advance(one), second.advance(one))


def test_a_frame_that_cannot_be_is_refused_as_the_radar_refuses_it() -> None:
    universe = Universe(["AAA"])
    session = Session(universe, Reference.unknown(universe), 2, [frame(1, {0: flat(float("nan"))})], [None])
    told = []
    for radar in (known(session), Radar(universe, session.reference, 2, session_open=OPEN)):
        try:
            radar.advance(session.frames[0])
        except ValueError as error:
            told.append(str(error))
    assert len(told) == 2
    assert told[0] == told[1]
