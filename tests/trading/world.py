"""A small world for kernel tests: the real kernel and the real venue in a plain loop, with faults and crashes as data.

Nothing here is a mock: orders are matched by the exchange, the journal is a list of encoded events, and a
crash throws the kernel away and folds that list again while the venue keeps its books.
"""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import msgspec
import numpy as np

from qmworkbench.brokers.simulated import SimulatedBroker
from qmworkbench.brokers.snapshot import snapshot
from qmworkbench.domain import commands
from qmworkbench.domain.candidates import Candidate
from qmworkbench.domain.checks import Verdict
from qmworkbench.domain.events import Event, Input, decode, encode
from qmworkbench.domain.events.control import ClockTicked, CommandReceived
from qmworkbench.domain.events.market import BoundaryClosed, FrameComputed, Mark, SignalRow
from qmworkbench.domain.events.orders import (
    CancelObserved,
    ExecutionReported,
    OrderIntended,
    OrderQueried,
    ReplaceObserved,
    SubmitObserved,
)
from qmworkbench.domain.events.reconciliation import (
    AccountObserved,
    BrokerConnectionChanged,
    BrokerSnapshotObserved,
    SessionRecovered,
)
from qmworkbench.domain.events.session import (
    HealthObserved,
    PreflightRecorded,
    RunSpec,
    ServiceReady,
    SessionEnding,
    SessionOpened,
    SessionSummarized,
)
from qmworkbench.domain.execution import BrokerSnapshot, SubmitOutcome
from qmworkbench.domain.instruments import forex_pair, us_equity
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.numbers import decimal_of
from qmworkbench.domain.orders import OrderStyle
from qmworkbench.domain.sessions import Environment, SessionWindow
from qmworkbench.ports import BrokerUnreachable, OutcomeUnknown, RequestRefused
from qmworkbench.trading.effects import (
    CancelOrder,
    Effect,
    QueryBroker,
    QueryOrder,
    ReplaceOrder,
    SubmitOrder,
    effects_of,
)
from qmworkbench.trading.fold import fold
from qmworkbench.trading.frames import BarFrame, Universe
from qmworkbench.trading.kernel import Kernel
from qmworkbench.trading.phases import STARTUP_ORDER
from qmworkbench.trading.state import State
from qmworkbench.venue.costs import VenueModel, ideal
from qmworkbench.venue.exchange import Exchange

OPEN = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
# Quoted in dollars, in yen and francs whose own pair tells the rate, and in sterling that a third pair tells.
PAIRS = {"EURGBP": 0.88, "GBPUSD": 1.3, "USDCHF": 0.95, "USDJPY": 110.0}


class Crash(Exception):
    """The process dies here: what was not durable is gone."""


@dataclass
class Faults:
    """How often each trouble strikes, per opportunity, drawn from the world's own random stream."""

    lost_request: float = 0.0
    lost_ack: float = 0.0
    refused: float = 0.0
    unreachable: float = 0.0
    crash: float = 0.0


