"""What the lint lets through is clean with bars: random expressions, judged by it and then tried (§3)."""

import polars as pl
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from qmworkbench.strategies import indicators as ind
from qmworkbench.strategies.lint import lint
from qmworkbench.strategies.truncation import isolation, truncation
from tests.strategies.bar_cases import made
from tests.strategies.planted import planted

RISING = [9.0, 11.0, 10.0, 12.5, 12.0, 13.0, 12.8, 15.0, 14.0, 16.5]
JAGGED = [8.0, 14.0, 7.0, 13.0, 9.5, 6.0, 12.0, 11.0, 15.5, 5.0, 10.5, 9.0]
MARKET = made({"A": RISING, "B": JAGGED, "C": [None, *RISING[::-1]]}, [100.0 + 7 * at for at in range(12)])

BASE = st.sampled_from([pl.col.close, pl.col.high, pl.col.volume, pl.col.bar * 1.0, pl.col.i_pos * 1.0])
COUNT = st.integers(1, 3)


def extended(inner: st.SearchStrategy[pl.Expr]) -> st.SearchStrategy[pl.Expr]:
    """One more operation around an expression: most are safe in the right place alone, some nowhere."""
    events = st.builds(lambda e: pl.when(e > 10).then(pl.col.i_index).forward_fill(), inner)
    return st.one_of(
        st.builds(lambda e, n: e.shift(n), inner, st.integers(-1, 3)),
        st.builds(lambda e, n: e.shift(n, fill_value=1.0), inner, st.integers(0, 3)),
        st.builds(lambda e, n: e.rolling_max(n), inner, COUNT),
        st.builds(lambda e: e.cum_max(), inner),
        st.builds(lambda e: (e > 10).cum_sum() * 1.0, inner),
        st.builds(lambda e: pl.when(e > 10).then(e).forward_fill(), inner),
        st.builds(lambda e: pl.when(e > 10).then(e).backward_fill(), inner),
        st.builds(lambda e: e.over("i_day"), inner),
        st.builds(lambda e: e.first().over("i_day"), inner),
        st.builds(lambda e: e.max().over("i_day"), inner),
        st.builds(lambda e, n: pl.when(ind.since(n)).then(e), inner, st.integers(0, 4)),
        st.builds(lambda e, n: pl.when(pl.col.i_pos < n).then(0.0).otherwise(e), inner, st.integers(0, 4)),
        st.builds(lambda e, f: e - f, inner, inner),
        st.builds(lambda e, f: ((e > f) & (pl.col.i_pos >= 2)).fill_null(False) * 1.0, inner, inner),
        st.builds(lambda e: e.gather(pl.col.i_index - pl.col.i_pos), inner),
        st.builds(lambda r: pl.when(r >= pl.col.i_index - pl.col.i_pos).then(pl.col.i_index - r) * 1.0, events),
        st.builds(lambda r: (pl.col.i_index - r) * 1.0, events),
    )


EXPRESSIONS = st.recursive(BASE, extended, max_leaves=6)


@settings(max_examples=80, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(EXPRESSIONS, EXPRESSIONS)
def test_what_is_proved_safe_is_safe(first: pl.Expr, second: pl.Expr) -> None:
    """Over two stages, so that proofs pass through columns too."""
    stage = {"s_x": first.cast(pl.Float64)}
    definition = planted(stage, f_close=(second + pl.col.s_x.shift(1).over("i_day")).cast(pl.Float64))
    assume(not lint(definition, {}))
    assert truncation(definition, MARKET.bars, {}, cuts=12).findings == ()
    told = isolation(definition, MARKET.bars, {}).findings
    assert told == (), f"{first} {second}"
