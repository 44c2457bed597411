"""The broker's own books of a session, asked for independently of ours (§14, §17).

The simulated venue is read from a copy made through its own database, so that a venue in use is neither disturbed nor
locked out, and what is compared is what the broker has, not what we remember of it.
"""

import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from qmworkbench.brokers.select import LegNames
from qmworkbench.brokers.simulated import SimulatedBroker
from qmworkbench.domain.execution import Account, BrokerOrder, BrokerPosition, ExecType, ExecutionReport
from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.sessions import Environment
from qmworkbench.ports import Broker, BrokerUnreachable
from qmworkbench.storage.paths import BookPaths
from qmworkbench.venue import costs
from qmworkbench.venue.exchange import Exchange
from qmworkbench.venue.reached import WIRE, begun_by
from qmworkbench.venue.records import StatementLine, VenueError

Statement = Callable[[int], Sequence[StatementLine]]

SIMULATED: Final = frozenset({Environment.BACKTEST, Environment.LOCAL})


class BrokerBooks(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker holds for one session.

    `orders` by client id: those asked for that it knows, and all it reported on since `after_cursor`. `history`: every
    execution and bust it ever reported, oldest first. `session_id` is the day its account statement covers, `lines`
    are the statement's own from after `after_cursor` on, oldest first.
    """

    name: str
    session_id: str
    orders: dict[str, BrokerOrder]
    history: tuple[ExecutionReport, ...]
    after_cursor: int
    positions: tuple[BrokerPosition, ...]
    account: Account
    lines: tuple[StatementLine, ...]


def read_books(
    environment: Environment,
    paths: BookPaths,
    *,
    instruments: Iterable[Instrument],
    currency: str,
    asked: Iterable[str],
    after_cursor: int,
    leg_names: LegNames,
) -> BrokerBooks:
    """Ask the broker of `environment` for a session that began after transaction `after_cursor`: its orders by id, its
    executions, positions and account. `leg_names` says what we call the exits of our entries: a broker that names them
    itself is understood by that. Raises BrokerUnreachable with the reason.
    """
    if environment not in SIMULATED:
        raise BrokerUnreachable(
            f"no adapter reads the books of a {environment} broker yet: compare with its own statement"
        )
    with _venue_copy(paths) as copy:
        told_by = _over_the_wire if begun_by(copy) == WIRE else _in_process
        with told_by(copy, list(instruments), currency, leg_names) as (broker, exchange, statement):
            lines = statement(after_cursor)
            return _read(broker, "simulated venue", exchange.session[0], asked, after_cursor, lines)


def _read(
    broker: Broker,
    name: str,
    session_id: str,
    asked: Iterable[str],
    after_cursor: int,
    lines: Iterable[StatementLine],
) -> BrokerBooks:
    said = broker.reports(0)
    names = dict.fromkeys([*asked, *(report.cl_ord_id for report in said if report.cursor > after_cursor)])
    names |= dict.fromkeys(order.cl_ord_id for order in broker.open_orders())
    found = {cl_ord_id: broker.order(cl_ord_id)[0] for cl_ord_id in names}
    return BrokerBooks(
        name=name,
        session_id=session_id,
        orders={cl_ord_id: order for cl_ord_id, order in found.items() if order is not None},
        history=tuple(report for report in said if report.exec_type in (ExecType.TRADE, ExecType.TRADE_CANCEL)),
        after_cursor=after_cursor,
        positions=tuple(broker.positions()),
        account=broker.account(),
        lines=tuple(lines),
    )


@contextmanager
def _in_process(
    copy: Path, instruments: list[Instrument], currency: str, _: LegNames
) -> Iterator[tuple[Broker, Exchange, Statement]]:
    """A venue that the platform played itself."""
    # Terms and opening cash are in the copy already; what is given here opens nothing new.
    with Exchange(copy, instruments, costs.costed(), currency, Decimal(1)) as exchange:
        yield SimulatedBroker(exchange), exchange, exchange.statement


@contextmanager
def _over_the_wire(
    copy: Path, instruments: list[Instrument], currency: str, leg_names: LegNames
) -> Iterator[tuple[Broker, Exchange, Statement]]:
    """A venue that was a process of its own: in the names it had on the wire, as the session heard them."""
    from qmworkbench.brokers.select import wire_broker
    from qmworkbench.venue.wire.desk import Desk
    from qmworkbench.venue.wire.here import served_here

    with served_here(lambda: Desk(copy, costs.costed(), currency, Decimal(1), instruments=instruments)) as served:
        broker = wire_broker(Environment.LOCAL, served.address, leg_names=leg_names, follow=False)
        try:
            yield broker, served.desk.exchange, served.desk.tape.statement
        finally:
            broker.close()


@contextmanager
def _venue_copy(paths: BookPaths) -> Iterator[Path]:
    """The venue's file as it is now, in a copy that is gone afterwards."""
    if not paths.venue.exists():
        raise BrokerUnreachable(f"{paths.venue} does not exist: the venue of this book was moved or never opened")
    with tempfile.TemporaryDirectory(prefix="qm-venue-") as directory:
        copy = Path(directory) / "venue.db"
        try:
            _copy(paths.venue, copy)
            yield copy
        except (VenueError, sqlite3.Error) as error:
            raise BrokerUnreachable(f"{paths.venue} could not be read: {error}") from error


def _copy(original: Path, copy: Path) -> None:
    """A consistent copy, made by SQLite while the original may be in use; the original is opened for reading alone."""
    with (
        closing(sqlite3.connect(f"{original.resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
