"""`qm emergency`: cancel everything, close everything, stay halted; with the platform, or without it (§15)."""

import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.failures import Cannot, CommandRefused
from qmworkbench.cli.operator import Interview
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, Operator, config_of
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    from qmworkbench.service.client import CoreApi
    from qmworkbench.service.config import Config

_DIRECT: Final = "`qm emergency --direct` works without the platform: broker and fallback log alone"


def emergency(
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="What you saw.", show_default=False)],
    direct: Annotated[
        bool, typer.Option("--direct", help="Without the platform, which is fenced off and ended.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before going direct.")] = False,
    wait: Annotated[
        float, typer.Option("--wait", min=0, metavar="SECONDS", help="How long to watch, or with --direct to try.")
    ] = 120.0,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    operator: Operator = None,
    json: AsJson = False,
) -> None:
    """Emergency Liquidate & Halt: stop entries, cancel, close every position, stay halted.

    A platform that does not answer within two seconds is told of, and --direct offered: that fences the platform
    off, so that it sends nothing any more, and closes with the broker and the fallback log alone.
    Exit code 0: flat. 1: accepted, not flat yet. 2: could not be given.
    """
    from qmworkbench.service.auth import operator_name

    out = begin(json=json)
    loaded = config_of(book, environment, config)
    who = operator_name(operator)
    asks = Interview(out)
    if not direct:
        done = _through_platform(loaded, reason, who, wait, out)
        if done is not None:
            _finish(done, out)
            return
    if not yes:
        asks.demand(
            "Go direct? The platform is fenced off and ended, everything at the broker is cancelled and closed",
            f"{_DIRECT}; give it with --yes where nobody can be asked",
        )
    _finish(_directly(loaded, reason, who, wait, out), out)


def _through_platform(config: "Config", reason: str, who: str, wait_s: float, out: Output) -> dict[str, Any] | None:
    """What the platform made of it; None where only the direct way is left, with the reason said."""
    from qmworkbench.domain.commands import EmergencyLiquidateAndHalt
    from qmworkbench.service.client import ApiError, CoreApi, NotRunning

    command = EmergencyLiquidateAndHalt(reason=reason)
    try:
        with CoreApi(config.paths) as api:
            answer = api.command(command, operator=who)
            if not answer.accepted:
                raise CommandRefused(answer.reason, f"{answer.remedy}. {_DIRECT}")
            out.say(f"accepted: {answer.effect}")
            return _watch(api, answer.effect, wait_s, out)
    except NotRunning:
        return _on_book(config, reason, who, out)
    except ApiError as error:
        # It hangs, its journal has failed, or it does not take our token: the direct way needs none of it.
        out.say(f"{error}")
        return None


def _on_book(config: "Config", reason: str, who: str, out: Output) -> dict[str, Any] | None:
    """No platform runs: the book's own kernel begins the emergency if a session is open; else direct is left."""
    from qmworkbench.domain.commands import EmergencyLiquidateAndHalt
    from qmworkbench.ports import JournalFailed
    from qmworkbench.service.offline import open_offline
    from qmworkbench.storage.refused import StorageRefused

    try:
        with open_offline(config, "qm emergency") as opened:
            answer = opened.command(EmergencyLiquidateAndHalt(reason=reason), who)
            state = opened.shell.state
            if answer.accepted and state.emergency is not None:
                lines = [
                    {"symbol": symbol, "step": line.step, "detail": line.detail}
                    for symbol, line in sorted(state.emergency.lines.items())
                ]
                flat = state.emergency.completed_at is not None
                return {
                    "flat": flat,
                    "through": "book",
                    "effect": answer.effect,
                    "lines": lines,
                    "urgent": "" if flat else _RESTS,
                }
        out.say(f"{answer.reason}: {answer.remedy}")
    except (StorageRefused, JournalFailed) as error:
        out.say(f"the book cannot be used: {error}")
    return None


_RESTS: Final = (
    "not flat: the closes wait at the broker for the market to move; run the day on (`qm day`), it is halted"
)


def _watch(api: "CoreApi", effect: str, wait_s: float, out: Output) -> dict[str, Any]:
    """Follow the emergency's steps until it is flat or the time is over."""
    from qmworkbench.service.client import ApiError

    deadline = time.monotonic() + wait_s
    seen: dict[str, str] = {}
    current: dict[str, Any] = {}
    while True:
        try:
            current = api.snapshot().get("emergency") or current
        except ApiError as error:
            out.say(f"the platform cannot be watched: {error}")
        for line in current.get("lines", ()):
            step = f"{line['step'].replace('_', ' ')}: {line['detail']}"
            if seen.get(line["symbol"]) != step:
                seen[line["symbol"]] = step
                out.say(f"{line['symbol'] or 'book'}: {step}")
        flat = bool(current.get("completed_at"))
        if flat or time.monotonic() >= deadline:
            urgent = "" if flat else f"not flat yet after {wait_s:g} s: watch `qm status` and the broker. {_DIRECT}"
            return {
                "flat": flat,
                "through": "platform",
                "effect": effect,
                "lines": current.get("lines", []),
                "urgent": urgent,
            }
        time.sleep(0.25)


def _directly(config: "Config", reason: str, who: str, wait_s: float, out: Output) -> dict[str, Any]:
    """Fence, then close with broker and fallback log alone."""
    import msgspec

    from qmworkbench.service.direct_access import HolderStays, fence_platform, open_direct
    from qmworkbench.service.direct_emergency import liquidate_direct
    from qmworkbench.service.direct_report import Patience

    if config.settings.broker.kind == "simulated" and not config.paths.venue.exists():
        raise Cannot(
            f"the simulated venue of book {config.book!r} has no books yet ({config.paths.venue})",
            "name the book with --book; there is nothing to close in this one",
        )
    try:
        fence_platform(config.paths, operator=who, reason=reason, say=out.say)
    except HolderStays as error:
        raise Cannot(str(error), "positions can be closed at the broker by hand meanwhile") from error
    with open_direct(config) as (broker, record, session_id):
        report = liquidate_direct(
            broker,
            record,
            book=config.book,
            session_id=session_id,
            reason=reason,
            operator=who,
            patience=Patience(wait_s=wait_s),
            say=out.say,
        )
    found: dict[str, Any] = msgspec.to_builtins(report)
    return found | {"through": "direct"}


def _finish(done: dict[str, Any], out: Output) -> None:
    def human() -> None:
        if done["flat"]:
            out.line("flat: every position is zero; the book stays halted until it is reconciled and resumed")
        else:
            out.line(done["urgent"])
        if done.get("record_trouble"):
            out.line(f"not everything could be recorded: {done['record_trouble']}")

    out.result(done, human)
    if not done["flat"]:
        raise typer.Exit(Exit.NO_GO)
