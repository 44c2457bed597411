"""Opening the venue's session: what happened overnight is booked there, and heard before anything is decided (§4, §14).

The venue books corporate actions and financing since its last session, whatever the platform did meanwhile. Its entries
are read after the last one we know, so that days the platform was down, a resumed day and a day opened twice come out
the same; they reach the kernel before the venue's reports and before the startup comparison.
"""

from datetime import date

from qmworkbench.domain.commands import BlockSymbol
from qmworkbench.domain.events.control import CommandReceived
from qmworkbench.domain.execution import ActivityKind
from qmworkbench.domain.ids import content_id
from qmworkbench.service.stage import Stage


async def open_the_venue(stage: Stage) -> None:
    """Open the venue's session, see that the broker answers, and hear what it booked. Raises BrokerUnreachable."""
    plan, shell = stage.plan, stage.shell
    data = plan.data

    def open_session() -> None:
        stage.exchange.open_session(plan.session_id, shell.now(), day=data.window.date, actions=data.actions)

    await shell.at_the_venue(open_session)
    await shell.at_the_venue(stage.broker.account)
    await shell.hear_activities()


async def let_blocks_follow(stage: Stage) -> None:
    """A symbol kept out stays out under its new name, held or not: the broker tells of what we hold alone."""
    state, last = stage.state, _last_session(stage)
    for action in stage.plan.data.actions:
        block, new = state.blocked.get(action.symbol), action.new_symbol
        if action.kind is not ActivityKind.SYMBOL_CHANGE or block is None or action.ex_date <= last:
            continue
        if new not in state.blocked and new in state.day.instruments:
            reason = f"{action.symbol} is {new} since {action.ex_date}, blocked by {block.by}: {block.reason}"
            await stage.shell.feed(
                CommandReceived(
                    at=stage.shell.now(),
                    command_id=content_id(stage.plan.session_id, "block follows", action.symbol, new),
                    command=BlockSymbol(symbol=new, scope=block.scope, reason=reason),
                    operator="policy:renamed",
                    origin="policy",
                )
            )


def _last_session(stage: Stage) -> date:
    """The date of the book's session before this one; of the market's where the book has none."""
    closed = stage.state.closed_sessions
    try:
        return date.fromisoformat(closed[-1][-10:])
    except (IndexError, ValueError):
        known = stage.plan.data.history
        return known[-1].date if known else stage.plan.data.window.date
