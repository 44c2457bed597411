"""Carried from row to row a strategy says what it says in whole columns, whatever it is made of, whoever is asked."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qmworkbench.strategies import indicators as ind
from qmworkbench.strategies import indicators_session as day
from qmworkbench.strategies import row_compiler
from qmworkbench.strategies.bars import BARS_SCHEMA, KEYS, RAW_SCHEMA, session_bars
from qmworkbench.strategies.catalog import catalog
from qmworkbench.strategies.contract import FLAGS, LEVELS, LIMITS, StrategyFault
from qmworkbench.strategies.definition import Anchor, StrategyDefinition
from qmworkbench.strategies.expression_tree import read
from qmworkbench.strategies.frames import last_rows
from qmworkbench.strategies.lint import findings
from qmworkbench.strategies.parameters import ParameterError, Value
from qmworkbench.strategies.row_by_row import RowByRow
from qmworkbench.strategies.row_tape import NotCarried
from qmworkbench.strategies.rules import Rules
from qmworkbench.strategies.session_store import Index, SessionStore
from tests.strategies.bar_cases import Market, equity_grid, made
from tests.strategies.planted import planted

C, H, L, V, ROW, POS = pl.col.close, pl.col.high, pl.col.low, pl.col.volume, pl.col.i_index, pl.col.i_pos
SOME = pl.when(C > 10.0).then(C)
TRUTH = pl.when(C != 10.0).then(C > 10.0)


def market(seed: int, symbols: str = "ABC", sessions: int = 2, boundaries: int = 12) -> Market:
    """Ties, holes, symbols that come late or stay away, a price of 0.0, bars without volume."""
    rng = np.random.default_rng(seed)
    grids = tuple(equity_grid(date(2018, 3, day), boundaries) for day in range(1, sessions + 1))
    rows = []
    for symbol in symbols:
        for grid in grids:
            first = int(rng.integers(0, boundaries)) if rng.random() < 0.3 else 0
            for bar in range(first, boundaries):
                if rng.random() < 0.8:
                    px = rng.choice([9.5, 9.99, 10.0, 10.0, 10.01, 10.07, 11.3], size=4).tolist()
                    volume = float(rng.choice([0.0, 100.0, 300.0, 700.0]))
                    rows.append((symbol, grid.opened_at(bar), px[0], max(px), min(px), px[3], volume))
    raw = pl.DataFrame(rows, schema=RAW_SCHEMA, orient="row")
    return Market(raw, grids, tuple(symbols), dict.fromkeys(symbols, 0.01))


def rules_of(definition: StrategyDefinition) -> Rules:
    return Rules.of(definition, definition.parameters({}))


def assert_alike(rules: Rules, data: Market, asked: Callable[[int], Sequence[str]]) -> int:
    """At each boundary the symbols asked about, row by row and in whole columns; how many rows were compared."""
    history = session_bars(data.history, data.grids[:-1], data.ticks) if len(data.grids) > 1 else None
    store = SessionStore(data.symbols, data.tick_array, data.grids, history, [rules.anchor])
    carried, rows = RowByRow(rules, store), 0
    for bar, frame in enumerate(data.frames()):
        store.append(bar, frame.index, (frame.open, frame.high, frame.low, frame.close, frame.volume))
        index = store.trading(np.array(sorted(data.symbols.index(name) for name in asked(bar)), dtype=np.int64))
        if not len(index):
            continue
        whole, last = store.frame((*BARS_SCHEMA, *KEYS), index, rules.anchor)
        close, expected = last_rows(rules, whole, last)
        found = carried.answers(index)
        assert np.array_equal(found[0], close)
        for name in (*FLAGS, *LEVELS, *LIMITS):
            ours, theirs = getattr(found[1], name), getattr(expected, name)
            assert ours.dtype == theirs.dtype
            assert ours.tobytes() == theirs.tobytes(), (bar, name, ours, theirs)
        for name, theirs in expected.features.items():
            assert found[1].features[name].tobytes() == theirs.tobytes(), (bar, found[1].features[name], theirs)
        assert found[1].masked == expected.masked
        rows += len(index)
    return rows


def everyone(data: Market) -> Callable[[int], Sequence[str]]:
    return lambda _: data.symbols


def company(data: Market, seed: int) -> Callable[[int], Sequence[str]]:
    """Others at every boundary: many, few, or the same as before."""
    rng = np.random.default_rng(seed)
    boundaries = data.grids[-1].boundaries
    there = rng.random((boundaries, len(data.symbols))) < rng.random((boundaries, 1))
    return lambda bar: [name for at, name in enumerate(data.symbols) if there[bar, at]]


# ── operations ────────────────────────────────────────────────────────────────────────────────────────────────────────

KNOWN = {
    "arithmetic": (C + H) / 2 - L * 1.5,
    "division by zero": (C - 10.0) / V,
    "division by a number": C.round().cast(pl.Int64) / 7,
    "whole numbers": (ROW * 3 - pl.col.bar).cast(pl.Float64),
    "comparison with nan": pl.when(V / V > C).then(1.0).otherwise(2.0),
    "null is neither": pl.when(TRUTH).then(1.0).when(~TRUTH).then(2.0),
    "and, or with null": pl.when((TRUTH & (V > 0)) | (V > 500)).then(1.0).when((TRUTH & (V > 0)).is_null()).then(2.0),
    "all of, any of": pl.when(pl.all_horizontal(TRUTH, V > 0).is_null() | pl.any_horizontal(TRUTH, V > 0)).then(C),
    "null or not": pl.when(SOME.is_null() & TRUTH.is_not_null()).then(C),
    "fill": SOME.fill_null(L) + TRUTH.fill_null(True).cum_sum() * 1.0,
    "extremes with nulls": pl.max_horizontal(SOME, L, SOME.shift(1)) - pl.min_horizontal(SOME, H),
    "between": pl.when(C.is_between(10, 10.05) | C.is_between(11, 12, closed="left")).then(C),
    "abs, sign, minus": (-(C - 10).abs()) * ((C - 10) * 100).round().cast(pl.Int64).sign(),
    "round, clip": (C / 3).round(1).clip(lower_bound=3.2) - (C / 3).clip(upper_bound=3.3),
    "choice of a null": pl.when(C > 10).then(None).otherwise(C),
    "shift": SOME.shift(1) + C.shift(3),
    "shift with fill": (C > 10).shift(2, fill_value=True).cast(pl.Int64) * 1.0 + C.shift(5, fill_value=1),
    "shift of a truth": pl.when(TRUTH.shift(1)).then(1.0).when(TRUTH.shift(1).is_null()).then(2.0),
    "total": SOME.cum_sum() + (C > 10).cum_sum() * 1.0,
    "extremes so far": SOME.cum_max() + H.cum_max() - L.cum_min() - SOME.cum_min() + POS.cum_max() * 1.0,
    "smoothed": C.ewm_mean(alpha=0.3, adjust=False) - SOME.ewm_mean(alpha=0.2, adjust=False, ignore_nulls=True),
    "held": SOME.forward_fill() + pl.when(TRUTH.forward_fill()).then(1.0).otherwise(2.0),
    "held for a while": SOME.forward_fill(2),
    "of a row looked up": C.gather(ROW - POS) + H.gather(pl.when(C > 10).then(ROW).forward_fill()),
    "within the session": SOME.cum_sum().over("i_day") + C.shift(1).over("i_day") - H.cum_max().over("i_day"),
    "within the symbol": SOME.forward_fill().over("i_symbol") + C.ewm_mean(alpha=0.5, adjust=False).over("i_symbol"),
    "held in the session": SOME.forward_fill(1).over("i_day"),
    "one after the other": (SOME.forward_fill().shift(1) > C).fill_null(False).cum_sum().shift(1) * 1.0,
    "a number": pl.lit(2.5),
    "zeros have signs": (C * 0.0 * -1.0) + pl.when(C > 10).then(-0.0).otherwise(0.0) * C,
    "counts below zero": ((C > 10).cum_sum() - 3).cast(pl.Float64) + (C > 10).cum_sum() * -1.5,
    "whole and broken numbers": pl.when(TRUTH).then(POS).otherwise(0.5) + pl.when(TRUTH).then(POS).fill_null(0.5),
    "totals of whole numbers": (POS.cum_sum() * 9 + pl.when(TRUTH).then(ROW).cum_sum().fill_null(7)) * 1.0,
}  # fmt: skip


@pytest.mark.parametrize("name", list(KNOWN))
def test_every_known_operation_says_the_same_of_a_symbol_by_itself(name: str) -> None:
    for seed, anchor in enumerate([Anchor(), Anchor(bars=3), Anchor(sessions=1, bars=None)]):
        data = market(seed, "A")
        assert assert_alike(rules_of(planted(f_close=KNOWN[name], anchor=anchor)), data, everyone(data)) > 3


def test_a_symbol_taken_up_after_its_first_bar_starts_from_a_column_of_one_row() -> None:
    """Polars divides by a number in its own way there (bars.no_scalars)."""
    data = made({"A": [10.0, 9.99, 10.07, 11.3, 9.5]})
    before = planted(f_close=(C / 7).shift(1) + (C / 3).cum_sum())
    assert assert_alike(rules_of(before), data, lambda bar: ("A",) if bar else ()) == 4


@pytest.mark.parametrize("group", [None, "i_day", "i_symbol"])
def test_what_runs_on_over_a_null_goes_on_where_a_symbol_is_taken_up_after_one(group: str | None) -> None:
    data = made({"A": [11.0, 9.0, 9.5, 12.0, 9.0, 11.5]})
    runs = (SOME.cum_sum(), SOME.cum_max(), SOME.ewm_mean(alpha=0.5, adjust=False, ignore_nulls=True))
    definition = planted(f_close=sum((_over(one, group) for one in runs), C * 1.0))
    assert assert_alike(rules_of(definition), data, lambda bar: ("A",) if bar > 2 else ()) == 3


def test_a_row_looked_up_before_the_first_is_left_to_polars() -> None:
    data = made({"A": [11.0, 9.0, 9.5]})
    store = SessionStore(data.symbols, data.tick_array, data.grids, None, [Anchor()])
    carried = RowByRow(rules_of(planted(f_close=C.gather(ROW - 2 * POS))), store)
    for bar, frame in enumerate(data.frames()[:2]):
        store.append(bar, frame.index, (frame.open, frame.high, frame.low, frame.close, frame.volume))
        if bar == 0:
            assert carried.answers(np.array([0]))[1].features["f_close"].tolist() == [11.0]
    with pytest.raises(NotCarried, match="not one of the symbol's own"):
        carried.answers(np.array([0]))


class Counted(SessionStore):
    """A store that counts how many symbols whole columns were asked for."""

    columns_of = 0

    def frame(self, names: Sequence[str], index: Index, *more: Any, **how: Any) -> tuple[pl.DataFrame, Index]:
        self.columns_of += len(index)
        return super().frame(names, index, *more, **how)


def test_whole_columns_are_computed_for_those_that_come_in_alone() -> None:
    data = made({name: [10.0] * 12 for name in "ABC"})
    store = Counted(data.symbols, data.tick_array, data.grids, None, [Anchor()])
    carried = RowByRow(rules_of(planted(f_close=C.shift(1) + C.cum_sum())), store)
    counted = []
    for bar, frame in enumerate(data.frames()):
        store.append(bar, frame.index, (frame.open, frame.high, frame.low, frame.close, frame.volume))
        here = {3: [0, 1, 2], 5: [0, 2], 6: [0, 2]}.get(bar, [0, 1])  # C comes in twice, B comes back
        carried.answers(np.array(here))
        counted.append(store.columns_of)
    assert counted == [0, 0, 0, 1, 1, 2, 2, 3, 3, 3, 3, 3]


UNKNOWN = [
    C.rolling_std(3),
    C.rolling_mean(2).over("i_day"),
    C.cum_sum(reverse=True),
    C.shift(-1),
    C.diff(),
    C % 3,
    C / 0,
    C.ewm_mean(alpha=0.5),
    C.cum_max().over("symbol"),
    C.cum_max().over("i_day", "bar"),
    C.clip(9, 10),
    C.shift(2, fill_value=float("inf")),
    C + pl.lit(1, dtype=pl.Int64),
    C.map_batches(lambda px: px, return_dtype=pl.Float64),
    ((C > 10) > 0).cast(pl.Float64),
    C.cast(pl.Int32).cast(pl.Float64),
    pl.col.ts.dt.minute().cast(pl.Float64),
    pl.col.nowhere,
]


@pytest.mark.parametrize("expr", UNKNOWN, ids=lambda expr: str(expr)[:40])
def test_what_is_not_known_is_left_to_polars(expr: pl.Expr) -> None:
    data = market(1)
    store = SessionStore(data.symbols, data.tick_array, data.grids, None, [Anchor()])
    with pytest.raises(NotCarried):
        RowByRow(rules_of(planted(f_close=expr)), store)


def test_so_is_a_column_that_groups_and_reads_back_beside_that_if_earlier_rows_of_it_matter() -> None:
    both = C.gather(ROW - POS) + C.shift(1)
    data = market(1)
    store = SessionStore(data.symbols, data.tick_array, data.grids, None, [Anchor()])
    RowByRow(rules_of(planted({"s_x": both}, f_close=pl.col.s_x * 1.0)), store)
    with pytest.raises(NotCarried, match="reads earlier rows beside that"):
        RowByRow(rules_of(planted({"s_x": both}, f_close=pl.col.s_x.shift(1))), store)


def test_so_is_what_a_polars_tells_in_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new version may say the same with other words: then strategies are slow, not gone."""
    data = market(1)
    store = SessionStore(data.symbols, data.tick_array, data.grids, None, [Anchor()])
    rules = rules_of(planted(f_close=C * 2.0))
    monkeypatch.setattr(row_compiler, "read", lambda expr: replace(read(expr), told={"Literal": "2"}, kind="literal"))
    with pytest.raises(NotCarried, match="in a way not known here"):
        RowByRow(rules, store)


