"""What a backtest comes to: fills, trades, the account at every bar, and every table they can be cut into (§2)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl

from qmworkbench.research.backtests import result_tables
from qmworkbench.research.backtests.allocation import Refusal, Sizing
from qmworkbench.research.backtests.backtest_figures import SESSIONS_A_YEAR, figures_of, peaks, steps
from qmworkbench.research.backtests.backtest_options import Options
from qmworkbench.research.backtests.period_bars import PeriodBars
from qmworkbench.research.backtests.regimes import OF_DAYS, OF_SESSIONS, equal_weight, regimes
from qmworkbench.research.backtests.runs import DataNote, RunManifest
from qmworkbench.research.fills.ledger import Account, account_of, aligned, fill_table, trade_table
from qmworkbench.research.fills.tape import Decisions, Fills, Floats, Tape, Terms
from qmworkbench.strategies.definition import StrategyDefinition
from qmworkbench.strategies.parameters import Value

_TS: Final = pl.Datetime("us", "UTC")


@dataclass(frozen=True, eq=False, repr=False)
class Backtest:
    """One run. What is told of it is worked out when it is first asked for, and kept.

    `tapes`, `decisions` (with the sizes that were given) and `fills` are side by side, one for each symbol that was
    traded among, in alphabetical order. `failed` says why other symbols were not; `refused` are entries that were
    decided and not taken. `how` are the options, `engine` what computed the fills, with versions.
    """

    definition: StrategyDefinition
    params: dict[str, Value]
    bars: PeriodBars
    terms: Terms
    sizing_rule: Sizing
    cash: float
    options: Options
    engine: dict[str, str]
    tapes: tuple[Tape, ...]
    decisions: tuple[Decisions, ...]
    fills: tuple[Fills, ...]
    refused: tuple[Refusal, ...]
    failed: dict[str, str]

    def __repr__(self) -> str:
        """Short: the whole would fill pages of a notebook."""
        told = self.metrics
        return (
            f"Backtest({self.definition.strategy_id}, {len(self.tapes)} symbols, {self.bars.first} to "
            f"{self.bars.last}, {told['trades']:.0f} trades, total return {told['total_return']:.2%})"
        )

    @property
    def sizing(self) -> str:
        """How entries were sized, in words."""
        return self.sizing_rule.described()

    @property
    def how(self) -> dict[str, Any]:
        """The options in plain values."""
        told = {name: getattr(self.options, name) for name in self.options.__dataclass_fields__ if name != "actions"}
        return told | {"corporate_actions": len(self.options.actions)}

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that were traded among."""
        return tuple(tape.symbol for tape in self.tapes)

    @property
    def currency(self) -> str:
        return self.bars.currency

    @property
    def zone(self) -> str:
        """The exchange's zone, in which hours and weekdays are told."""
        return str(self.bars.market.time_zone)

    @cached_property
    def account(self) -> Account:
        """The account at the close of every bar."""
        return account_of(self.tapes, self.fills, self.cash)

    @cached_property
    def benchmark(self) -> Floats:
        """What the cash would have become beside `account`: bought in equal parts, each symbol at its first open, held
        without costs; a part whose symbol has no bar yet is cash."""
        times = self.account.ts_us
        worth = np.zeros(len(times))
        for tape in self.tapes:
            row = np.searchsorted(tape.ts_us, times, side="right") - 1
            worth += np.where(row >= 0, tape.close[np.maximum(row, 0)] / tape.open[0], 1.0)
        return np.asarray(self.cash * worth / len(self.tapes), dtype=np.float64)

    @cached_property
    def equity(self) -> pl.DataFrame:
        """ts (a bar's open time; values at its close), equity, drawdown (at most 0), benchmark, gross, net, held."""
        account = self.account
        return pl.DataFrame(
            {
                "ts": pl.Series(account.ts_us).cast(_TS),
                "equity": account.equity,
                "drawdown": account.equity / peaks(account.equity, self.cash) - 1,
                "benchmark": self.benchmark,
                "gross": account.gross,
                "net": account.net,
                "held": account.held,
            }
        )

    @cached_property
    def trades(self) -> pl.DataFrame:
        """Every round trip, ledger.TRADE_SCHEMA."""
        return trade_table(self.tapes, self.decisions, self.fills, min(self.bars.interval_s, self._session_s))

    @property
    def _session_s(self) -> int:
        return self.bars.market.session_window(self.bars.last).length_s

    @cached_property
    def fill_table(self) -> pl.DataFrame:
        """Every fill, ledger.FILL_SCHEMA."""
        return fill_table(self.tapes, self.fills)

    @cached_property
    def refusals(self) -> pl.DataFrame:
        """Entries decided and not taken: ts (of the deciding bar), symbol, why, needed, free."""
        rows = [
            {"ts": refusal.ts_us, "symbol": refusal.symbol, "why": refusal.why, "needed": refusal.needed,
             "free": refusal.free}
            for refusal in self.refused
        ]  # fmt: skip
        schema: dict[str, Any] = {
            "ts": pl.Int64, "symbol": pl.String, "why": pl.String, "needed": pl.Float64, "free": pl.Float64,
        }  # fmt: skip
        return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("ts").cast(_TS))

    @cached_property
    def sessions(self) -> pl.DataFrame:
        """Each session of the period: session, equity, return, benchmark, benchmark_return, drawdown, and the trend and
        volatility of the market it began in (regimes.regimes)."""
        number = self.bars.number_of(self.account.ts_us) - self.bars.history
        last = np.searchsorted(number, np.arange(len(self.bars.sessions)), side="right") - 1
        known = last >= 0
        equity = np.where(known, self.account.equity[np.maximum(last, 0)], self.cash)
        versus = np.where(known, self.benchmark[np.maximum(last, 0)], self.cash)
        days = pl.DataFrame(
            {
                "session": pl.Series(self.bars.sessions, dtype=pl.Date),
                "equity": equity,
                "return": steps(equity, self.cash),
                "benchmark": versus,
                "benchmark_return": steps(versus, self.cash),
                "drawdown": equity / peaks(equity, self.cash) - 1,
            }
        )
        return days.join(self._regimes, on="session", how="left", maintain_order="left")

    @cached_property
    def _regimes(self) -> pl.DataFrame:
        """The regimes of the symbols' own market, its history before the period counted."""
        bars = self.bars.bars
        number = self.bars.number_of(bars["ts"].to_physical().to_numpy())
        dated = bars.select(
            "symbol", "close", session=pl.Series(self.bars.dates, dtype=pl.Date).gather(pl.Series(number))
        )
        closes = dated.group_by("symbol", "session", maintain_order=True).agg(pl.col("close").last())
        return regimes(equal_weight(closes), OF_DAYS if self.bars.one_session else OF_SESSIONS)

    @cached_property
    def metrics(self) -> dict[str, float | None]:
        """The figures of backtest_figures.FIGURES, None where one is not defined."""
        return figures_of(
            self.account,
            self.sessions,
            self.trades,
            cash=self.cash,
            bars_a_session=self.bars.boundaries,
            refused=len(self.refused),
        )

    @cached_property
    def by_month(self) -> pl.DataFrame:
        """Returns by month, result_tables.by_month."""
        return result_tables.by_month(self.sessions)

    @cached_property
    def by_hour(self) -> pl.DataFrame:
        """Trades by the hour of their entry in the exchange's zone; empty for daily bars, which know no hour."""
        return result_tables.by_hour(self.trades.clear() if self.bars.one_session else self.trades, self.zone)

    @cached_property
    def by_weekday(self) -> pl.DataFrame:
        """Trades by the weekday of their entry in the exchange's zone."""
        return result_tables.by_weekday(self.trades, self.zone)

    @cached_property
    def by_symbol(self) -> pl.DataFrame:
        """Trades by symbol."""
        return result_tables.by_symbol(self.trades, self.symbols)

    @cached_property
    def by_reason(self) -> pl.DataFrame:
        """Trades by what ended them."""
        return result_tables.by_reason(self.trades)

    @cached_property
    def by_regime(self) -> pl.DataFrame:
        """Sessions and trades by the market they began in, result_tables.by_regime."""
        number = self.bars.number_of(self.trades["entry_ts"].to_physical().to_numpy())
        dates = pl.Series(self.bars.dates, dtype=pl.Date).gather(pl.Series(number, dtype=pl.Int64))
        return result_tables.by_regime(self.sessions, self.trades.with_columns(session=dates))

    def portfolio(self, engine: str = "rust") -> Any:
        """The same fills as a vectorbt Portfolio: one column a symbol, cash shared, for all that vectorbt can show.

        Made anew at each call, for it is large. `engine`: "rust" or "numba", for what it computes. Its ratios are a
        year's with `year_freq=backtest.year`: vectorbt's own year has 365 days of 24 hours.
        """
        from qmworkbench.research.fills.real_bars import portfolio_of

        tapes, fills = aligned(self.tapes, self.fills)
        return portfolio_of(tapes, fills, self.cash, interval_s=self.bars.interval_s, shared=True, engine=engine)

    @property
    def year(self) -> timedelta:
        """A year of 252 sessions in bars laid end to end, as vectorbt's `year_freq` wants it."""
        return timedelta(seconds=SESSIONS_A_YEAR * self.bars.boundaries * self.bars.interval_s)

    # --- what is kept of it -------------------------------------------------------------------------------------------

    def manifest(self, *, code_version: str, at: datetime | None = None) -> RunManifest:
        """What the run registry keeps beside `tables`."""
        bars = self.bars
        return RunManifest(
            kind="backtest",
            strategy=self.definition.strategy_id,
            strategy_version=self.definition.version,
            params=dict(self.params),
            params_hash=self.definition.hash(self.params),
            terms={
                **{name: getattr(self.terms, name) for name in self.terms.__dataclass_fields__},
                **self.how,
                "sizing": self.sizing,
                "cash": self.cash,
                "currency": self.currency,
                "zone": self.zone,
                "bars_a_session": bars.boundaries,
            },
            data=DataNote(
                source=bars.source,
                hash=bars.hash,
                symbols=self.symbols,
                first=bars.first,
                last=bars.last,
                bars=sum(len(tape) for tape in self.tapes),
                interval_s=bars.interval_s,
            ),
            code_version=code_version,
            engine=self.engine,
            seed=None,
            metrics=self.metrics,
            notes=tuple(self.notes),
            at=at,
        )

    @property
    def notes(self) -> list[str]:
        """What a reader should know before believing it: findings in the bars, symbols left out, entries refused."""
        told = [f"{finding.code}: {finding.message}" for finding in self.bars.findings]
        told += [f"{symbol} was left out: {why}" for symbol, why in self.failed.items()]
        for why, meant in (
            ("cash", "cash was short"),
            ("positions", "every place was taken"),
            ("size", "less than one unit"),
        ):
            count = sum(refusal.why == why for refusal in self.refused)
            if count:
                told.append(f"{count:,} entries were decided and not taken: {meant}")
        if self.how["fill"] == "signal_close":
            told.append("filled at the deciding bar's own close, which nobody who decided by it could have had")
        return told

    @property
    def tables(self) -> dict[str, pl.DataFrame]:
        """The tables the run registry keeps, by name."""
        return {
            "equity": self.equity,
            "sessions": self.sessions,
            "trades": self.trades,
            "fills": self.fill_table,
            "refusals": self.refusals,
            "by_month": self.by_month,
            "by_hour": self.by_hour,
            "by_weekday": self.by_weekday,
            "by_symbol": self.by_symbol,
            "by_reason": self.by_reason,
            "by_regime": self.by_regime,
        }
