"""Why did it (not) trade X, that day or at 10:04? Computed again from stored bars, proved, told in words (§9, §17)."""

import difflib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from qmworkbench.service.stories import tell
from qmworkbench.service.why_day import tell_the_whole_day
from qmworkbench.service.why_minute import tell_the_minute
from qmworkbench.service.why_session import AskedSession, NoSuchSession, find
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.stores import open_reader

__all__ = ["NoSuchSession", "Why", "why"]

_NEAREST: Final = 3


@dataclass(frozen=True)
class Why:
    """The answer: sentences in the order one would tell them, and what they were made from."""

    sentences: tuple[str, ...]
    evidence: dict[str, Any]


def why(paths: BookPaths, symbol: str, at: str | None = None, *, session_id: str | None = None) -> Why:
    """The story of `symbol` in one session (None: the book's newest): of its day, or around `at`, exchange time such as
    "10:04".

    Any symbol and any time of day may be asked. Raises ValueError for a text that is no time, NoSuchSession, and
    StorageRefused where journal or bars cannot be read.
    """
    asked = symbol.strip().upper()
    with open_reader(paths) as journal:
        found = find(paths, journal, session_id, at)
    session = found.session
    told: list[str] = list(found.notes)
    evidence: dict[str, Any] = {
        "session_id": session.opened.session_id,
        "symbol": asked,
        "asked_at": found.moment,
        "boundary": session.boundary.boundary if session.boundary else None,
        "as_of": session.boundary.at if session.boundary else None,
    }
    symbols = [instrument.symbol for instrument in session.opened.instruments]
    if asked not in symbols:
        near = difflib.get_close_matches(asked, symbols, n=_NEAREST, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        told.append(f"{asked} is not among the {len(symbols)} symbols of session {session.opened.session_id}{hint}")
        return Why(tuple(told), evidence | {"nearest": near})
    if found.moment is not None and session.boundary is not None:
        tell_the_minute(paths, session, asked, told, evidence)
    paragraphs, made_from = tell_the_whole_day(paths, session, asked)
    evidence |= {"day": made_from, "paragraphs": paragraphs}
    told += paragraphs if found.moment is None else [f"its day: {paragraph}" for paragraph in paragraphs]
    _tell_the_events(session, asked, found.moment, told, evidence)
    return Why(tuple(told), evidence)


def _tell_the_events(
    session: AskedSession, symbol: str, moment: datetime | None, told: list[str], evidence: dict[str, Any]
) -> None:
    """What happened to it, event by event, told around the moment asked about."""
    ids: set[str] = set()
    lines: list[dict[str, Any]] = []
    for seq, event in session.story:
        text = tell(event, symbol, ids)
        if text:
            lines.append({"seq": seq, "at": event.at, "text": text})
    evidence["story"] = lines
    before = [line for line in lines if moment is None or line["at"] <= moment]
    after = lines[len(before) :]
    if moment is None:
        told.append(f"event by event: {len(lines)}" if lines else "no event of the session is about it")
    else:
        told.append(f"until then: {len(before)} events" if before else "until then nothing had happened to it")
    told += [f"  {session.local(line['at'])}  {line['text']}" for line in before]
    if after:
        told.append("afterwards:")
        told += [f"  {session.local(line['at'])}  {line['text']}" for line in after]
