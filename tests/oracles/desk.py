"""The real kernel and the real venue over sessions of any length, with scripted signals: what published results need.

A published backtest is not bound to trading days, so a session here is any stretch of prints on one book: it opens,
is told what each boundary printed and what the strategy says there, and ends. Equity compounds from session to session.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from qmworkbench.brokers.simulated import SimulatedBroker
from qmworkbench.domain.candidates import Candidate
from qmworkbench.domain.checks import Verdict
from qmworkbench.domain.events import Event, decode
from qmworkbench.domain.events.control import CommandReceived
from qmworkbench.domain.events.market import BoundaryClosed, FrameComputed, Mark, SignalRow
from qmworkbench.domain.events.orders import TradeClosed
from qmworkbench.domain.events.reconciliation import BreakFound, BrokerConnectionChanged
from qmworkbench.domain.events.session import HealthObserved, PreflightRecorded, RunSpec, ServiceReady, SessionOpened
from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.numbers import decimal_of
from qmworkbench.domain.sessions import Environment, SessionWindow
from qmworkbench.trading.frames import BarFrame, Universe
from qmworkbench.trading.phases import STARTUP_ORDER
from qmworkbench.venue.costs import VenueModel
from qmworkbench.venue.exchange import Exchange
from tests.trading.world import World

# Nothing of ours may stand in the way of a rule that somebody else wrote.
WIDE_OPEN = Limits(
    max_daily_loss=Decimal(10**9),
    max_position_qty=None,
    max_position_notional=Decimal(10**9),
    max_position_equity_pct=Decimal(100),
    max_strategy_equity_pct=Decimal(100),
    max_trades_per_day=10**6,
    stale_quote_s=10**9,
    entry_cutoff_min=0,
)


@dataclass(frozen=True)
class Row:
    """One print: the price that opened it, its range, its last; known at `at`."""

    at: datetime
    open: float
    high: float
    low: float
    close: float

    @staticmethod
    def tick(at: datetime, px: float) -> "Row":
        """A single price, such as an opening print."""
        return Row(at, px, px, px, px)


class Desk(World):
    """One book in one symbol. Session after session: `begin`, `show` as often as there are prints, `close`."""

    def __init__(self, instrument: Instrument, cash: Decimal, model: VenueModel, budget_pct: Decimal) -> None:
        super().__init__(limits=WIDE_OPEN, model=model, flat_policy="carry")
        self.instrument = instrument
        self.universe = Universe((instrument.symbol,))
        self.exchange = Exchange(":memory:", [instrument], model, "USD", cash)
        self.broker = SimulatedBroker(self.exchange)
        self.budget_pct = budget_pct
        self.sessions = 0
        self.number = 0

    def begin(self, opens: datetime, closes: datetime, boundaries: int) -> None:
        """Everything up to the market session."""
        self.sessions += 1
        self.number = 0
        self.calm = False
        self.now = max(opens - timedelta(seconds=1), self.state.now or opens - timedelta(seconds=1))
        session_id = f"oracle-{self.sessions:04d}"
        window = SessionWindow(
            date=f"{opens:%Y-%m-%d}",
            opens_at=opens.isoformat(),
            closes_at=closes.isoformat(),
            interval_s=60,
            regular_boundaries=boundaries,
            half_day=False,
        )
        self.survive(self._opened(session_id, window))
        self.exchange.open_session(session_id, self.now)
        self.survive(BrokerConnectionChanged(at=self.now, connected=True, detail=""))
        go = {"verdict": Verdict.GO, "checks_hash": "", "confirmed_by": "policy:unattended"}
        self.survive(PreflightRecorded(at=self.now, phase="pre-start", **go))
        for position, service in enumerate(STARTUP_ORDER, start=1):
            self.survive(ServiceReady(at=self.now, service=service, position=position))
        self.survive(HealthObserved(at=self.now, critical_down=()))
        self.survive(PreflightRecorded(at=self.now, phase="pre-market", **go))
        assert self.state.day.phase == "market_session", f"{session_id} did not open: {self.state.day.phase}"

    def _opened(self, session_id: str, window: SessionWindow) -> SessionOpened:
        run = RunSpec(
            strategy_id="oracle",
            definition_id="oracle",
            version="1",
            owner="tests",
            status="experimental",
            asset_classes=(self.instrument.asset_class.value,),
            params={},
            params_hash="0" * 16,
            budget_pct=self.budget_pct,
            max_symbols=1,
            flat_policy="carry",
        )
        return SessionOpened(
            at=self.now,
            book="oracle",
            session_id=session_id,
            environment=Environment.BACKTEST,
            window=window,
            account_currency="USD",
            code_version="test",
            config_hash="",
            limits=self.limits,
            limits_hash=self.limits.content_hash,
            scan_settings={},
            runs=(run,),
            instruments=(self.instrument,),
            data_source="oracle",
            data_hash="",
            reference_hash="",
            unattended=True,
        )

    def show(self, row: Row, **says: Any) -> None:
        """One boundary: the venue trades the print, we hear of it, the strategy says what it says at its close."""
        self.number += 1
        self.now = row.at
        frame = BarFrame(
            as_of=row.at,
            index=np.zeros(1, dtype=np.int32),
            open=np.array([row.open]),
            high=np.array([row.high]),
            low=np.array([row.low]),
            close=np.array([row.close]),
            volume=np.array([1e9]),
        )
        self.exchange.on_frame(frame, self.universe)
        for report in self._heard():
            self.survive(report)
        self.survive(BoundaryClosed(at=row.at, frame_hash=frame.content_hash, rows=1, boundary=self.number))
        symbol, px = self.instrument.symbol, decimal_of(row.close)
        signals: Sequence[SignalRow] = (SignalRow(strategy_id="oracle", symbol=symbol, close=px, **says),)
        self.survive(
            FrameComputed(
                at=self.at(),
                as_of=row.at,
                frame_hash=frame.content_hash,
                radar_hash="",
                candidates=(_candidate(symbol, row.close),),
                near_misses=(),
                signals=tuple(signals) if says else (),
                marks=(Mark(symbol=symbol, px=px, at=row.at),),
            )
        )

    def reconcile(self) -> None:
        """Compare with the venue now, on an operator's word."""
        from qmworkbench.domain import commands

        self.survive(CommandReceived(at=self.at(), **self._signed(commands.Reconcile(reason="look"))))

    @property
    def equity(self) -> Decimal:
        """The account's equity as the venue states it."""
        return self.broker.account().equity

    def events(self) -> list[Event]:
        """Every decision on record."""
        return [decode(line) for line in self.journal]

    def trades(self) -> list[TradeClosed]:
        return [event for event in self.events() if isinstance(event, TradeClosed)]

    def breaks(self) -> list[BreakFound]:
        return [event for event in self.events() if isinstance(event, BreakFound)]


def _candidate(symbol: str, last: float) -> Candidate:
    return Candidate(
        symbol=symbol,
        rank=1,
        score=1.0,
        last=last,
        change=0.0,
        change_basis="open",
        rel_volume=1.0,
        dollar_volume=1e9,
        verdicts=(),
    )
