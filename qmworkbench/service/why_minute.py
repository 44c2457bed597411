"""One minute of one symbol, computed again from stored bars and proved: radar, filters, rules (§9, §17)."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from qmworkbench.domain.candidates import FilterVerdict
from qmworkbench.domain.events.market import AssignmentDeclined, AssignmentMade, SignalIgnored
from qmworkbench.domain.events.orders import OrderDenied, OrderIntended
from qmworkbench.service.frames import signal_source
from qmworkbench.service.ground import Ground, load_ground
from qmworkbench.service.stories import tell
from qmworkbench.service.why_session import AskedSession
from qmworkbench.storage.barstore import BarStore
from qmworkbench.storage.paths import BookPaths
from qmworkbench.trading.frame_computer import request_for
from qmworkbench.trading.radar_snapshot import RadarSnapshot
from qmworkbench.trading.scanner import ScanSettings, explain

# What happened at a boundary, the most telling first.
_DECISIVE: Final = (OrderIntended, OrderDenied, SignalIgnored, AssignmentDeclined, AssignmentMade)


def tell_the_minute(
    paths: BookPaths, session: AskedSession, symbol: str, told: list[str], evidence: dict[str, Any]
) -> None:
    """Add what there is to say of the boundary asked about to `told`, and what proves it to `evidence`."""
    assert session.boundary is not None, "asked only for a boundary that closed"
    bars = BarStore(paths.session(session.opened.session_id).bars)
    ground = load_ground(bars)
    radar, features = _recomputed(bars, ground, session, symbol)
    on_record = session.computed.radar_hash if session.computed is not None else ""
    verified = radar.content_hash == on_record
    row = radar.row(symbol)
    evidence |= {
        "radar": msgspec.to_builtins(row),
        "radar_hash": radar.content_hash,
        "radar_hash_on_record": on_record,
        "verified": verified,
        "features": features,
    }
    when = f"{symbol} at {session.local(session.boundary.at)}, boundary {session.boundary.boundary}"
    if row.last is None:
        told.append(f"{when}: it had not traded yet")
    else:
        change = f", {row.change * 100:+.2f} %" if row.change is not None else ""
        told.append(f"{when}: last {row.last:g}{change}, rank {row.rank} of {len(radar.order)}")
    if not on_record:
        told.append("no decision was taken on that boundary: the frame was not computed before the process ended")
    elif not verified:
        told.append(
            f"beware: the radar computed now ({radar.content_hash}) is not the one on record ({on_record}); "
            "the code or the bars have changed since"
        )
    settings = msgspec.convert(session.opened.scan_settings, ScanSettings)
    verdicts = explain(radar, settings, request_for(session.state).conditions, symbol)
    evidence["verdicts"] = [msgspec.to_builtins(verdict) | {"sentence": verdict.sentence()} for verdict in verdicts]
    told.append(_answer(session, symbol, verdicts))
    told += _verdict_sentences(verdicts)
    told += [f"{strategy_id} saw {saw}" for strategy_id, saw in features.items()]


def _answer(session: AskedSession, symbol: str, verdicts: Sequence[FilterVerdict]) -> str:
    """The question answered in one sentence: held, sent, denied, no signal, nobody's, or not let through."""
    boundary, state = session.boundary, session.state
    assert boundary is not None, "asked only for a boundary that closed"
    held = [position for position in state.positions.values() if position.symbol == symbol]
    if held:
        since = session.local(held[0].opened_at) if held[0].opened_at else "before the session"
        others = [f"{position.strategy_id} {position.qty}" for position in held[1:]]
        beside = f" (and beside it {', '.join(others)}: {state.net_qty(symbol)} in all)" if others else ""
        return f"it was in a trade: {held[0].strategy_id} held {held[0].qty} since {since}{beside}"
    ids: set[str] = set()
    decided = {
        type(event): text
        for _, event in session.story
        if event.at == boundary.at and (text := tell(event, symbol, ids)) and isinstance(event, _DECISIVE)
    }
    for kind in _DECISIVE:
        if kind in decided:
            return f"what happened: {decided[kind]}"
    failed = [verdict for verdict in verdicts if not verdict.passed]
    if session.computed is None:
        return "it was not traded: nothing was decided on that boundary"
    owners = state.day.owners.get(symbol, [])
    if owners:
        rules = "its rules" if len(owners) == 1 else "their rules"
        return f"it was not traded: {', '.join(owners)} owned it, and {rules} gave no entry there"
    if failed:
        return f"it was not traded: the scanner kept it out, because {failed[0].sentence()}"
    return "it was not traded: the scanner let it through, and no strategy owned it yet"


def _verdict_sentences(verdicts: Sequence[FilterVerdict]) -> list[str]:
    failed = [verdict for verdict in verdicts if not verdict.passed]
    passed = [verdict for verdict in verdicts if verdict.passed]
    good = f"passed: {'; '.join(verdict.sentence() for verdict in passed)}" if passed else ""
    if not failed:
        return ["the scanner let it through", good]
    out = f"the scanner kept it out: {'; '.join(verdict.sentence() for verdict in failed)}"
    return [out, good] if good else [out]


def _recomputed(
    bars: BarStore, ground: Ground, session: AskedSession, symbol: str
) -> tuple[RadarSnapshot, dict[str, str]]:
    """The radar at the boundary, and what each run that owned the symbol saw of it."""
    assert session.boundary is not None, "asked only for a boundary that closed"
    instruments = {instrument.symbol: instrument for instrument in session.opened.instruments}
    runs = [run.spec for run in session.state.day.runs.values()]
    owned = [(strategy_id, (symbol,)) for strategy_id, name in request_for(session.state).owned if name == symbol]
    signals = signal_source(ground, instruments, runs)
    radar, snapshot = ground.radar(), None
    for frame in bars.frames():
        if frame.as_of > session.boundary.at:
            break
        snapshot = radar.advance(frame, ground.spread_bps(frame.as_of))
        signals.append(frame)
    if snapshot is None:
        raise ValueError(
            f"{bars.directory} holds no bars up to {session.local(session.boundary.at)}: restore it from a copy"
        )
    features: dict[str, str] = {}
    if owned and not session.boundary.extended:
        for row in signals.signals(owned).frame.iter_rows(named=True):
            flags = [
                name.replace("_", " ") for name in ("entry_long", "entry_short", "exit_long", "exit_short") if row[name]
            ]
            seen = [
                f"{name[2:]} {value:.6g}" for name, value in row.items() if name.startswith("f_") and value is not None
            ]
            said = f"an entry, taken back: {row['masked']}" if row["masked"] else " and ".join(flags) or "no signal"
            features[row["instance_id"]] = f"{said} ({', '.join(seen) or 'still warming up'})"
    return snapshot, features
