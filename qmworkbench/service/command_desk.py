"""Where a person's command enters: its form, its age, its repetition, and its one answer (§10, §15, TRAPS "Panel")."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from qmworkbench.domain.commands import AnyCommand, EmergencyLiquidateAndHalt
from qmworkbench.service.chronicle import CommandAnswer

# A click that waited longer than this in a hung server or page is no longer what the operator wants.
MAX_AGE: Final = timedelta(seconds=3)
_ID_MAX: Final = 100
_TEXT_MAX: Final = 2000


class CommandMalformed(ValueError):
    """The request is not a command; the message is a sentence for the person who sent it."""


class CommandRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command as it comes in. `client_ts` is when the person decided (aware); `state_version` the snapshot they saw.

    `command_id` is chosen by the sender: the same id is the same command and is carried out once.
    """

    command_id: str
    client_ts: datetime
    operator: str
    origin: str
    command: AnyCommand
    state_version: int | None = None

    @property
    def is_emergency(self) -> bool:
        return isinstance(self.command, EmergencyLiquidateAndHalt)


_decoder = msgspec.json.Decoder(CommandRequest)


def read_request(body: bytes) -> CommandRequest:
    """The command a body holds. Raises CommandMalformed naming what does not fit and what would."""
    try:
        request = _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise CommandMalformed(
            f"the command cannot be read: {error}. Send JSON with command_id, client_ts (ISO 8601 with time zone), "
            'operator, origin and command, such as {"command": "pause", "reason": "lunch"}.'
        ) from error
    if request.client_ts.tzinfo is None:
        raise CommandMalformed(
            f"client_ts {request.client_ts.isoformat()} has no time zone: send it in UTC, such as 2018-03-02T14:30:00Z."
        )
    for name in ("command_id", "operator", "origin"):
        value = getattr(request, name)
        if not value.strip() or len(value) > _ID_MAX:
            raise CommandMalformed(f"{name} is {value[:_ID_MAX]!r}: give 1 to {_ID_MAX} characters.")
    reason = request.command.reason
    if len(reason) > _TEXT_MAX:
        raise CommandMalformed(f"reason has {len(reason)} characters: say it in at most {_TEXT_MAX}.")
    # An emergency without a reason is still an emergency.
    if not reason.strip() and not request.is_emergency:
        raise CommandMalformed("reason is empty: say why; it is read in the review, and at night by someone else.")
    return request


class CommandDesk:
    """Takes each command once and gives every repetition the first answer.

    `execute` carries a command out and returns once its events are durable. `answered` looks up an answer given
    earlier, by this process or one before it. An emergency is never too old, because a late one is still wanted.
    """

    def __init__(
        self,
        execute: Callable[[CommandRequest], Awaitable[CommandAnswer]],
        *,
        answered: Callable[[str], CommandAnswer | None],
        wall: Callable[[], datetime],
    ) -> None:
        self._execute = execute
        self._answered = answered
        self._wall = wall
        self._in_hand: dict[str, asyncio.Task[CommandAnswer]] = {}

    async def take(self, request: CommandRequest) -> CommandAnswer:
        """Carry a command out, or say why not. A repetition waits for the first one's answer."""
        earlier = self._answered(request.command_id)
        if earlier is not None:
            return earlier
        task = self._in_hand.get(request.command_id)
        if task is None:
            refusal = self._too_old(request)
            if refusal is not None:
                return refusal
            task = asyncio.get_running_loop().create_task(self._carry_out(request))
            self._in_hand[request.command_id] = task
            task.add_done_callback(lambda _: self._in_hand.pop(request.command_id, None))
        # The sender may hang up; the command it gave goes on.
        return await asyncio.shield(task)

    async def _carry_out(self, request: CommandRequest) -> CommandAnswer:
        return await self._execute(request)

    def _too_old(self, request: CommandRequest) -> CommandAnswer | None:
        age = self._wall() - request.client_ts
        if request.is_emergency or -MAX_AGE <= age <= MAX_AGE:
            return None
        seconds = age / timedelta(seconds=1)
        if seconds > 0:
            reason = (
                f"the command is {seconds:.1f} s old, more than {MAX_AGE.seconds} s: it waited somewhere on its way"
            )
            remedy = "look at the present state and give it again if it is still wanted"
        else:
            reason = f"the command is dated {-seconds:.1f} s ahead of the platform's clock"
            remedy = "synchronise the clocks of both machines and give it again"
        return CommandAnswer(accepted=False, command_id=request.command_id, reason=reason, remedy=remedy)
