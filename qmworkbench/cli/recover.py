"""`qm recover`: settle a session that was cut off with the broker, and show §19's six criteria (§19)."""

from typing import TYPE_CHECKING, Any, Final

import typer

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    from qmworkbench.service.config import Config

_CODES: Final = {"GO": Exit.OK, "NO-GO": Exit.NO_GO}


def recover(
    book: Book = None, environment: Environment = None, config: ConfigFile = None, json: AsJson = False
) -> None:
    """Take over an unfinished session without trading on: orders in doubt are asked for, the books compared, entries
    held. With a platform running, its own recovery is shown.

    Exit code 0: all six criteria hold, or there is nothing to recover. 1: one does not. 2: one could not be looked at.
    """
    from qmworkbench.service.client import CoreApi, NotRunning
    from qmworkbench.service.offline import demand_book

    out = begin(json=json)
    loaded = config_of(book, environment, config)
    demand_book(loaded)
    try:
        with CoreApi(loaded.paths) as api:
            found = _of_platform(api.snapshot())
    except NotRunning:
        found = _of_book(loaded)
    _report(found, out)


def _of_platform(shown: dict[str, Any]) -> dict[str, Any]:
    import msgspec

    from qmworkbench.domain.checks import Check
    from qmworkbench.operations.recovery import acceptance

    checks = msgspec.convert(shown.get("recovery", []), list[Check])
    session = str(shown.get("session_id", ""))
    if not checks:
        text = "the running platform has taken nothing over, or is not through with it yet"
        return _nothing(text, session=session, through="platform")
    return _found(checks, acceptance(checks).value, session=session, through="platform")


def _of_book(config: "Config") -> dict[str, Any]:
    from qmworkbench.domain.sessions import Phase
    from qmworkbench.service.blocking import complete
    from qmworkbench.service.offline import open_offline
    from qmworkbench.service.recover_book import recover_book

    with open_offline(config, "qm recover") as opened:
        if not opened.session_open:
            return _nothing("no session was left unfinished", through="book")
        if opened.shell.state.day.phase is Phase.PRE_START:
            raise Cannot(
                f"session {opened.restored.unfinished} was opened and never began",
                "nothing was sent in it: run the day, it is opened anew",
            )
        done = complete(recover_book(opened))
    found = _found(done.checks, done.verdict.value, session=done.session_id, through="book")
    found |= {"in_doubt_before": done.in_doubt, "imported": done.imported, "entries_held": done.entries_held}
    return found | {"notes": list(done.notes)}


def _nothing(text: str, *, through: str, session: str = "") -> dict[str, Any]:
    return {"verdict": "GO", "session": session, "through": through, "checks": [], "notes": [text]}


def _found(checks: Any, verdict: str, *, session: str, through: str) -> dict[str, Any]:
    import msgspec

    plain = [msgspec.to_builtins(check) for check in checks]
    return {"verdict": verdict, "session": session, "through": through, "checks": plain, "notes": []}


def _report(found: dict[str, Any], out: Output) -> None:
    def human() -> None:
        if found["checks"]:
            rows = [[c["status"].upper(), c["title"], c["value"], c["expectation"]] for c in found["checks"]]
            out.table(["", "criterion", "seen", "expected"], rows, title=f"recovery of {found['session']} (§19)")
            for check in found["checks"]:
                if check["status"] in ("fail", "warn"):
                    said = ". ".join(part for part in (check["detail"], check["remedy"]) if part)
                    out.line(f"  {check['status']}: {check['title']}: {said}")
        for note in found["notes"]:
            out.line(note)
        if found.get("entries_held"):
            out.line(f"entries are held: {found['entries_held']}; they go on with `qm day`, once they are released")
        out.line(f"recovery: {found['verdict']}")

    out.result(found, human)
    code = _CODES.get(found["verdict"], Exit.FAILED)
    if code is not Exit.OK:
        raise typer.Exit(code)
