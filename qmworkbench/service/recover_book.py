"""Recovery of a book on which no platform runs, without trading on: settled with the broker, entries held (§19).

The same inputs as when a platform takes the session over (service/resume.py), the same acceptance criteria. What needs
the market's data (radar, signals) waits for the platform; nobody's policy releases entries meanwhile.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from qmworkbench.domain.checks import Check, Verdict
from qmworkbench.domain.events.control import ClockTicked
from qmworkbench.domain.events.reconciliation import BrokerConnectionChanged, SessionRecovered
from qmworkbench.domain.sessions import Phase
from qmworkbench.operations.recovery import acceptance, recovery_checks
from qmworkbench.ports import BrokerUnreachable
from qmworkbench.service.offline import OfflineBook
from qmworkbench.service.recovery import import_fallback, rooted_elsewhere
from qmworkbench.service.recovery_evidence import gather_recovery, keep_recovery

# Market seconds given to orders in doubt and to the comparison. They pass at once: nothing trades meanwhile.
SETTLE_S: Final = 30


@dataclass(frozen=True)
class Recovered:
    """What a recovery came to. `checks` are §19's six criteria, `through` whether reconciliation has passed and nothing
    is in doubt any more, `notes` what else there is to know.
    """

    session_id: str
    checks: list[Check]
    through: bool
    in_doubt: int
    imported: int
    entries_held: str
    notes: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        said = acceptance(self.checks)
        return Verdict.NO_GO if said is Verdict.GO and not self.through else said


async def recover_book(opened: OfflineBook) -> Recovered:
    """Take over the session that was left unfinished, settle it with the broker, and look at the six criteria."""
    shell, state = opened.shell, opened.shell.state
    fallback = opened.config.paths.fallback
    notes = [*opened.restored.notes, *filter(None, [rooted_elsewhere(opened.journal, fallback)])]
    imported = await import_fallback(shell, fallback)
    in_doubt = sum(order.is_in_doubt for order in state.working())
    shell.decide(SessionRecovered(at=shell.now(), from_seq=opened.restored.seq, in_doubt=in_doubt, hold=True))
    try:
        opened.broker.account()
        shell.decide(BrokerConnectionChanged(at=shell.now(), connected=True, detail="account and orders answer"))
    except BrokerUnreachable as error:
        notes.append(f"the execution broker does not answer ({error}): nothing is concluded, try again")
    await shell.settle()
    # The next bars may be decided on later: the book's clock must not pass them.
    for _ in range(min(SETTLE_S, state.day.window.interval_s - 1)):
        if not state.day.recovering:
            break
        await shell.feed(ClockTicked(at=shell.now() + timedelta(seconds=1)))
    await shell.durable()
    for item in state.reconciliation.unresolved.values():
        notes.append(f"not settled: {item.kind} {item.symbol}: {item.before} here, {item.after} there ({item.cause})")
    checks = recovery_checks(gather_recovery(state, opened.broker, opened.journal))
    keep_recovery(opened.config.paths.session(state.day.session_id).root, checks)
    waits = state.day.entries_held or ("" if state.day.phase is Phase.MARKET_SESSION else f"phase {state.day.phase}")
    return Recovered(
        session_id=state.day.session_id,
        checks=checks,
        through=not state.day.recovering,
        in_doubt=in_doubt,
        imported=imported,
        entries_held=waits,
        notes=tuple(notes),
    )