@pytest.mark.parametrize(
    "flags",
    [{"exit_long": C}, {"f_close": C > 10}, {"f_close": ROW}, {"f_close": pl.lit(None)}],
    ids=["a flag that is a number", "a feature that is a flag", "a whole number", "null"],
)
def test_so_are_answers_of_other_types_than_agreed(flags: dict[str, pl.Expr]) -> None:
    data = market(1)
    store = SessionStore(data.symbols, data.tick_array, data.grids, None, [Anchor()])
    with pytest.raises(NotCarried, match="answers of other types"):
        RowByRow(rules_of(planted(**flags)), store)


# ── strategies and indicators ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("definition", catalog().values(), ids=lambda one: one.strategy_id)
def test_every_strategy_is_carried_whatever_its_parameters(definition: StrategyDefinition) -> None:
    store = SessionStore((), np.empty(0), [equity_grid(date(2018, 3, 2))], None, [])
    sets: list[dict[str, Value]] = [{}]
    for spec in definition.parameter_specs:
        switches = (True, False) if isinstance(spec.approved, bool) else (spec.minimum, spec.maximum)
        sets += [{spec.name: value} for value in spec.choices or switches if value is not None]
    fitting = 0
    for overrides in sets:
        try:
            params = definition.parameters(overrides)
        except ParameterError:  # one that contradicts the approved others
            continue
        rules = Rules.of(definition, params)
        assert not findings(rules.program)
        RowByRow(rules, store)
        fitting += 1
    assert fitting > len(definition.parameter_specs)


