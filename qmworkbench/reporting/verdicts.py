"""The verdict a notebook writes last: the only proof that it ran to its end (§17; DESIGN "Reports")."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from qmworkbench.domain.checks import Verdict
from qmworkbench.storage.atomic import write_whole

FILE: Final = "verdict.json"


class ReportVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a report concludes. `run_id` is the run that wrote it: a verdict of another run is none.

    `reasons` are shown beneath the headline, worst first; `facts` what the report was made from, by name, and belong
    into its manifest.
    """

    report: str
    run_id: str
    verdict: Verdict
    headline: str
    reasons: tuple[str, ...] = ()
    where: str = ""
    facts: dict[str, str] = {}
    written_at: str = ""


class NoVerdict(Exception):
    """There is no verdict of this run; the message says what was found instead."""


def write_verdict(directory: Path, verdict: ReportVerdict) -> Path:
    """Put the verdict on disk, whole or not at all; call it as the last thing of a notebook."""
    path = directory / FILE
    stamped = msgspec.structs.replace(verdict, written_at=datetime.now(UTC).isoformat(timespec="seconds"))
    write_whole(path, msgspec.json.format(msgspec.json.encode(stamped), indent=2), b"\n")
    return path


def read_verdict(directory: Path, run_id: str) -> ReportVerdict:
    """The verdict that run `run_id` wrote. Raises NoVerdict."""
    path = directory / FILE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=ReportVerdict)
    except FileNotFoundError:
        raise NoVerdict("the notebook ended without its verdict") from None
    except msgspec.DecodeError as error:
        raise NoVerdict(f"{FILE} is no verdict of ours ({error})") from error
    if found.run_id != run_id:
        raise NoVerdict(f"{FILE} was written by run {found.run_id or 'unknown'}, not by this one")
    return found
