"""Opening the venue's session: what happened overnight is booked there, and heard before anything is decided (§4, §14).

The venue books corporate actions and financing since its last session, whatever the platform did meanwhile. Its entries
are read after the last one we know, so that days the platform was down, a resumed day and a day opened twice come out
the same; they reach the kernel before the venue's reports and before the startup comparison.
"""

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
