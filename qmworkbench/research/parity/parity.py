"""A recorded session against the backtest of its own bars and parameters: is it tracking? (M: layer 2)

Signal by signal, order by order, trade by trade and in money; each difference has a cause, and the share that has none
is the strategy-health SLI.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Final

import msgspec
import polars as pl

from qmworkbench.domain.events.session import RunSpec
from qmworkbench.domain.instruments import Instrument
from qmworkbench.research.parity.parity_causes import Cause, Witness
from qmworkbench.research.parity.parity_difference import Difference, LaneCase, LaneParity, TradePair
from qmworkbench.research.parity.parity_expected import LaneBars, signals_of
from qmworkbench.research.parity.parity_record import Lane, Lanes, RecordedDay, lanes_of
from qmworkbench.research.parity.parity_signals import Signals
from qmworkbench.research.parity.parity_trades import Trades
from qmworkbench.strategies import catalog
from qmworkbench.strategies.contract import StrategyFault
from qmworkbench.strategies.definition import StrategyDefinition
from qmworkbench.strategies.parameters import ParameterError

LEVELS: Final = ("signal", "order", "trade")
# Below half a cent two amounts of money are the same.
_MONEY: Final = 0.005
_UNEXPLAINED: Final = Cause.UNEXPLAINED


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """One level of the comparison: how many things were compared, how many differ, how many of these unexplained."""

    name: str
    compared: int
    differ: int
    unexplained: int

    @property
    def share(self) -> float | None:
        """The unexplained share of what was compared, None where that is nothing."""
        return self.unexplained / self.compared if self.compared else None


class StrategyParity(msgspec.Struct, frozen=True, kw_only=True):
    """One instance's session: trades on both sides, P&L in account currency, and its unexplained share."""

    strategy_id: str
    definition_id: str
    params_hash: str
    expected_trades: int
    recorded_trades: int
    matched: int
    expected_pnl: float
    recorded_pnl: float
    unexplained_share: float | None


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the comparison of one session.

    `unexplained_share` is the SLI: the worst of the levels' own, so that a thousand signals that agree do not hide a
    trade that does not; None where there was nothing to compare. `pnl_by_cause` is the recorded P&L less the expected
    one, taken apart by cause, in account currency; it adds up to the whole difference. `left_out` are instances that
    could not be compared, and why. A session that was not `closed` is compared as far as it went.
    """

    session_id: str
    session: date
    environment: str
    account_currency: str
    code_version: str
    data_hash: str
    levels: tuple[Level, ...]
    strategies: tuple[StrategyParity, ...]
    pairs: tuple[TradePair, ...]
    differences: tuple[Difference, ...]
    pnl_by_cause: dict[str, float]
    expected_pnl: float
    recorded_pnl: float
    left_out: dict[str, str]
    start_equity: float | None = None
    closed: bool = True

    @property
    def unexplained_share(self) -> float | None:
        """The strategy-health SLI, 0 (all explained) to 1; None where there was nothing to compare."""
        return worst(self.levels)

    @property
    def by_cause(self) -> dict[str, int]:
        """How many differences each cause made, most first."""
        counted: dict[str, int] = defaultdict(int)
        for difference in self.differences:
            counted[difference.cause.value] += 1
        return dict(sorted(counted.items(), key=lambda one: (-one[1], one[0])))

    @property
    def exact(self) -> bool:
        """Whether session and backtest agree without any difference."""
        return not self.differences and not self.left_out


def worst(levels: Iterable[Level]) -> float | None:
    """The greatest unexplained share of any level; None where none compared anything."""
    shares = [level.share for level in levels if level.share is not None]
    return max(shares) if shares else None


def parity(day: RecordedDay, definitions: Mapping[str, StrategyDefinition] | None = None) -> Parity:
    """Re-run the session's bars with its own parameters and compare. `definitions`: the catalog's where left out.

    An instance whose strategy is not in the catalog any more, in another version, or that breaks its contract on these
    bars is left out and named.
    """
    known = catalog.catalog() if definitions is None else definitions
    lanes = lanes_of(day)
    left_out: dict[str, str] = {}
    done: list[LaneParity] = []
    for run in day.record.opened.runs:
        mine = [lane for (name, _), lane in lanes.by_key.items() if name == run.strategy_id]
        bars = _bars_of(day, run, known, [lane.symbol for lane in mine], left_out)
        for lane in mine:
            if bars is not None and lane.symbol in bars:
                done.append(_compared(day, lanes, lane, bars[lane.symbol]))
            elif lane.trades and run.strategy_id not in left_out:
                left_out[run.strategy_id] = f"it traded {lane.symbol}, of which no bars of the session are kept"
    return _summed(day, done, left_out)


def _bars_of(
    day: RecordedDay,
    run: RunSpec,
    known: Mapping[str, StrategyDefinition],
    symbols: list[str],
    left_out: dict[str, str],
) -> dict[str, LaneBars] | None:
    if not symbols:
        return {}
    if run.definition_id not in known:
        left_out[run.strategy_id] = f"its strategy {run.definition_id} is not in the catalog any more"
        return None
    definition = known[run.definition_id]
    if definition.version != run.version:
        left_out[run.strategy_id] = (
            f"it ran {run.definition_id} {run.version}, and the catalog has {definition.version}: compare it with that"
        )
        return None
    try:
        return signals_of(day, run, definition, symbols)
    except (StrategyFault, ParameterError) as fault:
        left_out[run.strategy_id] = f"{fault}"
        return None


def _compared(day: RecordedDay, lanes: Lanes, lane: Lane, bars: LaneBars) -> LaneParity:
    instruments = {one.symbol: one for one in day.record.opened.instruments}
    case = LaneCase(
        lane=lane,
        bars=bars,
        witness=Witness(day, lanes, lane),
        instrument=instruments[lane.symbol],
        limit_qty=day.record.opened.limits.max_position_qty,
        rate=_rate(day, lane, instruments),
    )
    result = LaneParity(lane.strategy_id, lane.symbol)
    Signals(case, result).compare()
    Trades(case, result).compare()
    return result


def _rate(day: RecordedDay, lane: Lane, instruments: Mapping[str, Instrument]) -> float:
    """Account currency per unit of the symbol's, as near as the record tells: from its own fills, from another symbol's
    of that currency, or from the last close of the pair; 1 where nothing does.
    """
    account, currency = day.record.opened.account_currency, instruments[lane.symbol].currency
    if currency == account:
        return 1.0
    told = [trade.rate for trade in lane.trades if trade.rate is not None]
    if told:
        return told[-1]
    fills = day.record["trade_fills"]
    for symbol, rate in zip(fills["symbol"].to_list(), fills["rate"].to_list(), strict=True):
        if symbol in instruments and instruments[symbol].currency == currency:
            return float(rate)
    last = dict(day.bars.sort("ts").group_by("symbol").agg(pl.col("close").last()).iter_rows())
    if f"{account}{currency}" in last:
        return 1 / float(last[f"{account}{currency}"])
    return float(last.get(f"{currency}{account}", 1.0))


def _summed(day: RecordedDay, done: list[LaneParity], left_out: dict[str, str]) -> Parity:
    pairs = tuple(sorted((pair for one in done for pair in one.pairs), key=_when))
    differences = tuple(sorted((two for one in done for two in one.differences), key=lambda d: (d.at, d.strategy_id)))
    opened = day.record.opened
    runs = {run.strategy_id: run for run in opened.runs if run.strategy_id not in left_out}
    return Parity(
        session_id=opened.session_id,
        session=date.fromisoformat(opened.window.date),
        environment=opened.environment.value,
        account_currency=opened.account_currency,
        code_version=opened.code_version,
        data_hash=opened.data_hash,
        levels=_levels(done),
        strategies=tuple(
            _strategy(run, [one for one in done if one.strategy_id == name]) for name, run in sorted(runs.items())
        ),
        pairs=pairs,
        differences=differences,
        pnl_by_cause=_by_cause(pairs, differences),
        expected_pnl=sum(pair.expected_pnl or 0.0 for pair in pairs),
        recorded_pnl=sum(pair.recorded_pnl or 0.0 for pair in pairs),
        left_out=dict(sorted(left_out.items())),
        start_equity=_equity(day),
        closed=day.record.is_closed,
    )


def _levels(done: list[LaneParity]) -> tuple[Level, ...]:
    differences = [two for one in done for two in one.differences]
    pairs = [pair for one in done for pair in one.pairs]
    told = []
    for name, compared in (("signal", sum(one.signals for one in done)), ("order", sum(one.orders for one in done))):
        mine = [one for one in differences if one.level == name]
        # A price and a quantity of one order are two differences and one order.
        differ = {(one.strategy_id, one.symbol, one.at, one.what.partition(" ")[0]) for one in mine}
        lost = {(d.strategy_id, d.symbol, d.at, d.what.partition(" ")[0]) for d in mine if d.cause is _UNEXPLAINED}
        told.append(
            Level(name=name, compared=compared, differ=min(len(differ), compared), unexplained=min(len(lost), compared))
        )
    told.append(
        Level(
            name="trade",
            compared=len(pairs),
            differ=sum(1 for pair in pairs if pair.causes),
            unexplained=sum(1 for pair in pairs if _UNEXPLAINED in pair.causes),
        )
    )
    return tuple(told)


def _strategy(run: RunSpec, done: list[LaneParity]) -> StrategyParity:
    pairs = [pair for one in done for pair in one.pairs]
    expected = [pair for pair in pairs if pair.expected_pnl is not None]
    recorded = [pair for pair in pairs if pair.recorded_pnl is not None]
    return StrategyParity(
        strategy_id=run.strategy_id,
        definition_id=run.definition_id,
        params_hash=run.params_hash,
        expected_trades=len(expected),
        recorded_trades=len(recorded),
        matched=sum(1 for pair in pairs if pair.expected_qty is not None and pair.recorded_qty is not None),
        expected_pnl=sum(pair.expected_pnl or 0.0 for pair in expected),
        recorded_pnl=sum(pair.recorded_pnl or 0.0 for pair in recorded),
        unexplained_share=worst(_levels(done)),
    )


def _by_cause(pairs: Iterable[TradePair], differences: Iterable[Difference]) -> dict[str, float]:
    """The recorded P&L less the expected one by cause: what each difference made, and the fees."""
    told: dict[str, float] = defaultdict(float)
    for pair in pairs:
        told[Cause.FEES.value] -= pair.fees
    for difference in differences:
        if difference.pnl is not None:
            told[difference.cause.value] += difference.pnl
    return {cause: amount for cause, amount in sorted(told.items()) if abs(amount) >= _MONEY}


def _equity(day: RecordedDay) -> float | None:
    for event in day.record.events:
        equity = getattr(event, "equity", None)
        if type(event).__name__ == "SessionEquitySet" and isinstance(equity, Decimal):
            return float(equity)
    return None


def _when(pair: TradePair) -> tuple[str, str, str]:
    at = pair.recorded_entry_at or pair.expected_entry_at
    return ("" if at is None else at.isoformat(), pair.strategy_id, pair.symbol)