INDICATORS = [
    ind.donchian_high(3), ind.prior_low(5), ind.sma("close", 3), ind.sma("close", 2, ind.SESSION),
    ind.relative_ma("close", 2), ind.atr_mean(3), ind.atr_mean(3, ind.SESSION), ind.atr_wilder(3),
    ind.session_vwap(), ind.moving_vwap(3), ind.moving_vwap(2, ind.SESSION), ind.relative_bar_volume(),
    ind.session_high(), ind.session_low(), ind.opening_range_high(3), ind.opening_range_low(2), ind.ema("close", 3),
    ind.wilder("close", 2, ind.SESSION), ind.rsi("close", 3), ind.rsi("close", 2, ind.SESSION),
    *ind.macd("close", 2, 4, 3), day.session_open(), day.recent_high(3), day.recent_low(2, ago=2),
    day.volume_over_recent(3), day.high_row(), day.prior_high_row(), day.volume_to_high(), day.volume_since_high(),
    day.at_row("s_low", "low", day.high_row()), day.armed("s_armed", C > 10.0, C < 9.99),
]  # fmt: skip


@pytest.mark.parametrize("indicator", INDICATORS, ids=lambda one: one.name)
def test_every_indicator_says_the_same_in_changing_company(indicator: ind.Indicator) -> None:
    told = indicator.col if not indicator.name.endswith(("_row", "s_armed")) else ROW - indicator.col
    definition = planted(
        *({expr.meta.output_name(): expr for expr in stage} for stage in indicator.stages),
        f_close=told.cast(pl.Float64),
        exit_long=(told.shift(1) >= told).fill_null(False) & (pl.col.i_row > 0),
        anchor=Anchor(bars=8),
    )
    rules = rules_of(definition)
    for seed in (1, 2):
        data = market(seed, "ABCDEF", boundaries=16)
        assert assert_alike(rules, data, company(data, seed)) > 20


