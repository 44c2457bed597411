"""Taking over a session that another process left unfinished (§19).

In the runbook's order: store and broker are back, account, orders and positions are pulled, live state is rebuilt
from the broker and the durable record, the session is marked, and no entry passes before reconciliation has.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from qmworkbench.domain.commands import EndSession
from qmworkbench.domain.events import Event
from qmworkbench.domain.events.control import CommandAccepted, CommandReceived
from qmworkbench.domain.events.market import BoundaryClosed, FrameComputed
from qmworkbench.domain.events.reconciliation import BrokerConnectionChanged, SessionRecovered
from qmworkbench.domain.events.session import ServiceStopped, SessionOpened
from qmworkbench.ports import BrokerUnreachable
from qmworkbench.service.overnight import open_the_venue
from qmworkbench.service.plan import DayRefused
from qmworkbench.service.platform import Platform
from qmworkbench.service.recovery import session_events
from qmworkbench.service.stage import Stage


async def resume(platform: Platform) -> None:
    """Mark the session recovered and settle with the broker what the last process left in doubt.

    Raises DayRefused where the broker does not answer or the plan's bars are not the session's.
    """
    shell, state = platform.shell, platform.state
    story = session_events(platform.journal, platform.restored.unfinished)
    _demand_same_bars(platform, story)
    for seq, event in story:
        platform.chronicle.receive(seq, (event,))
        platform.analytics.take((event,))
    platform.audit.begin_from(platform.journal, story[0][0], [event for _, event in story])
    platform.stopped += [event.service for _, event in story if isinstance(event, ServiceStopped)]
    platform.end_early = _ended_early_by(story)
    try:
        await open_the_venue(platform)
    except BrokerUnreachable as error:
        raise DayRefused(
            f"the execution broker does not answer ({error}), so nothing can be recovered: restore the connection and "
            "start again. `qm emergency --direct` needs it as well"
        ) from error
    in_doubt = sum(order.is_in_doubt for order in state.working())
    shell.decide(
        SessionRecovered(at=shell.now(), from_seq=platform.restored.seq, in_doubt=in_doubt, hold=platform.plan.standby)
    )
    shell.decide(BrokerConnectionChanged(at=shell.now(), connected=True, detail="account and orders answer"))
    await shell.settle()


async def catch_up(platform: Platform) -> str:
    """Rebuild radar and signals from the stored bars, and show the venue its tape again; returns what was found, for
    the log.

    Raises DayRefused where the stored bars are not those the journal names.
    """
    story = session_events(platform.journal, platform.plan.session_id)
    named = [(event.at, event.frame_hash) for _, event in story if isinstance(event, BoundaryClosed)]
    platform.bars.rewind(platform.day.boundary_at)
    wrong = platform.bars.verify(named)
    if wrong:
        raise DayRefused(
            f"the bars on disk are not those decided with: {'; '.join(wrong[:3])}. "
            f"Restore {platform.session_paths.bars} from a copy; positions can be closed with `qm emergency --direct`"
        )
    computed = platform.day.frame_at
    taken = 0
    for frame in platform.bars.frames():
        # The venue matches nothing twice, but it has lost the prints it had only seen.
        await platform.shell.at_the_venue(partial(platform.exchange.on_frame, frame, platform.plan.data.universe))
        if computed is not None and frame.as_of <= computed:
            platform.frames.take(frame, platform.ground.spread_bps(frame.as_of))
            taken += 1
    radar = platform.frames.radar
    last = [event for _, event in story if isinstance(event, FrameComputed) and event.as_of == computed]
    if last and radar is not None and radar.content_hash != last[-1].radar_hash:
        platform.notes.append(
            f"the radar rebuilt at {computed} is {radar.content_hash}, on record is {last[-1].radar_hash}: "
            "the code has changed since, and what follows may differ from what would have"
        )
    return f"{taken} of {len(named)} boundaries taken in again"


def _demand_same_bars(platform: Platform, story: Sequence[tuple[int, Event]]) -> None:
    opened = next(event for _, event in story if isinstance(event, SessionOpened))
    data = platform.plan.data
    if opened.data_hash != data.data_hash:
        raise DayRefused(
            f"session {opened.session_id} was begun with the bars of {opened.data_source} (hash {opened.data_hash}), "
            f"{data.source} holds others (hash {data.data_hash}): resume it with the same data, or use --fresh"
        )
    if opened.config_hash != platform.plan.config_hash:
        platform.notes.append(
            f"the session goes on under the settings it was opened with (hash {opened.config_hash}); "
            f"those changed since (hash {platform.plan.config_hash}) count from the next session"
        )


def _ended_early_by(story: Sequence[tuple[int, Event]]) -> str:
    """The reason of an accepted early end, "" where there was none."""
    asked = {
        event.command_id: event.command.reason
        for _, event in story
        if isinstance(event, CommandReceived) and isinstance(event.command, EndSession)
    }
    accepted = [event.command_id for _, event in story if isinstance(event, CommandAccepted)]
    return next((asked[command_id] for command_id in accepted if command_id in asked), "")


def unfinished_frame(stage: Stage) -> datetime | None:
    """The boundary that closed but whose frame was never decided on, None where there is none."""
    day = stage.day
    return day.boundary_at if day.boundary_at != day.frame_at else None
