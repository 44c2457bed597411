"""An operator's orders: through the Core API while the platform runs, else straight to the book (§10)."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.failures import Cannot, CommandRefused
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, Operator, config_of
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    from qmworkbench.domain.commands import AnyCommand
    from qmworkbench.service.config import Config

Why = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why: it is read in the review.", show_default=False)
]
Symbol = Annotated[str, typer.Argument(help="The symbol, as the market data spells it.", show_default=False)]


_DECISION: Final = "operator decision recorded"


def pause(
    reason: Why,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    operator: Operator = None,
    json: AsJson = False,
) -> None:
    """Block new entries; exits go on. Shown as "HALTED – entries blocked, exits running"."""
    from qmworkbench.domain.commands import Pause

    give(Pause(reason=reason), config_of(book, environment, config), operator, begin(json=json))


def resume(
    reason: Why,
    incident: Annotated[
        str | None,
        typer.Option(help='What happened; "none: planned pause" is an answer.', metavar="TEXT", show_default=False),
    ] = None,
    cause_understood: Annotated[
        bool, typer.Option("--cause-understood", help="The incident's cause is understood.")
    ] = False,
    internal_repaired: Annotated[bool, typer.Option("--internal-repaired", help="Internal state is repaired.")] = False,
    risk_verified: Annotated[bool, typer.Option("--risk-verified", help="Risk controls are verified.")] = False,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    operator: Operator = None,
    json: AsJson = False,
) -> None:
    """Leave a halt. Asks the five lines of "Safe To Resume" (§23); each one not given as a flag is asked here.

    The fourth, that the broker is reconciled, is checked by the platform; the fifth, the decision, is this command.
    """
    from qmworkbench.domain.commands import Resume

    out = begin(json=json)
    loaded = config_of(book, environment, config)
    asks = Interview(out)
    _say_how_it_stands(loaded, out)
    command = Resume(
        reason=reason,
        incident=incident if incident is not None else asks.text("What was the incident? (none: planned pause)"),
        cause_understood=cause_understood or asks.line("the incident's cause is understood", "--cause-understood"),
        internal_state_repaired=internal_repaired or asks.line("internal state is repaired", "--internal-repaired"),
        risk_controls_verified=risk_verified or asks.line("risk controls are verified", "--risk-verified"),
    )
    give(command, loaded, operator, out)


def _say_how_it_stands(config: "Config", out: Output) -> None:
    """§23's five lines as the platform finds them, before anybody answers one."""
    from qmworkbench.cli.status import view_now

    view, _source, _trouble = view_now(config)
    lines = view.get("resume", ()) if view["trading_state"]["state"] != "active" else ()
    for line in lines:
        mark = "✗" if line["against"] else "?" if line["asked"] else "✓"
        who = "you answer it" if line["asked"] else "this command" if line["line"] == _DECISION else "checked"
        out.say(f"{mark} {line['line']}: {'; '.join(line['against']) or who}")


def release(
    reason: Why,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    operator: Operator = None,
    json: AsJson = False,
) -> None:
    """After a recovery: let entries pass again. Refused until reconciliation has passed (§19)."""
    from qmworkbench.domain.commands import ReleaseEntries

    give(ReleaseEntries(reason=reason), config_of(book, environment, config), operator, begin(json=json))


def block(
    symbol: Symbol,
    reason: Why,
    permanent: Annotated[bool, typer.Option("--permanent", help="Until lifted; else for this session.")] = False,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    operator: Operator = None,
    json: AsJson = False,
) -> None:
    """Keep a symbol out of scanner and watchlist; a position there keeps its exits (§10)."""
    from qmworkbench.domain.commands import BlockSymbol
    from qmworkbench.domain.sessions import BlockScope

    scope = BlockScope.PERMANENT if permanent else BlockScope.SESSION
    command = BlockSymbol(reason=reason, symbol=symbol, scope=scope)
    give(command, config_of(book, environment, config), operator, begin(json=json))


