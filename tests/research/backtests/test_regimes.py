"""The market a session began in is told by what was known before it."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from qmworkbench.research.backtests.regimes import CALM, DOWN, LIVELY, UNKNOWN, UP, Windows, equal_weight, regimes


def closes(values: list[float]) -> pl.DataFrame:
    return pl.DataFrame(
        {"session": [date(2020, 1, 1) + timedelta(days=k) for k in range(len(values))], "close": values}
    )


def test_a_rise_and_a_fall() -> None:
    told = regimes(closes([10, 11, 12, 13, 12, 11, 10, 9]), Windows(3, 2))
    assert told["trend"].to_list() == [UNKNOWN] * 3 + [UP, UP, DOWN, DOWN, DOWN]


def test_liveliness_is_measured_by_what_was_usual_until_then() -> None:
    quiet = [100 * 1.001**k if k % 2 else 100 * 1.0012**k for k in range(10)]
    wild = [quiet[-1] * (1 + 0.05 * (-1) ** k) for k in range(4)]
    told = regimes(closes([*quiet, *wild]), Windows(3, 3))["volatility"].to_list()
    assert told[:5] == [UNKNOWN] * 5
    assert told[10] in (CALM, LIVELY)
    assert told[11:] == [LIVELY] * 3


def test_the_future_moves_no_regime() -> None:
    walk = (100 + np.cumsum(np.random.default_rng(3).normal(0, 1, 200))).tolist()
    whole = regimes(closes(walk), Windows(10, 5))
    for cut in (30, 77, 150):
        other = walk[:cut] + [value * 3 for value in walk[cut:]]
        again = regimes(closes(other), Windows(10, 5))
        # The session that begins at `cut` knows the closes before it and none of its own.
        assert again[: cut + 1].equals(whole[: cut + 1])


def test_a_session_s_own_close_says_nothing_of_it() -> None:
    calm = [100.0] * 20
    assert regimes(closes([*calm, 200.0]), Windows(3, 3))["trend"][-1] == DOWN


def test_an_index_of_equal_parts() -> None:
    days = [date(2020, 1, 1), date(2020, 1, 2), date(2020, 1, 3)]
    both = pl.DataFrame(
        {"symbol": ["A"] * 3 + ["B"] * 2, "session": [*days, *days[1:]], "close": [10.0, 11.0, 11.0, 5.0, 10.0]}
    )
    assert equal_weight(both)["close"].to_list() == pytest.approx([1.0, 1.1, 1.65])


def test_windows_too_short_are_refused() -> None:
    with pytest.raises(ValueError, match="2 or more"):
        Windows(1, 5)
