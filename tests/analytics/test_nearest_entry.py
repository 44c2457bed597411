"""Where a strategy came nearest: the conditions read off its entry are exactly those that make it, and their numbers
are the bars' own."""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmworkbench.analytics.nearest_entry import NearestEntry, nearest_entry
from qmworkbench.strategies.bars import anchored, prepared, session_bars
from qmworkbench.strategies.catalog import catalog
from qmworkbench.strategies.definition import Program
from tests.strategies.bar_cases import DAY, equity_grid

MINUTE = timedelta(minutes=1)
GRID = equity_grid(DAY)
# Loose enough that walks of a hundred bars have entries of most of them.
LOOSE: dict[str, dict[str, Any]] = {
    "donchian": {"entry_bars": 10, "exit_bars": 5, "atr_bars": 5, "short": True},
    "opening-range": {"min_turnover": 0.0, "min_relative_volume": 0.5, "short": True, "range_bars": 5},
}


def program(name: str) -> Program:
    definition = catalog()[name]
    return definition.program(definition.parameters(LOOSE.get(name, {})))


def walk(seed: int, bars: int) -> pl.DataFrame:
    """A random walk on ticks, as its signals are computed from."""
    random = np.random.default_rng(seed)
    close = 20 + np.cumsum(random.integers(-12, 14, bars)) / 100
    opens = np.roll(close, 1)
    opens[0] = 20.0
    spread = random.integers(0, 6, bars) / 100
    raw = pl.DataFrame(
        {
            "symbol": ["A"] * bars,
            "ts": pl.Series([GRID.opens_at + n * MINUTE for n in range(bars)], dtype=pl.Datetime("us", "UTC")),
            "open": opens,
            "high": np.maximum(opens, close) + spread,
            "low": np.minimum(opens, close) - spread,
            "close": close,
            "volume": random.integers(1_000, 90_000, bars).astype(float),
        }
    )
    return prepared(anchored(session_bars(raw, [GRID], {"A": 0.01}), [GRID.session], None))


def nearest(made: Program, frame: pl.DataFrame, within: pl.Expr) -> NearestEntry | None:
    return nearest_entry(made, frame, within, pl.lit(MINUTE))


@settings(max_examples=12)
@given(st.integers(0, 10_000), st.sampled_from(sorted(catalog())), st.integers(30, 120))
def test_nothing_is_missing_exactly_where_the_strategy_would_enter(seed: int, name: str, bars: int) -> None:
    made, frame = program(name), walk(seed, bars)
    flags = made.with_signals(frame).select(pl.any_horizontal("entry_long", "entry_short")).to_series().fill_null(False)
    found = nearest(made, frame, pl.col("bar") >= 0)
    assert found is not None
    assert (found.missing == ()) == bool(flags.any())
    # And where no bar of those looked at enters, something is missing, with its numbers.
    quiet = [bar for bar, flag in zip(frame["bar"].to_list(), flags.to_list(), strict=True) if not flag]
    if quiet:
        calm = nearest(made, frame, pl.col("bar").is_in(quiet))
        assert calm is not None
        assert calm.missing
        assert len(calm.missing) <= calm.conditions
        assert all(missing.text for missing in calm.missing)


def test_the_missing_condition_is_told_with_both_of_its_numbers() -> None:
    frame = walk(3, 60).with_columns(pl.lit(20.0).alias(name) for name in ("open", "high", "low", "close"))
    found = nearest(program("donchian"), frame, pl.col("bar") == 40)
    assert found is not None
    assert (found.at, found.close) == (GRID.opens_at + 41 * MINUTE, 20.0)
    assert [missing.text for missing in found.missing] == ["close (20) is not above prior high 10 (20)"]
    assert found.missing[0].gap == 0.0
    assert found.sentence() == (
        f"{found.conditions - 1} of {found.conditions} conditions of its long entry held, missing: close (20) is not "
        "above prior high 10 (20)"
    )


def test_what_is_not_known_yet_is_told_as_unknown_and_without_bars_there_is_no_answer() -> None:
    frame = walk(3, 60)
    found = nearest(program("donchian"), frame, pl.col("bar") == 2)
    assert found is not None
    assert any("unknown" in missing.text for missing in found.missing)
    assert nearest(program("donchian"), frame, pl.lit(False)) is None


@pytest.mark.parametrize("name", sorted(catalog()))
def test_every_strategy_of_the_catalog_can_be_read(name: str) -> None:
    found = nearest(program(name), walk(11, 40), pl.col("bar") >= 20)
    assert found is not None
    assert found.conditions >= 2
    assert "…" not in found.sentence()
