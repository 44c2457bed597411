"""A kernel that answers by a table, a broker that keeps a diary and a journal whose disk can be slow or broken."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from qmworkbench.domain.chain import Record
from qmworkbench.domain.events import Event, Input
from qmworkbench.domain.events.orders import ExecutionReported
from qmworkbench.domain.execution import (
    Account,
    AccountActivity,
    BrokerOrder,
    BrokerPosition,
    BrokerSnapshot,
    ExecType,
    ExecutionReport,
    OrderRequest,
    ReplaceRequest,
)
from qmworkbench.domain.orders import OrdStatus, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.ports import Broker, BrokerUnreachable, JournalFailed
from qmworkbench.storage.memory import MemoryJournal
from qmworkbench.trading.fold import apply
from qmworkbench.trading.state import State

NOON = datetime(2018, 3, 2, 17, 0, tzinfo=UTC)


class TableKernel:
    """Answers each input with what `answers` says for its type, and folds nothing but time and cursors."""

    def __init__(self, answers: dict[type[Event], Callable[[Input], Sequence[Event]]] | None = None) -> None:
        self.state = State(book="test")
        self.answers = answers or {}
        self.steps: list[Input] = []

    def step(self, given: Input) -> list[Event]:
        self.steps.append(given)
        events = [given, *self.answers.get(type(given), lambda _: ())(given)]
        if isinstance(given, ExecutionReported):
            self.state.exec_cursor = max(self.state.exec_cursor, given.report.cursor)
        if self.state.now is None or given.at > self.state.now:
            self.state.now = given.at
        return events


class FoldKernel(TableKernel):
    """The same, with the real fold."""

    def step(self, given: Input) -> list[Event]:
        events = super().step(given)
        for event in events:
            apply(self.state, event)
        return events


class DiaryBroker:
    """Writes down every call with what was durable then. `failing` calls raise what is set for them."""

    enforces_unique_ids = True

    def __init__(self, durable: Callable[[], int]) -> None:
        self.diary: list[tuple[str, str, int]] = []
        self.failing: dict[str, Exception] = {}
        self.waiting: list[ExecutionReport] = []
        self._durable = durable

    def submit(self, request: OrderRequest) -> None:
        self._note("submit", request.cl_ord_id)

    def cancel(self, cl_ord_id: str) -> None:
        self._note("cancel", cl_ord_id)

    def replace(self, request: ReplaceRequest) -> None:
        self._note("replace", request.cl_ord_id)

    def reports(self, after_cursor: int) -> Sequence[ExecutionReport]:
        if "reports" in self.failing:
            raise self.failing["reports"]
        return [report for report in self.waiting if report.cursor > after_cursor]

    def order(self, cl_ord_id: str) -> tuple[BrokerOrder | None, int]:
        self._note("order", cl_ord_id)
        return None, 7

    def activities(self, after_cursor: int) -> Sequence[AccountActivity]:
        return ()

    def open_orders(self) -> Sequence[BrokerOrder]:
        return []

    def positions(self) -> Sequence[BrokerPosition]:
        return []

    def account(self) -> Account:
        self._note("account", "")
        return account()

    def _note(self, what: str, which: str) -> None:
        self.diary.append((what, which, self._durable()))
        if what in self.failing:
            raise self.failing[what]


class SlowJournal(MemoryJournal):
    """Durable only when synced; `break_at` is what fails next: "append" or "sync"."""

    def __init__(self) -> None:
        super().__init__(book="test")
        self.synced = 0
        self.break_at = ""

    @property
    def durable_seq(self) -> int:
        return self.synced

    def append(self, events: Sequence[Event], *, expected: int | None = None) -> int:
        if self.break_at == "append":
            raise JournalFailed("the disk is full")
        return super().append(events, expected=expected)

    def sync(self) -> int:
        if self.break_at == "sync":
            raise JournalFailed("the disk is full")
        self.synced = self.head[0]
        return self.synced

    def records(self, after_seq: int = 0, *, stream: str = "decisions") -> Iterator[Record]:
        return super().records(after_seq, stream=stream)


def request(cl_ord_id: str = "qm-1") -> OrderRequest:
    return OrderRequest(
        cl_ord_id=cl_ord_id,
        symbol="SPY",
        side=Side.BUY,
        position_effect=PositionEffect.OPEN,
        ord_type=OrdType.MARKET,
        order_qty=Decimal(10),
        time_in_force=TimeInForce.DAY,
        decided_at=NOON,
    )


def report(cursor: int = 1, exec_type: ExecType = ExecType.NEW) -> ExecutionReport:
    return ExecutionReport(
        cursor=cursor,
        exec_id=f"e{cursor}",
        exec_type=exec_type,
        cl_ord_id="qm-1",
        order_id="b1",
        symbol="SPY",
        side=Side.BUY,
        ord_status=OrdStatus.ACCEPTED,
        order_qty=Decimal(10),
        cum_qty=Decimal(0),
        transact_time=NOON + timedelta(seconds=cursor),
    )


def account() -> Account:
    return Account(
        currency="USD",
        cash=Decimal(1000),
        equity=Decimal(1000),
        buying_power=Decimal(1000),
        realized_pnl=Decimal(0),
        fees=Decimal(0),
        cursor=1,
        as_of=NOON,
    )


def empty_snapshot(broker: Broker, after_cursor: int) -> BrokerSnapshot:
    try:
        stated = broker.account()
    except BrokerUnreachable as error:
        return BrokerSnapshot(complete=False, cursor=after_cursor, as_of=NOON, error=str(error))
    return BrokerSnapshot(complete=True, cursor=after_cursor, as_of=NOON, account=stated)