def unblock(
    symbol: Symbol,
    reason: Why,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    operator: Operator = None,
    json: AsJson = False,
) -> None:
    """Lift a block."""
    from qmworkbench.domain.commands import UnblockSymbol

    command = UnblockSymbol(reason=reason, symbol=symbol)
    give(command, config_of(book, environment, config), operator, begin(json=json))


def accept(
    break_id: Annotated[str, typer.Argument(help="The difference's id, from `qm reconcile`.", show_default=False)],
    reason: Why,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    operator: Operator = None,
    json: AsJson = False,
) -> None:
    """Settle a difference in money with the broker's figure, on your word (§14): cash, fees, realized P&L."""
    from qmworkbench.domain.commands import AcceptBreak

    command = AcceptBreak(reason=reason, break_id=break_id)
    give(command, config_of(book, environment, config), operator, begin(json=json))


def decide(
    decision_id: Annotated[str, typer.Argument(help="The open question's id, from `qm status`.", show_default=False)],
    choice: Annotated[str, typer.Argument(help="One of its options.", show_default=False)],
    reason: Why,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    operator: Operator = None,
    json: AsJson = False,
) -> None:
    """Answer a question that waits for a person, such as continue exits or liquidate (§11)."""
    from qmworkbench.domain.commands import Decide

    command = Decide(reason=reason, decision_id=decision_id, choice=choice)
    give(command, config_of(book, environment, config), operator, begin(json=json))


def end(
    reason: Why,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    operator: Operator = None,
    json: AsJson = False,
) -> None:
    """Begin the shutdown procedure before the market closes (§16)."""
    from qmworkbench.domain.commands import EndSession

    give(EndSession(reason=reason), config_of(book, environment, config), operator, begin(json=json))


def give(command: "AnyCommand", config: "Config", operator: str | None, out: Output) -> None:
    """Give a command and print the answer. Raises CommandRefused where it was refused."""
    from qmworkbench.service.auth import operator_name

    who = operator_name(operator)
    answer, through = _answer(command, config, who)
    content: dict[str, Any] = {
        "accepted": answer.accepted,
        "command_id": answer.command_id,
        "operator": who,
        "through": through,
    }
    if not answer.accepted:
        raise CommandRefused(answer.reason, answer.remedy)
    suffix = "" if through == "platform" else "  (no platform is running: put on the book's record)"
    out.result(content | {"effect": answer.effect}, lambda: out.line(f"{answer.effect}{suffix}"))


def _answer(command: "AnyCommand", config: "Config", who: str) -> tuple[Any, str]:
    """The platform's answer, or the book's where none runs. Raises NotAnswering where one holds the book silently."""
    from qmworkbench.service.client import CoreApi, NotRunning
    from qmworkbench.service.offline import demand_book, open_offline

    demand_book(config)
    try:
        with CoreApi(config.paths) as api:
            return api.command(command, operator=who), "platform"
    except NotRunning:
        with open_offline(config, f"qm {type(command).__name__}") as opened:
            return opened.command(command, who), "book"


class Interview:
    """Asks a person, and only a person: without a terminal what is missing is refused by name."""

    def __init__(self, out: Output) -> None:
        self._interactive = _asks_a_person() and not out.json

    def line(self, what: str, flag: str) -> bool:
        """Whether a line of a checklist holds."""
        if not self._interactive:
            return False
        return typer.confirm(f"§23: {what}?", err=True)

    def text(self, what: str) -> str:
        """An answer in words, "" where nobody can be asked."""
        return str(typer.prompt(what, err=True)) if self._interactive else ""

    def demand(self, what: str, remedy: str) -> None:
        """A plain yes to something that cannot be taken back. Raises Cannot without a person, Abort on no."""
        if not self._interactive:
            raise Cannot(f"{what}: there is nobody to ask", remedy)
        typer.confirm(what, abort=True, err=True)


def _asks_a_person() -> bool:
    import sys

    return sys.stdin.isatty() and sys.stderr.isatty()


__all__ = ["Exit", "Interview", "accept", "block", "decide", "end", "give", "pause", "release", "resume", "unblock"]