# ── any of them together ──────────────────────────────────────────────────────────────────────────────────────────────

PRICES = st.sampled_from([C, H, L, pl.col.open, V, pl.col.tick])
WHOLE = st.sampled_from([POS, pl.col.i_row, pl.col.bar, pl.col.bars_left])
NUMBERS = st.sampled_from([0, 1, 2, 10, 9.99, 0.5, -1.0])


def _over(expr: pl.Expr, group: str | None) -> pl.Expr:
    return expr if group is None else expr.over(group)


def _numbers(inner: st.SearchStrategy[pl.Expr], truths: st.SearchStrategy[pl.Expr]) -> st.SearchStrategy[pl.Expr]:
    rows = st.integers(1, 4)
    return st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a - b, inner, inner),
        st.builds(lambda a, b: a * b, inner, st.one_of(PRICES, NUMBERS)),
        st.builds(lambda a, b: a / b, inner, inner),
        st.builds(lambda a, n: a / n, inner, st.sampled_from([2, 3, 7.0, -0.3])),
        st.builds(lambda n, a: n / a, NUMBERS, inner),
        st.builds(lambda a, n: a.shift(n), inner, rows),
        st.builds(lambda a, n: a.cast(pl.Float64).shift(n, fill_value=0.0), inner, rows),
        st.builds(lambda a: a.abs(), inner),
        st.builds(lambda a: -a, PRICES),
        st.builds(lambda a: a.cast(pl.Float64).round(1), inner),
        st.builds(lambda a: a.cast(pl.Float64).clip(lower_bound=9.99), inner),
        st.builds(pl.max_horizontal, inner, inner),
        st.builds(lambda a, b: pl.min_horizontal(a, b, 10.0), inner, inner),
        st.builds(lambda a, b: a.fill_null(b), inner, inner),
        st.builds(lambda c, a, b: pl.when(c).then(a).otherwise(b), truths, inner, inner),
        st.builds(lambda c, a: pl.when(c).then(a), truths, inner),
        st.builds(lambda c: c.cum_sum().cast(pl.Int64), truths),
        st.builds(lambda c: pl.col.close.gather(pl.when(c).then(ROW).forward_fill()), truths),
    )


