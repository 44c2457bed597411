"""Whether a strategy keeps its word: look-ahead lint, contract and a quick truncation over given bars (§3).

Each is evidence for its validation history; a full examination (strategies/truncation.py) looks at every symbol.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.market.bars import HISTORY_DAYS, load_session
from qmworkbench.market.session import SessionData
from qmworkbench.market.store.reading import open_bar_path
from qmworkbench.research.lookahead.strategy_code import stale_examination
from qmworkbench.service.frames import raw_bars
from qmworkbench.service.session_data import last_session
from qmworkbench.strategies.bars import RAW_SCHEMA, session_bars
from qmworkbench.strategies.contract import StrategyFault, evaluate
from qmworkbench.strategies.definition import StrategyDefinition, StrategyInstance
from qmworkbench.strategies.lint import clashes, lint
from qmworkbench.strategies.parameters import Params
from qmworkbench.strategies.truncation import Examination, isolation, truncation

_LIVELIEST: Final = 12
_CUTS: Final = 12


class Bars(msgspec.Struct, frozen=True):
    """Bars to try strategies on: one session with its history, of the symbols that traded most."""

    table: pl.DataFrame
    market: AssetClass
    source: str
    session: date
    symbols: tuple[str, ...]


class CheckedSet(msgspec.Struct, frozen=True, kw_only=True):
    """One strategy with one parameter set. `tried` is what was done, `findings` what was found wrong, in sentences.

    `used_by` names the published instances with that set, none for the entry's own.
    """

    strategy_id: str
    version: str
    params_hash: str
    used_by: tuple[str, ...]
    tried: tuple[str, ...]
    findings: tuple[str, ...]


def bars_of(file: Path, day: date | None, history_days: int = HISTORY_DAYS) -> Bars:
    """The file's session of that date (None: its last) and those before it. Raises DataRefused, NotASession."""
    day = day or last_session(open_bar_path(file))
    data = load_session(file, day, history_days=history_days)
    symbols = _liveliest(data)
    kept = pl.col("symbol").is_in(symbols)
    raw = pl.concat([data.warmup.select(list(RAW_SCHEMA)).filter(kept), raw_bars(data).filter(kept)])
    ticks = {symbol: float(data.instruments[symbol].tick_size) for symbol in symbols}
    table = session_bars(raw, data.grids(), ticks)
    return Bars(table, data.instruments[symbols[0]].asset_class, data.source, day, tuple(symbols))


def check_sets(
    definitions: Iterable[StrategyDefinition], published: Sequence[StrategyInstance], bars: Bars | None
) -> list[CheckedSet]:
    """Every definition with its own approved set and each other one that a published instance runs."""
    return [
        _checked(definition, params, used_by, bars)
        for definition in definitions
        for params, used_by in _sets(definition, published).values()
    ]


def shared_names(definitions: Iterable[StrategyDefinition], published: Sequence[StrategyInstance]) -> tuple[str, ...]:
    """Indicators of one name that mean two things, among all that run together."""
    sets = [(one, params) for one in definitions for params, _ in _sets(one, published).values()]
    return tuple(finding.sentence() for finding in clashes(sets))


def _sets(
    definition: StrategyDefinition, published: Sequence[StrategyInstance]
) -> Mapping[str, tuple[Params, tuple[str, ...]]]:
    found: dict[str, tuple[Params, tuple[str, ...]]] = {definition.hash({}): ({}, ())}
    for one in published:
        if one.strategy_id == definition.strategy_id:
            digest = definition.hash(one.params)
            params, names = found.get(digest, (one.params, ()))
            found[digest] = (params, (*names, one.instance_id))
    return found


def _checked(
    definition: StrategyDefinition, overrides: Params, used_by: tuple[str, ...], bars: Bars | None
) -> CheckedSet:
    params = definition.parameters(overrides)
    findings = [finding.sentence() for finding in lint(definition, params)]
    tried = ["lint"]
    stale = stale_examination(definition)
    if stale:
        findings.append(f"strategy {definition.strategy_id}: {stale}")
    if bars is not None and bars.market in definition.asset_classes:
        tried.append(f"contract on {bars.table.height:,} bars")
        try:
            evaluate(definition, bars.table, params)
        except StrategyFault as fault:
            findings.append(str(fault))
        else:
            for look in (truncation(definition, bars.table, params, _CUTS), isolation(definition, bars.table, params)):
                tried.append(f"{look.check}: {look.comparisons:,} comparisons")
                findings += _sentences(look)
    return CheckedSet(
        strategy_id=definition.strategy_id,
        version=definition.version,
        params_hash=definition.hash(params),
        used_by=used_by,
        tried=tuple(tried),
        findings=tuple(findings),
    )


def _sentences(look: Examination) -> list[str]:
    if not look.rows:
        return [f"strategy {look.strategy_id}: {look.check} had nothing to compare; give a session with more bars"]
    return [
        f"strategy {look.strategy_id}, column {finding.column!r}: {finding.symbol} at {finding.ts} says "
        f"{finding.before}, and with {finding.bars} {finding.after}"
        for finding in look.findings
    ]


def _liveliest(data: SessionData) -> list[str]:
    """The symbols with the most bars in the session, ties by name."""
    counted = raw_bars(data).group_by("symbol").len().sort("len", "symbol", descending=[True, False])
    return sorted(counted["symbol"].head(_LIVELIEST).to_list())
