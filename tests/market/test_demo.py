"""The made-up market: the same for a seed, legal by our own rules, and lively enough to exercise the platform."""

import os
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from qmworkbench.domain.instruments import instrument_for
from qmworkbench.market.calendars import NotASession
from qmworkbench.market.demo import MOST_SYMBOLS, demo_bars, demo_session, demo_symbols, wide_session
from qmworkbench.market.session import SessionData
from qmworkbench.trading.frames import Floats
from tests.market.bars_cases import same_frames

ROOT = Path(__file__).resolve().parents[2]
DAY = date(2024, 3, 8)
HALF_DAY = date(2024, 11, 29)


@pytest.fixture(scope="module")
def data() -> SessionData:
    return demo_session(DAY, 7)


def last_prices(data: SessionData) -> Floats:
    closes = np.full(len(data.universe), np.nan)
    for frame in data.regular_frames:
        closes[frame.index] = frame.close
    return closes


def test_a_seed_and_a_date_make_the_same_market_every_time(data: SessionData) -> None:
    again = demo_session(DAY, 7)
    assert same_frames(data, again)
    assert data.data_hash == again.data_hash
    assert data.source == "demo:7"


def test_the_market_of_a_seed_is_the_same_on_every_machine(data: SessionData) -> None:
    """A pinned hash: it changes only when the demo market is changed on purpose."""
    assert data.data_hash == "6fd16fe2bd08cf0e"


def test_threads_and_hash_seeds_change_nothing() -> None:
    """Another process, with one polars thread and another hash seed, reads shuffled bars to the same hash."""
    program = (
        "from datetime import date; from qmworkbench.market.bars import session_from_frame;"
        "from qmworkbench.market.demo import demo_bars, demo_symbols; day = date(2024, 3, 8);"
        "bars = demo_bars(day, 7, demo_symbols(40)).sample(fraction=1.0, shuffle=True, seed=1);"
        "print(session_from_frame(bars, day, history_days=5).data_hash)"
    )
    environment = os.environ | {"POLARS_MAX_THREADS": "1", "PYTHONHASHSEED": "12345"}
    told = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert told.stdout.strip() == demo_session(DAY, 7, symbols=40).data_hash


def test_other_seeds_and_dates_make_other_markets(data: SessionData) -> None:
    assert demo_session(DAY, 8).data_hash != data.data_hash
    assert not same_frames(demo_session(date(2024, 3, 7), 7), data)


def test_the_demo_is_legal_by_our_own_rules(data: SessionData) -> None:
    assert [finding.code for finding in data.findings] == ["contents"]
    assert data.quarantined.is_empty()
    assert len(data.universe) == 200
    assert len(data.boundaries) == 390
    assert data.reference.history_days == 5


def test_prices_are_whole_cents(data: SessionData) -> None:
    for name in ("open", "high", "low", "close"):
        cents = data.warmup[name].to_numpy() * 100
        assert np.abs(cents - np.rint(cents)).max() < 1e-6
    tick = Decimal("0.01")
    assert all(instrument.tick_at(Decimal("5")) == tick for instrument in data.instruments.values())


def test_tickers_cannot_be_listed_shares() -> None:
    names = demo_symbols(MOST_SYMBOLS)
    assert len(set(names)) == MOST_SYMBOLS
    assert all(len(name) == 6 and name.isalpha() and name.isupper() for name in names)
    assert all(instrument_for(name).calendar == "XNYS" for name in names)
    assert set(demo_symbols(20)) < set(demo_symbols(200))


@pytest.mark.parametrize("seed", range(6))
def test_some_symbols_run_on_volume(seed: int) -> None:
    """What the top-gainer scan looks for exists on every seed: a rise of 5 % on more than twice the usual volume."""
    data = demo_session(DAY, seed)
    change = last_prices(data) / data.reference.prev_close - 1
    volume = np.zeros(len(data.universe))
    for frame in data.regular_frames:
        volume[frame.index] += frame.volume
    assert data.reference.volume_profile is not None
    relative = volume / data.reference.volume_profile[-1]
    assert 3 <= int(((change > 0.05) & (relative > 2)).sum()) <= 20
    assert int((change < -0.05).sum()) >= 1
    assert np.median(np.abs(change)) < 0.05


def test_volume_is_u_shaped_and_minutes_are_missing(data: SessionData) -> None:
    totals = np.array([frame.volume.sum() for frame in data.regular_frames])
    assert totals[:30].mean() > 1.5 * totals[180:210].mean() < totals[-30:].mean()
    assert 0.9 * 200 * 390 < sum(len(frame) for frame in data.regular_frames) < 200 * 390


def test_a_half_day_is_short() -> None:
    assert len(demo_session(HALF_DAY, 1, symbols=5).boundaries) == 210


def test_history_and_prices_connect(data: SessionData) -> None:
    opens = np.full(len(data.universe), np.nan)
    for frame in reversed(data.regular_frames):
        opens[frame.index] = frame.open
    gap = opens / data.reference.prev_close - 1
    assert np.nanmax(np.abs(gap)) < 0.3
    assert np.nanmedian(np.abs(gap)) < 0.02


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(NotASession, match="Saturday"):
        demo_session(date(2024, 3, 9), 1)
    with pytest.raises(ValueError, match="seed is -1"):
        demo_session(DAY, -1)
    with pytest.raises(ValueError, match="symbols is 0"):
        demo_session(DAY, 1, symbols=0)
    with pytest.raises(ValueError, match=f"1 to {MOST_SYMBOLS}"):
        demo_session(DAY, 1, symbols=MOST_SYMBOLS + 1)
    with pytest.raises(ValueError, match="minutes 391"):
        wide_session(10, 391)


def test_a_wide_session_is_as_wide_and_as_long_as_asked() -> None:
    data = wide_session(1500, 30, seed=3)
    assert len(data.universe) == 1500
    traded = [len(frame) for frame in data.regular_frames]
    assert min(traded[:30]) > 1300
    assert set(traded[30:]) == {0}
    assert data.reference.history_days == 0
    assert wide_session(1500, 30, seed=3).data_hash == data.data_hash
    assert wide_session(50, 30, seed=3, history_days=1).reference.history_days == 1


def test_the_bars_themselves_are_in_the_schemas_order() -> None:
    bars = demo_bars(DAY, 1, demo_symbols(30))
    assert bars.equals(bars.sort("symbol", "ts"))
    assert bars.schema["ts"] == pl.Datetime("us", "UTC")