def _read_back(inner: st.SearchStrategy[pl.Expr], group: str | None) -> st.SearchStrategy[pl.Expr]:
    """What runs on, in a group or not; nothing that runs on or looks a row up stands in a group."""
    return st.one_of(
        st.builds(lambda a: _over(a.cum_sum(), group), inner),
        st.builds(lambda a: _over(a.cum_max(), group), inner),
        st.builds(lambda a: _over(a.cum_min(), group), inner),
        st.builds(lambda a, n: _over(a.forward_fill(n), group), inner, st.sampled_from([None, 1, 3])),
        st.builds(
            lambda a, w: _over(a.cast(pl.Float64).ewm_mean(alpha=w, adjust=False, ignore_nulls=True), group),
            inner,
            st.sampled_from([0.1, 1 / 3]),
        ),
    )


def _truths(numbers: st.SearchStrategy[pl.Expr]) -> st.SearchStrategy[pl.Expr]:
    compared = st.builds(
        lambda a, b, way: getattr(a, way)(b), numbers, numbers, st.sampled_from(["gt", "ge", "lt", "le", "eq", "ne"])
    )
    return st.one_of(
        compared,
        st.builds(lambda a: a.is_null(), numbers),
        st.builds(lambda a: a.is_between(9.99, 11.3), numbers),
        st.builds(lambda a, b: a & b, compared, compared),
        st.builds(lambda a, b: a | ~b, compared, compared),
        st.builds(pl.all_horizontal, compared, compared),
        st.builds(lambda a, n: a.shift(n, fill_value=False), compared, st.integers(1, 3)),
    )


