"""The direct emergency over symbols that several instances hold: flat at the broker and in our books (§15)."""

from pathlib import Path

import pytest

from qmworkbench.domain import commands
from qmworkbench.domain.chain import GENESIS
from qmworkbench.domain.events import decode, encode
from qmworkbench.domain.events.control import EmergencyCompleted
from qmworkbench.domain.events.orders import PositionsOffset, ReportQuarantined, TradeClosed
from qmworkbench.domain.events.reconciliation import BreakFound, FallbackImported, ReconciliationResult
from qmworkbench.domain.sessions import TradingState
from qmworkbench.service.direct_emergency import liquidate_direct
from qmworkbench.service.direct_record import DirectRecord
from qmworkbench.service.direct_report import DirectReport, Patience
from qmworkbench.service.recovery import _closes_for
from qmworkbench.storage.fallback import FallbackLog
from qmworkbench.storage.fallback_file import read_fallback
from qmworkbench.trading.holdings import unsound
from qmworkbench.trading.state import EXTERNAL
from tests.trading.test_shared_symbols import PAIR, A, B, opened, opposed, step
from tests.trading.world import World


def same_side() -> World:
    world = opened()
    step(world, world.row(PAIR, A, entry_long=True), world.row(PAIR, B, entry_long=True))
    step(world)
    return world


SITUATIONS = {
    "net long": lambda: opposed(1.3, 1.4),
    "net short": lambda: opposed(1.4, 1.3),
    "nothing in all": lambda: opposed(1.3, 1.3),
    "both long": same_side,
}


def liquidated(world: World, path: Path) -> DirectReport:
    """The platform is gone; the emergency goes past it, and the market goes on."""
    now_s = [0.0]

    def sleep(seconds: float) -> None:
        now_s[0] += seconds
        world.exchange.on_frame(world.bar({PAIR: (1.35, 1.35, 1.35, 1.35)}), world.universe)

    with FallbackLog(path, (1, GENESIS)) as log:
        return liquidate_direct(
            world.broker,
            DirectRecord(log),
            book="local",
            session_id=world.state.day.session_id,
            reason="the service hangs",
            operator="ann",
            patience=Patience(wait_s=60.0, deadline_s=60.0, poll_s=1.0),
            clock=lambda: now_s[0],
            sleep=sleep,
        )


@pytest.mark.parametrize("situation", SITUATIONS)
def test_it_ends_flat_at_the_broker_and_in_our_books(situation: str, tmp_path: Path) -> None:
    world = SITUATIONS[situation]()
    report = liquidated(world, tmp_path / "fallback.jsonl")
    assert report.flat
    assert not world.exchange.positions()
    contents = read_fallback(tmp_path / "fallback.jsonl")
    for record in contents.records:
        taken = FallbackImported(
            at=world.at(),
            file_hash=contents.file_hash,
            n=record.n,
            original_at=record.event.at,
            record=encode(record.event).decode(),
            strategy_id=_closes_for(world.state, record.event),
        )
        world.journal.extend(encode(event) for event in world.kernel.step(taken))
    world.restart()
    state = world.state
    assert not state.positions
    assert not state.net
    assert not unsound(state)
    assert state.halt.state is TradingState.HALTED
    told = [decode(line) for line in world.journal]
    assert not [e for e in told if isinstance(e, ReportQuarantined | BreakFound)]
    assert len([e for e in told if isinstance(e, PositionsOffset)]) == 1
    trades = {e.strategy_id: e for e in told if isinstance(e, TradeClosed)}
    closed_there = situation != "nothing in all"
    assert set(trades) == ({A, B, EXTERNAL} if closed_there else {A, B})
    if closed_there:
        assert trades[EXTERNAL].gross_pnl == 0, "what it closed is their profit and loss, at the price it got"
        assert trades[A].exit_px == trades[B].exit_px == trades[EXTERNAL].entry_px
    assert sum(e.gross_pnl for e in trades.values()) == state.day.net_realized_pnl
    assert not [e for e in told if isinstance(e, EmergencyCompleted)], "it completed outside, and that is on record"
    world.command(commands.Reconcile(reason="look"))
    assert world.state.reconciliation.result is ReconciliationResult.CLEAN
