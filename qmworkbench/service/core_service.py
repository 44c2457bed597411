"""What the Core API serves of one running platform: view, health, commands, events, stories (§7, §9, §10)."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

import qmworkbench
from qmworkbench.domain.chain import Record
from qmworkbench.domain.commands import AnyCommand, EndSession, RestartStrategy
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import CommandAccepted, CommandReceived, CommandRefused
from qmworkbench.domain.numbers import cents
from qmworkbench.market.feed import Delivery
from qmworkbench.operations.duplicate_suspicion import Inspection
from qmworkbench.ports import JournalFailed
from qmworkbench.service.chronicle import CommandAnswer
from qmworkbench.service.command_desk import CommandDesk, CommandRequest
from qmworkbench.service.direct_takeover import left_unfinished
from qmworkbench.service.health import HealthReport
from qmworkbench.service.order_inspection import gather
from qmworkbench.service.platform import Platform
from qmworkbench.service.shell import ShellStopped
from qmworkbench.service.views import View, ViewBuilder, view_of
from qmworkbench.service.why import why
from qmworkbench.storage.stores import open_reader
from qmworkbench.trading.state import decode_state, encode_state


class DirectEmergency(Protocol):
    """Liquidates with the broker and the fallback log alone (service/direct_takeover.py)."""

    async def __call__(self, operator: str, reason: str) -> str:
        """Begin, or join; returns what was done."""
        ...

    def shown(self) -> dict[str, Any] | None:
        """Where it stands, as the snapshot shows an emergency; None where none was begun."""
        ...

    async def finished(self, wait_s: float) -> bool:
        """Wait until it has ended, for so long at most; says whether it has."""
        ...


class CoreService:
    """service.api.Platform over a running day. Lives on the loop that owns the platform.

    `market_now` dates commands. `direct_emergency` is what is left to an emergency once the journal has failed.
    """

    def __init__(
        self,
        platform: Platform,
        *,
        market_now: Callable[[], datetime],
        direct_emergency: DirectEmergency | None = None,
    ) -> None:
        self._platform = platform
        self._market_now = market_now
        self._direct = direct_emergency
        self._builder = ViewBuilder()
        self._desk = CommandDesk(self._execute, answered=platform.chronicle.answers.get, wall=platform.wall)
        self._settling: set[asyncio.Task[None]] = set()
        self._view = self._first_view()
        platform.boundary_listeners.append(self._note_equity)

    # --- reads, from what is already built --------------------------------------------------------------------

    def view(self) -> View:
        return self._view

    def health(self) -> HealthReport:
        journal = self._platform.journal
        return self._platform.board.report(
            version=qmworkbench.__version__,
            journal_seq=journal.head[0],
            durable_seq=journal.durable_seq,
            at=self._platform.wall(),
        )

    async def refresh(self) -> None:
        """Build the next view if anything has changed, and show it once what it shows is on disk."""
        platform = self._platform
        content = self._content()
        built = self._builder.build(content, seq=platform.journal.head[0], wall_at=platform.wall())
        if built is None:
            return
        if platform.journal.durable_seq < built.seq and platform.shell.failed is None:
            try:
                await platform.shell.durable()
            except JournalFailed:
                return  # the next refresh shows that
        if built.version > self._view.version:  # another refresh may have been quicker on its way to the disk
            self._view = built

    def _content(self) -> dict[str, Any]:
        platform = self._platform
        frames = getattr(platform, "frames", None)
        content = view_of(platform.state, platform.chronicle, frames.radar if frames else None, platform.lateness)
        content["analytics"] = platform.analytics.shown()
        content["recovery"] = msgspec.to_builtins(platform.recovery)
        direct = self._direct.shown() if self._direct is not None else None
        if direct is not None:
            content["emergency"] = direct
        if platform.shell.failed is not None:
            alert = {
                "alert_id": "stopped",
                "priority": "P0",
                "kind": "platform_stopped",
                "text": f"nothing is decided or sent any more: {platform.shell.failed}",
                "remedy": "positions can be closed with Emergency Liquidate & Halt or `qm emergency --direct`",
            }
            content["alerts"] = [alert, *content["alerts"]]
        return content

    def _first_view(self) -> View:
        platform = self._platform
        built = self._builder.build(self._content(), seq=platform.journal.durable_seq, wall_at=platform.wall())
        assert built is not None, "the first content differs from none"
        return built

    def _note_equity(self, delivery: Delivery) -> None:
        """What the account is worth at the boundary, at the marks: a point of the curve."""
        state = self._platform.state
        day_pnl, start = state.day_pnl(), state.day.start_equity
        if day_pnl is not None and start is not None:
            self._platform.chronicle.equity_at(delivery.frame.as_of, cents(start + day_pnl))

    async def events(self, after: int, limit: int, types: Sequence[str]) -> tuple[list[Record], int]:
        """Decisions after a sequence; read beside the loop, from the durable file."""
        wanted = frozenset(types)

        def read() -> list[Record]:
            records = self._platform.journal.records(after)
            chosen = (record for record in records if not wanted or record.type in wanted)
            return list(itertools.islice(chosen, limit))

        return await self._platform.shell.beside(read), self._platform.journal.durable_seq

    async def why(self, symbol: str, at: str) -> tuple[Sequence[str], dict[str, Any]]:
        """The story of a symbol around a time of this session."""
        plan = self._platform.plan
        told = await self._platform.shell.beside(lambda: why(plan.paths, symbol, at, session_id=plan.session_id))
        return told.sentences, told.evidence

    async def order(self, cl_ord_id: str) -> Inspection:
        """One order from every side: the record beside the loop, the broker while no effect is under way."""
        platform = self._platform
        saved = encode_state(platform.state)  # the state goes on changing; what is looked at must not

        def look() -> Inspection:
            with open_reader(platform.plan.paths) as journal:
                return gather(journal, decode_state(saved), platform.shell.broker, cl_ord_id)

        return await platform.shell.at_the_venue(look)

    # --- commands -------------------------------------------------------------------------------------------------

    async def command(self, request: CommandRequest) -> CommandAnswer:
        return await self._desk.take(request)

    async def drain(self) -> None:
        """Wait for what commands have set in motion."""
        if self._settling:
            await asyncio.gather(*self._settling, return_exceptions=True)

    async def _execute(self, request: CommandRequest) -> CommandAnswer:
        """Decide on a command and answer once that is on disk; its effects go on behind the answer."""
        platform = self._platform
        if platform.shell.failed is not None:
            return await self._after_failure(request)
        if platform.state.now is None:
            return _refused(request, "no session has begun yet", "give it again once the session is open")
        command = await self._completed(request.command)
        try:
            events = platform.shell.decide(
                CommandReceived(
                    at=self._market_now(),
                    command_id=request.command_id,
                    command=command,
                    operator=request.operator,
                    origin=request.origin,
                )
            )
            await platform.shell.durable()
        except (JournalFailed, ShellStopped):
            return await self._after_failure(request)
        answer = _answer(request, events)
        if answer.accepted and isinstance(request.command, EndSession):
            platform.end_early = request.command.reason
        task = asyncio.get_running_loop().create_task(self._settle())
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        # Who was answered sees what was answered: the next snapshot shows it, not the one a moment later.
        await self.refresh()
        return answer

    async def _completed(self, command: AnyCommand) -> AnyCommand:
        """A restart is held against the parameters that are approved now, whatever the sender believed."""
        if not isinstance(command, RestartStrategy):
            return command
        look_up, name = self._platform.plan.approved_hash, command.strategy_id
        approved = await self._platform.shell.beside(lambda: look_up(name))
        return msgspec.structs.replace(command, params_hash=approved)

    async def _settle(self) -> None:
        try:
            await self._platform.shell.settle()
        except (JournalFailed, ShellStopped):
            return  # noted in shell.failed, and shown from there

    async def carry_on(self) -> None:
        """An emergency that was under way when journal or kernel failed goes on with broker and fallback log, once."""
        why, emergency = left_unfinished(self._platform), self._platform.state.emergency
        if not why or emergency is None or self._direct is None or self._direct.shown() is not None:
            return
        await self._direct(emergency.by, f"{emergency.reason} (goes on without the platform's journal: {why})")

    async def direct_ended(self, wait_s: float) -> None:
        """Wait for a direct emergency, for so long at most."""
        if self._direct is not None:
            await self._direct.finished(wait_s)

    async def _after_failure(self, request: CommandRequest) -> CommandAnswer:
        """The journal has failed: an emergency still goes out, nothing else does."""
        failure = self._platform.shell.failed
        if not request.is_emergency or self._direct is None:
            raise JournalFailed(str(failure))
        done = await self._direct(request.operator, request.command.reason)
        return CommandAnswer(accepted=True, command_id=request.command_id, effect=done)


def _answer(request: CommandRequest, events: Sequence[Event]) -> CommandAnswer:
    for event in events:
        if isinstance(event, CommandAccepted) and event.command_id == request.command_id:
            return CommandAnswer(accepted=True, command_id=request.command_id, effect=event.effect)
        if isinstance(event, CommandRefused) and event.command_id == request.command_id:
            return _refused(request, event.reason, event.remedy)
    return _refused(request, "this command was given before", "see its answer in the journal; give a new command_id")


def _refused(request: CommandRequest, reason: str, remedy: str) -> CommandAnswer:
    return CommandAnswer(accepted=False, command_id=request.command_id, reason=reason, remedy=remedy)
