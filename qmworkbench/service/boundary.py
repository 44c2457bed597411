"""One boundary: bars to disk, venue, fills, the frame computed, decisions carried out (§9, DESIGN "Frames")."""

import time
from typing import TYPE_CHECKING, Final

import msgspec

from qmworkbench.domain.events.market import BoundaryClosed, FeedState, StrategyFaulted
from qmworkbench.market.feed import Delivery
from qmworkbench.service.lateness import StageTimes
from qmworkbench.service.stage import Stage
from qmworkbench.storage.refused import StorageRefused
from qmworkbench.trading.frame_computer import Computed, FrameRequest, request_for
from qmworkbench.trading.frames import BarFrame
from qmworkbench.trading.state import encode_state, state_hash

if TYPE_CHECKING:
    from qmworkbench.service.platform import Platform

CHECKPOINT_EVERY: Final = 100


async def take_boundary(platform: "Platform", delivery: Delivery) -> None:
    """Take in the next frame of the feed and decide on it, with everything that is kept of a boundary."""
    shell, frame = platform.shell, delivery.frame
    started = time.perf_counter()
    # The bars are written before anything names them, and durable before any record that does (platform.open_platform).
    await shell.beside(lambda: platform.bars.append(frame))
    await close_boundary(platform, delivery)
    computed, request, stages = await compute_and_decide(platform, frame)
    await shell.beside(lambda: platform.radar_archive.take(computed.radar, request.marked))
    stages.journal_ms = platform.shell.waited_s * 1e3
    platform.shell.waited_s = 0.0
    elsewhere_ms = stages.radar_ms + stages.signals_ms + stages.journal_ms
    # What waited for the journal between two boundaries, a command for one, is in that sum too.
    stages.decide_ms = max(0.0, (time.perf_counter() - started) * 1e3 - elsewhere_ms)
    _note_components(platform, stages)
    lateness_ms = delivery.lateness_ms(platform.wall())
    was_late = platform.lateness.drifted
    shell.telemetry(platform.lateness.note(frame.as_of, delivery.boundary, lateness_ms, stages))
    alert = platform.lateness.alert()
    if alert is not None and not was_late:
        await shell.notify(alert)
    if delivery.boundary and delivery.boundary % CHECKPOINT_EVERY == 0:
        await checkpoint(platform)
    for listener in platform.boundary_listeners:
        listener(delivery)


async def close_boundary(stage: Stage, delivery: Delivery) -> None:
    """The venue trades the bars, what it says is heard, and the boundary goes on record as closed."""
    shell, frame = stage.shell, delivery.frame
    if not frame.extended:
        await shell.at_the_venue(lambda: stage.exchange.on_frame(frame, stage.plan.data.universe))
    await shell.settle()
    # Nothing may come in between: once the monitor awaits the next bars, market time may run up to them.
    observed = stage.monitor.observe(delivery, stage.wall())
    if observed.changed is not None:
        at = max(observed.changed.at, shell.now())
        shell.decide(msgspec.structs.replace(observed.changed, at=at))
    shell.decide(
        BoundaryClosed(
            at=frame.as_of,
            frame_hash=frame.content_hash,
            rows=len(frame),
            boundary=delivery.boundary,
            extended=frame.extended,
        )
    )
    await shell.settle()


async def compute_and_decide(stage: Stage, frame: BarFrame) -> tuple[Computed, FrameRequest, StageTimes]:
    """Have radar, scan and signals computed for what the kernel wants to know now, and let it decide on the answer."""
    shell = stage.shell
    request = request_for(shell.state)
    spread_bps = stage.ground.spread_bps(frame.as_of)
    computed, times = await shell.beside(lambda: stage.frames.compute(frame, request, spread_bps))
    for strategy_id, problem in computed.faults:
        await shell.feed(StrategyFaulted(at=shell.now(), strategy_id=strategy_id, detail=problem))
    await shell.feed(msgspec.structs.replace(computed.answer, at=shell.now()))
    stage.equity.note(shell.state)
    news = stage.analytics.observe(shell.state, 0 if frame.extended else shell.state.day.boundary)
    if news is not None:
        await shell.feed(news)
    return computed, request, times


def _note_components(platform: "Platform", stages: StageTimes) -> None:
    """Whoever has just done its work is healthy; what is wrong in another way is found by looking (health_watch)."""
    board, at = platform.board, platform.wall()
    board.succeeded("store", at, stages.journal_ms or None)
    board.succeeded("execution", at)
    board.succeeded("allocator", at)
    board.succeeded("risk_manager", at, stages.decide_ms)
    if not platform.lateness.drifted:
        board.succeeded("scanner", at, stages.radar_ms)
    if platform.state.feed is FeedState.GOOD:
        board.succeeded("market_data", at)


async def checkpoint(platform: "Platform") -> None:
    """Keep the state as it stands now, so that a recovery need not fold from the beginning."""
    seq, head = platform.journal.head
    state, digest = encode_state(platform.state), state_hash(platform.state)
    await platform.shell.durable()
    await platform.shell.beside(lambda: platform.checkpoints.write(seq, head, state, digest))
    await platform.shell.beside(lambda: _anchor(platform))


def _anchor(platform: "Platform") -> None:
    """Sign the journal's head outside the book. A place that cannot be written stops no session; it is told."""
    if platform.anchors is None:
        return
    try:
        platform.anchors.write(platform.journal, platform.wall())
    except (OSError, StorageRefused) as error:
        note = f"the journal's head could not be anchored: {error}"
        if note not in platform.notes:
            platform.notes.append(note)
