"""How a command fails: one block that says what, with which value, what to do; and the exit code (§8)."""

import errno
import functools
import sys
import traceback
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

import typer

from qmworkbench.cli import output
from qmworkbench.cli.exit_codes import Exit

P = ParamSpec("P")
R = TypeVar("R")

# By class name, so that telling of a failure imports nothing. Every other failure is one we did not expect.
_COULD_NOT: Final = {
    "ApiError": "the platform could not be asked",
    "ApiUnavailable": "the Core API could not be served",
    "BacktestRefused": "there is no backtest of that",
    "BookEmpty": "there is nothing on record",
    "BarsFault": "the bars cannot be used",
    "CalendarUnknown": "the market's calendar is not known",
    "ChainBroken": "the record does not verify",
    "CheckFailed": "vectorbt could not be asked",
    "ClusterRefused": "the cluster cannot be used",
    "ConfigRefused": "the configuration is refused",
    "DataRefused": "the market data is refused",
    "EntryIncomplete": "the catalog has an entry that is none",
    "JournalFailed": "the journal could not be written",
    "LeaseLost": "this process may not send any more",
    "LeaseTaken": "the book is in use",
    "NoBroker": "there is no broker here",
    "NoServer": "a server cannot be had",
    "NoSuchOrder": "there is no such order",
    "NoSuchPeriod": "there is no such period",
    "NoSuchSession": "there is no such session",
    "NotASession": "the market is closed on that day",
    "OperatorUnknown": "nobody to sign with",
    "PackageMissing": "there is no such data package",
    "PageFailed": "the command center did not start",
    "ParametersRefused": "the report's parameters are refused",
    "RunRefused": "there is no such run",
    "ShelfRefused": "the shelf cannot take it",
    "ShellStopped": "the platform stopped itself",
    "StrategyFault": "the strategy broke its contract",
    "ArchiveRefused": "the archive cannot be used as it is",
    "StorageRefused": "the book cannot be used as it is",
    "SweepRefused": "the sweep cannot be kept there",
    "UnknownInstance": "there is no such strategy instance",
    "UnknownStrategy": "there is no such strategy",
    "VenueError": "the simulated venue cannot be used",
    "Cannot": "it could not be done",
}
_REFUSED: Final = {
    "AlreadyClosed": "the session is closed",
    "ApprovalRefused": "the change is refused",
    "CommandRefused": "the command is refused",
    "DayRefused": "the day is refused",
    "GridRefused": "the grid is refused",
    "ParameterError": "the parameters are refused",
    "Rejected": "the platform refused",
    "ScheduleRefused": "the strategies are refused",
    "SweepDiffers": "the sweep is wrong",
    "StartupFailed": "a service did not come up",
}
# What the system says of a file or directory is the user's to mend, and no defect of ours.
_NO_FILE: Final = "a file or directory cannot be used"
_REMEDIES: Final = {
    errno.EACCES: "see to the right to use it, or name another",
    errno.EPERM: "see to the right to use it, or name another",
    errno.EROFS: "the disk is mounted read-only: name another place",
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room on the disk",
}
_STOPPED: Final = frozenset({"StopRequested", "KeyboardInterrupt"})


class Cannot(Exception):
    """A command cannot do what was asked; the message is what and why, `remedy` what would."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class CommandRefused(Exception):
    """A command was understood and refused, with the refuser's own remedy."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Turn whatever a command raises into its block and exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (typer.Exit, typer.Abort, typer.BadParameter, SystemExit, BrokenPipeError):
            raise
        except BaseException as error:
            code = tell(error)
            raise typer.Exit(int(code)) from None

    return run


def tell(error: BaseException) -> Exit:
    """Say what went wrong, on standard error or as the one JSON object; returns the exit code."""
    code, title = _judged(error)
    out = output.current()
    if out.json and not out.answered:
        out.result({"error": _as_data(error, title), "exit_code": int(code)}, lambda: None)
    if code is Exit.INTERRUPTED:
        told = f"interrupted{f': {error}' if str(error) else ''}"
        # A platform stops at a safe point of its own; anything else is cut off where it stands.
        kept = "everything up to here is on record and can be resumed"
        cut = "it did not come to its end; what was on record by then stays there"
        out.say(f"{told}: {cut if isinstance(error, KeyboardInterrupt) else kept}")
        return code
    _print_block(title, _paragraphs(error), error if title == _UNEXPECTED else None)
    return code


_UNEXPECTED: Final = "this should not have happened"


def _judged(error: BaseException) -> tuple[Exit, str]:
    for kind in type(error).__mro__:
        if kind.__name__ in _STOPPED:
            return Exit.INTERRUPTED, "interrupted"
        if kind.__name__ in _REFUSED:
            return Exit.NO_GO, _REFUSED[kind.__name__]
        if kind.__name__ in _COULD_NOT:
            return Exit.FAILED, _COULD_NOT[kind.__name__]
    if isinstance(error, OSError) and error.filename is not None:
        return Exit.FAILED, _NO_FILE
    return Exit.FAILED, _UNEXPECTED


def _paragraphs(error: BaseException) -> list[str]:
    """What to print: every problem of a refusal on its own, else the message and the remedy."""
    problems = getattr(error, "problems", None)
    if problems and type(error).__name__ == "ConfigRefused":
        return [str(problem) for problem in problems]
    findings = getattr(error, "findings", None)
    if findings:
        return [str(finding) for finding in findings]
    if isinstance(error, OSError) and _judged(error)[1] == _NO_FILE:
        remedy = _REMEDIES.get(
            error.errno or 0, "check the path; `qm config path` says where everything of a book lies"
        )
        return [f"{error.filename}: {error.strerror}", f"Remedy: {remedy}"]
    text = str(error) or type(error).__name__
    if _judged(error)[1] == _UNEXPECTED:
        text = f"{type(error).__name__}: {text}"
    remedy = getattr(error, "remedy", "")
    return [text, f"Remedy: {remedy}"] if remedy and remedy not in text else [text]


def _as_data(error: BaseException, title: str) -> dict[str, Any]:
    import msgspec

    data: dict[str, Any] = {"kind": type(error).__name__, "title": title, "message": str(error) or type(error).__name__}
    for name in ("problems", "findings"):
        found = getattr(error, name, None)
        if found:
            data[name] = [msgspec.to_builtins(entry) if not isinstance(entry, str) else entry for entry in found]
    if getattr(error, "remedy", ""):
        data["remedy"] = error.remedy  # type: ignore[attr-defined]
    return data


def _print_block(title: str, paragraphs: list[str], unexpected: BaseException | None) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
    console.print(Text(f"✗ {title}", style="bold red"))
    for paragraph in paragraphs:
        for line in paragraph.splitlines():
            console.print(Text(f"  {line}"))
    if unexpected is not None:
        from qmworkbench.service.redaction import Redactor

        trace = Redactor().text("".join(traceback.format_exception(unexpected)))
        console.print(Text(trace.rstrip(), style="dim"))
        console.print(
            Text("  Remedy: the journal is sound up to its last durable record (`qm journal verify`); report this.")
        )