@dataclass
class World:
    """One session of one book. `signals` are scripted by boundary; None draws them at random.

    `strategies` run beside each other. `shared` trades four currency pairs that they may all hold at once.
    """

    seed: int = 0
    boundaries: int = 30
    faults: Faults = field(default_factory=Faults)
    limits: Limits = field(default_factory=Limits)
    model: VenueModel = field(default_factory=ideal)
    unattended: bool = True
    flat_policy: str = "at_close"
    signal_rate: float = 0.25
    strategies: tuple[str, ...] = ("test-1",)
    shared: bool = False
    style: OrderStyle = field(default_factory=OrderStyle)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.symbols = tuple(PAIRS) if self.shared else SYMBOLS
        self.instruments = [forex_pair(s) if self.shared else us_equity(s) for s in self.symbols]
        self.universe = Universe(self.symbols)
        self.exchange = Exchange(":memory:", self.instruments, self.model, "USD", Decimal(100_000))
        self.broker = SimulatedBroker(self.exchange)
        self.journal: list[bytes] = []
        self.sent: list[str] = []
        self.kernel = Kernel()
        self.px = dict(PAIRS) if self.shared else {s: 20.0 + 10 * i for i, s in enumerate(SYMBOLS)}
        self.opens = OPEN
        self.now = OPEN - timedelta(minutes=10)
        self.crashes = 0
        self.calm = False
        self.commands = 0
        self.budget_pct = Decimal(5)
        self.statements = True

    # --- the shell: decide, record, carry out, feed back ---------------------------------------------

    @property
    def state(self) -> State:
        return self.kernel.state

    def strikes(self, rate: float) -> bool:
        return not self.calm and rate > 0 and self.random.random() < rate

    def feed(self, given: Input) -> list[Event]:
        """One input and all that follows from it."""
        first: list[Event] | None = None
        inbox: list[Input] = [given]
        for _ in range(2_000):
            if not inbox:
                inbox = self._heard()
                if not inbox:
                    return first or []
            events = self.kernel.step(inbox.pop(0))
            if self.strikes(self.faults.crash):
                raise Crash  # decided, never on record
            self.journal.extend(encode(event) for event in events)
            first = events if first is None else first
            for effect in effects_of(events):
                if self.strikes(self.faults.crash):
                    raise Crash  # on record, never carried out
                inbox.extend(self._answer(effect))
        raise AssertionError("the kernel answers itself without end")

    def at(self) -> datetime:
        return max(self.now, self.state.now or self.now)

    def _heard(self) -> list[Input]:
        """What the broker has said; then a fresh statement if anything was executed."""
        if self.strikes(self.faults.unreachable):
            return []
        reports = self.broker.reports(self.state.exec_cursor)
        heard: list[Input] = [ExecutionReported(at=self.at(), report=r) for r in reports]
        if self.statements and any(r.exec_type == "trade" for r in reports):
            heard.append(AccountObserved(at=self.at(), account=self.broker.account()))
        return heard

    def _answer(self, effect: Effect) -> list[Input]:
        if isinstance(effect, SubmitOrder):
            self.sent.append(effect.request.cl_ord_id)
            outcome, detail = self._request(lambda: self.broker.submit(effect.request))
            return [SubmitObserved(at=self.at(), cl_ord_id=effect.request.cl_ord_id, outcome=outcome, detail=detail)]
        if isinstance(effect, CancelOrder):
            outcome, detail = self._request(lambda: self.broker.cancel(effect.cl_ord_id))
            return [CancelObserved(at=self.at(), cl_ord_id=effect.cl_ord_id, outcome=outcome, detail=detail)]
        if isinstance(effect, ReplaceOrder):
            asked = effect.request
            outcome, detail = self._request(lambda: self.broker.replace(asked))
            return [
                ReplaceObserved(
                    at=self.at(), order=effect.order, cl_ord_id=asked.cl_ord_id, outcome=outcome, detail=detail
                )
            ]
        if isinstance(effect, QueryOrder):
            if self.strikes(self.faults.unreachable):
                failed = OrderQueried(at=self.at(), cl_ord_id=effect.cl_ord_id, complete=False, cursor=0, error="down")
                return [failed]
            found, cursor = self.broker.order(effect.cl_ord_id)
            return [OrderQueried(at=self.at(), cl_ord_id=effect.cl_ord_id, complete=True, cursor=cursor, found=found)]
        if isinstance(effect, QueryBroker):
            heard = [] if self.calm else self._heard()
            heard = heard or self._heard()
            return [*heard, BrokerSnapshotObserved(at=self.at(), trigger=effect.trigger, snapshot=self._read(effect))]
        return []

    def _read(self, effect: QueryBroker) -> BrokerSnapshot:
        if self.strikes(self.faults.unreachable):
            return BrokerSnapshot(complete=False, cursor=0, as_of=self.at(), error="down")
        return snapshot(self.broker, effect.after_cursor)

    def _request(self, request: Any) -> tuple[SubmitOutcome, str]:
        if self.strikes(self.faults.lost_request):
            return SubmitOutcome.LOST, "timed out before it arrived"
        if self.strikes(self.faults.refused):
            return SubmitOutcome.REFUSED, "rate limited"
        try:
            request()
        except RequestRefused as error:
            return SubmitOutcome.REFUSED, str(error)
        except (OutcomeUnknown, BrokerUnreachable) as error:
            return SubmitOutcome.LOST, str(error)
        if self.strikes(self.faults.crash):
            raise Crash  # carried out, never heard of
        if self.strikes(self.faults.lost_ack):
            return SubmitOutcome.LOST, "timed out after it arrived"
        return SubmitOutcome.SENT, ""

    # --- crash and recovery --------------------------------------------------------------------------

    def restart(self) -> None:
        """A new process: fold what is on record, tell the kernel, ask the broker."""
        self.crashes += 1
        self.kernel = Kernel(fold(decode(line) for line in self.journal))
        state = self.state
        self.now = self.at()
        if state.session is None or state.session.session_id in state.closed_sessions:
            return
        in_doubt = sum(o.is_in_doubt for o in state.working())
        self.feed(SessionRecovered(at=self.at(), from_seq=len(self.journal), in_doubt=in_doubt))
        self.feed(BrokerConnectionChanged(at=self.at(), connected=True, detail=""))

    def survive(self, given: Input | None) -> list[Event]:
        """Feed, restarting as often as it takes. A fact of the world that died with the process is told again."""
        while True:
            try:
                if given is None:
                    self.restart()
                    return []
                return self.feed(given)
            except Crash:
                given = None if self._known(given) else given
                self._recover()
                if given is None:
                    return []

    def _known(self, given: Input | None) -> bool:
        return given is None or encode(given) in self.journal

    def _recover(self) -> None:
        while True:
            try:
                self.restart()
                return
            except Crash:
                continue

    # --- the day ---------------------------------------------------------------------------------------

    def open_again(self) -> None:
        """The next day of the same book."""
        self.now = OPEN + timedelta(days=1, minutes=-10)
        self.calm = False
        self.open(OPEN + timedelta(days=1))

    def open(self, opens: datetime = OPEN) -> None:
        """Everything up to the market session."""
        self.opens = opens
        closes = opens + self.boundaries * MINUTE
        session_id = f"local-{opens:%Y-%m-%d}"
        window = SessionWindow(
            date=f"{opens:%Y-%m-%d}",
            opens_at=opens.isoformat(),
            closes_at=closes.isoformat(),
            interval_s=60,
            regular_boundaries=self.boundaries,
            half_day=False,
        )
        spec = RunSpec(
            strategy_id=self.strategies[0],
            definition_id="test",
            version="1",
            owner="owner",
            status="experimental",
            asset_classes=("forex" if self.shared else "equity",),
            params={},
            params_hash="0" * 16,
            budget_pct=self.budget_pct,
            max_symbols=4,
            flat_policy=self.flat_policy,
            order_style=self.style,
        )
        self.survive(
            SessionOpened(
                at=self.now,
                book="local",
                session_id=session_id,
                environment=Environment.LOCAL,
                window=window,
                account_currency="USD",
                code_version="test",
                config_hash="",
                limits=self.limits,
                limits_hash=self.limits.content_hash,
                scan_settings={},
                runs=tuple(msgspec.structs.replace(spec, strategy_id=name) for name in self.strategies),
                instruments=tuple(self.instruments),
                data_source="test",
                data_hash="",
                reference_hash="",
                unattended=self.unattended,
                max_owned=len(self.strategies) * len(self.symbols),
                shared_symbols=self.shared,
            )
        )
        self.exchange.open_session(session_id, self.now)
        self.survive(BrokerConnectionChanged(at=self.at(), connected=True, detail=""))
        go = {"verdict": Verdict.GO, "checks_hash": "", "confirmed_by": "policy:unattended"}
        self.survive(PreflightRecorded(at=self.at(), phase="pre-start", **go))
        for position, service in enumerate(STARTUP_ORDER, start=1):
            self.survive(ServiceReady(at=self.at(), service=service, position=position))
        self.survive(HealthObserved(at=self.at(), critical_down=()))
        for _ in range(20):
            if self.state.day.phase == "pre_market":
                break
            self.survive(CommandReceived(at=self.at(), **self._signed(commands.Reconcile(reason="start again"))))
        self.survive(PreflightRecorded(at=self.at(), phase="pre-market", **go))

    def _signed(self, command: commands.AnyCommand) -> dict[str, Any]:
        self.commands += 1
        return {"command_id": f"c{self.commands}", "command": command, "operator": "tester", "origin": "test"}

    def command(self, command: commands.AnyCommand) -> list[Event]:
        return self.survive(CommandReceived(at=self.at(), **self._signed(command)))

    def bar(self, moves: dict[str, tuple[float, float, float, float]] | None = None) -> BarFrame:
        """The next minute's bars: random walks on the tick grid, unless told otherwise."""
        rows: list[tuple[float, float, float, float]] = []
        for symbol in self.universe.symbols:
            if moves is not None and symbol in moves:
                rows.append(moves[symbol])
                self.px[symbol] = moves[symbol][3]
                continue
            first, step, digits = self.px[symbol], self.step(symbol), self.digits(symbol)
            open_, close = (round(max(100 * step, first + self.random.randint(-30, 30) * step), digits) for _ in "oc")
            high = round(max(open_, close) + self.random.randint(0, 20) * step, digits)
            low = round(max(50 * step, min(open_, close) - self.random.randint(0, 20) * step), digits)
            self.px[symbol] = close
            rows.append((open_, high, low, close))
        table = np.array(rows, dtype=np.float64)
        self.now += MINUTE
        if self.now <= self.opens:
            self.now = self.opens + MINUTE
        count = len(rows)
        return BarFrame(
            as_of=self.now,
            index=np.arange(count, dtype=np.int32),
            open=table[:, 0],
            high=table[:, 1],
            low=table[:, 2],
            close=table[:, 3],
            volume=np.full(count, 1_000_000.0 if self.shared else 10_000.0),
        )

    def step(self, symbol: str) -> float:
        """What a price moves by: a cent, or a pip."""
        return (0.01 if symbol.endswith("JPY") else 0.0001) if self.shared else 0.01

    def digits(self, symbol: str) -> int:
        return 2 if self.step(symbol) == 0.01 else 4

    def boundary(
        self, number: int, signals: list[SignalRow] | None = None, moves: dict[str, Any] | None = None
    ) -> None:
        """One minute: the venue trades, we hear, the frame is computed, we decide."""
        frame = self.bar(moves)
        self.exchange.on_frame(frame, self.universe)
        for report in self._heard():
            self.survive(report)
        closed = BoundaryClosed(at=self.now, frame_hash=frame.content_hash, rows=len(frame), boundary=number)
        self.survive(closed)
        rows = self.drawn() if signals is None else signals
        self.survive(
            FrameComputed(
                at=self.at(),
                as_of=self.now,
                frame_hash=frame.content_hash,
                radar_hash="",
                candidates=tuple(self._candidate(i, s) for i, s in enumerate(self.symbols, start=1)),
                near_misses=(),
                signals=tuple(rows),
                marks=tuple(Mark(symbol=s, px=decimal_of(self.px[s]), at=self.now) for s in self.marked()),
            )
        )

    def _candidate(self, rank: int, symbol: str) -> Candidate:
        return Candidate(
            symbol=symbol,
            rank=rank,
            score=1.0,
            last=self.px[symbol],
            change=0.05,
            change_basis="open",
            rel_volume=2.0,
            dollar_volume=1e6,
            verdicts=(),
        )

    def marked(self) -> tuple[str, ...]:
        """Symbols whose prices the kernel is told."""
        return self.symbols

    def row(self, symbol: str, strategy_id: str = "", **says: Any) -> SignalRow:
        name = strategy_id or self.strategies[0]
        return SignalRow(strategy_id=name, symbol=symbol, close=decimal_of(self.px[symbol]), **says)

    def drawn(self) -> list[SignalRow]:
        rows = []
        for strategy_id, symbol in product(self.strategies, self.symbols):
            if self.random.random() >= self.signal_rate:
                continue
            long = self.random.random() < 0.5
            close = decimal_of(self.px[symbol])
            reach = self.random.randint(5, 60) * decimal_of(self.step(symbol))
            away = reach if long else -reach
            rows.append(
                self.row(
                    symbol,
                    strategy_id,
                    entry_long=long,
                    entry_short=not long,
                    exit_long=self.random.random() < 0.2,
                    exit_short=self.random.random() < 0.2,
                    stop_px=close - away if self.random.random() < 0.8 else None,
                    target_px=close + 2 * away if self.random.random() < 0.6 else None,
                    trail_bps=100 if self.random.random() < 0.2 else None,
                    max_hold_bars=self.random.choice((None, 3, 8)),
                )
            )
        return rows

    def tick(self, seconds: int) -> None:
        self.now = self.at() + timedelta(seconds=seconds)
        self.survive(ClockTicked(at=self.now))

    def close(self) -> None:
        """The market closes; what follows runs to the end of the day in calm."""
        self.calm = True
        closes = self.state.day.closes_at
        self.now = max(closes, self.at())
        self.exchange.close_session(self.now)
        for report in self._heard():
            self.survive(report)
        self.survive(SessionEnding(at=self.now, reason="the market closed"))
        for _ in range(30):
            if self.state.day.phase in ("review", "closed"):
                break
            self.tick(10)
        self.survive(
            SessionSummarized(
                at=self.at(),
                trades=self.state.day.trades,
                orders=self.state.day.orders,
                fills=self.state.day.fills,
                breaks=self.state.day.breaks,
                net_pnl=self.state.day.realized_pnl - self.state.day.fees,
                recovered=self.state.day.recovered,
            )
        )

    def intents(self) -> dict[str, OrderIntended]:
        """Every durable intent, by id."""
        events = (decode(line) for line in self.journal)
        return {e.request.cl_ord_id: e for e in events if isinstance(e, OrderIntended)}

    def run(self) -> "World":
        """A whole day."""
        self.open()
        for number in range(1, self.boundaries + 1):
            if self.state.halt.state != "active" and not self.unattended:
                break
            self.boundary(number)
            if self.faults.unreachable or self.faults.lost_ack or self.faults.lost_request:
                self.tick(6)
        self.close()
        return self
