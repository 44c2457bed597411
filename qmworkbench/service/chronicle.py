"""What screens show of the session so far that no rule needs and the state therefore forgets (§9, §21).

Follows the bus: everything in here is on disk. After a restart the session's journal is read through once and it is
as if the process had never died.
"""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from qmworkbench.domain.events import Event, control, market, orders, reconciliation, session
from qmworkbench.domain.sessions import Phase

FILLS_KEPT: Final = 50
DENIALS_KEPT: Final = 20
VIOLATIONS_KEPT: Final = 20
COMMANDS_KEPT: Final = 1000


class Denial(msgspec.Struct, frozen=True, kw_only=True):
    """An order we refused ourselves: `codes` are the risk rules that failed, `text` says it in words."""

    at: datetime
    symbol: str
    strategy_id: str
    codes: tuple[str, ...]
    text: str


class CommandAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a command was answered; the same `command_id` always gets the same answer. `effect` when accepted."""

    accepted: bool
    command_id: str
    effect: str = ""
    reason: str = ""
    remedy: str = ""


class Chronicle:
    """The session's phases, fills, trades, denials, violations, answers to commands and equity, from its events."""

    def __init__(self) -> None:
        self._react: dict[type[Event], Callable[[Any], None]] = {
            session.SessionOpened: self._opened,
            session.PhaseEntered: self._phase_entered,
            orders.FillRecorded: self._filled,
            orders.TradeClosed: self._traded,
            orders.RiskDecided: self._judged,
            control.RiskViolated: self._violated,
            control.CommandAccepted: self._accepted,
            control.CommandRefused: self._refused,
            reconciliation.AccountObserved: self._account,
            market.BoundaryClosed: self._boundary,
        }
        self._begin()

    def _begin(self) -> None:
        self.phases: dict[Phase, datetime] = {}
        self.fills: deque[orders.FillRecorded] = deque(maxlen=FILLS_KEPT)
        self.trades: list[orders.TradeClosed] = []
        self.denials: deque[Denial] = deque(maxlen=DENIALS_KEPT)
        self.violations: deque[control.RiskViolated] = deque(maxlen=VIOLATIONS_KEPT)
        self.answers: dict[str, CommandAnswer] = {}
        self.equity: list[tuple[datetime, Decimal]] = []
        self.bars = 0

    def receive(self, seq: int, events: Sequence[Event]) -> None:
        """Take in durable events; `seq` is the last one's."""
        for event in events:
            react = self._react.get(type(event))
            if react is not None:
                react(event)

    def equity_at(self, at: datetime, equity: Decimal) -> None:
        """Note the account's worth at a boundary; one point per boundary, the newest counts."""
        if self.equity and self.equity[-1][0] == at:
            self.equity[-1] = (at, equity)
        else:
            self.equity.append((at, equity))

    def _opened(self, event: session.SessionOpened) -> None:
        self._begin()
        self.phases[Phase.PRE_START] = event.at

    def _phase_entered(self, event: session.PhaseEntered) -> None:
        self.phases[event.phase] = event.at

    def _filled(self, event: orders.FillRecorded) -> None:
        self.fills.append(event)

    def _traded(self, event: orders.TradeClosed) -> None:
        self.trades.append(event)

    def _judged(self, event: orders.RiskDecided) -> None:
        if event.allowed:
            return
        failed = event.failed
        text = "; ".join(f"{rule.code}: {rule.value} (limit {rule.limit})" for rule in failed)
        self.denials.append(
            Denial(
                at=event.at,
                symbol=event.symbol,
                strategy_id=event.strategy_id,
                codes=tuple(rule.code for rule in failed),
                text=text,
            )
        )

    def _violated(self, event: control.RiskViolated) -> None:
        self.violations.append(event)

    def _accepted(self, event: control.CommandAccepted) -> None:
        self._answer(CommandAnswer(accepted=True, command_id=event.command_id, effect=event.effect))

    def _refused(self, event: control.CommandRefused) -> None:
        self._answer(
            CommandAnswer(accepted=False, command_id=event.command_id, reason=event.reason, remedy=event.remedy)
        )

    def _answer(self, answer: CommandAnswer) -> None:
        self.answers.setdefault(answer.command_id, answer)
        while len(self.answers) > COMMANDS_KEPT:
            del self.answers[next(iter(self.answers))]

    def _account(self, event: reconciliation.AccountObserved) -> None:
        self.equity_at(event.at, event.account.equity)

    def _boundary(self, event: market.BoundaryClosed) -> None:
        self.bars += event.rows