def expressions(group: str | None) -> st.SearchStrategy[pl.Expr]:
    """Any number from known operations, two or three deep.

    In company the number of a row is left out: to which row it belongs is the symbol's own, what it is is not.
    """
    leaves = st.one_of(PRICES, PRICES, WHOLE if group else st.one_of(WHOLE, st.just(ROW)), st.just(SOME))
    first = st.one_of(leaves, _numbers(leaves, _truths(leaves)), _read_back(leaves, group))
    return st.one_of(first, _numbers(first, _truths(first)))


@settings(max_examples=80)
@given(expressions(None), expressions(None), st.integers(0, 50), st.booleans())
def test_any_expression_says_the_same_of_a_symbol_by_itself(
    step: pl.Expr, flag: pl.Expr, seed: int, longer: bool
) -> None:
    """Whether or not the lint would let it pass: alone in its frame a symbol has no neighbours."""
    definition = planted(
        {"s_x": step},
        f_close=(pl.col.s_x * 1.0).cast(pl.Float64),
        exit_long=(flag > pl.col.s_x.shift(1)).fill_null(False),
        anchor=Anchor(sessions=1, bars=None) if longer else Anchor(),
    )
    data = market(seed, "A")
    asked = np.random.default_rng(seed).random(12) < 0.7
    try:
        assert_alike(rules_of(definition), data, lambda bar: data.symbols if asked[bar] else ())
    except (NotCarried, StrategyFault):  # whole columns have the word
        assume(False)


@settings(max_examples=50)
@given(expressions("i_day"), expressions("i_symbol"), st.integers(0, 50))
def test_rules_that_keep_to_themselves_say_the_same_in_any_company(step: pl.Expr, flag: pl.Expr, seed: int) -> None:
    """Symbols join late, are left out for a while and come back, in a company that changes at every boundary."""
    definition = planted(
        {"s_x": step}, {"s_y": pl.when(pl.col.i_row >= 2).then(flag.shift(1))},
        f_close=(pl.col.s_x * 1.0).cast(pl.Float64),
        exit_long=(pl.col.s_y > pl.col.s_x).fill_null(False),
        anchor=Anchor(bars=5),
    )  # fmt: skip
    rules = rules_of(definition)
    assume(not findings(rules.program))
    data = market(seed, "ABCDEFGHIJKLMNOPQRS")
    try:
        assert_alike(rules, data, company(data, seed))
    except (NotCarried, StrategyFault):
        assume(False)
