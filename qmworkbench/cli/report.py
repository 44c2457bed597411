"""`qm report` and `qm nightly`: the reports of a session, and all that follows one (§17, §18, §21)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qmworkbench.cli.archive import place_of
from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, Session, config_of, session_of
from qmworkbench.cli.output import Output, begin
from qmworkbench.cli.retention import let_go, sentence

if TYPE_CHECKING:
    from qmworkbench.reporting.runner import ReportResult
    from qmworkbench.service.config import Config
    from qmworkbench.storage.paths import BookPaths


def report(
    name: Annotated[
        str,
        typer.Argument(help="preflight, post_session, trade_review, or a notebook of research.", show_default=False),
    ],
    session: Session = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="A parameter of the notebook; may be repeated."),
    ] = None,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Make one report as a page that needs no network, and say its verdict.

    Exit code 0 GO, 1 NO-GO, 2 incomplete: what was not looked at counts as NO-GO.
    """
    from qmworkbench.reporting.parameters import report_named
    from qmworkbench.reporting.runner import run_report

    out = begin(json=json)
    found = config_of(book, environment, config)
    parameters = _parameters(parameter or [])
    where: dict[str, Any] = {}
    if "book_dir" in _made(lambda: report_named(name)).parameters.model_fields:
        where = {"book_dir": found.paths.root, "session_id": _chosen(found, session)}
    elif session is not None:
        raise Cannot(f"--session {session}: {name} looks at no session", "leave it out")
    with out.working(f"making the {name} report"):
        made = _made(lambda: run_report(
            name, out_root=found.reports_directory, parameters=parameters, secrets=found.secrets, **where
        ))  # fmt: skip
    out.result(made, lambda: _tell(out, [made]))
    if made.exit_code:
        raise typer.Exit(made.exit_code)


def nightly(
    session: Session = None,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Do what follows a session: verify the journal, compare with the backtest, make the reports, archive what has
    closed, and let go of what is older than its keep.

    Exit code: the worst of them.
    """
    from qmworkbench.domain.chain import ChainBroken
    from qmworkbench.reporting.runner import ReportRequest, run_reports, worst
    from qmworkbench.storage.reading import open_book

    out = begin(json=json)
    found = config_of(book, environment, config)
    chosen = _chosen(found, session)
    with out.working("verifying the journal"), open_book(found.paths.root) as reader:
        try:
            heads = {name: {"seq": seq, "hash": head} for name, (seq, head) in reader.verify().items()}
            broken = ""
        except ChainBroken as error:
            heads, broken = {}, str(error)
    with out.working("comparing with the backtest"):
        parity = _parity(found.paths, chosen)
    told = {"book_dir": found.paths.root, "session_id": chosen}
    with out.working(f"making the reports of session {chosen}"):
        requests = [ReportRequest(name=name, parameters=told) for name in ("post_session", "trade_review")]
        made = _made(lambda: run_reports(requests, out_root=found.reports_directory, secrets=found.secrets))
    # Nothing is let go of while the record is in doubt.
    in_doubt: dict[str, Any] = {
        "archived": [],
        "kept": [],
        "freed_bytes": 0,
        "sentence": "nothing let go of: the record is in doubt",
    }
    kept = in_doubt if broken else keep_up(found, out)
    code = max(int(Exit.NO_GO) if broken or parity["unexplained_share"] else 0, worst(made))

    def human() -> None:
        out.line(f"journal {'does not verify: ' + broken if broken else 'verifies'}")
        out.line(f"against its backtest: {parity['sentence']}")
        _tell(out, made)
        out.line(kept["sentence"])

    content = {
        "session": chosen, "journal": heads, "journal_broken": broken, "parity": parity, "reports": made,
        "archive": kept,
        "freed_bytes": kept["freed_bytes"],
        "exit_code": code,
    }  # fmt: skip
    out.result(content, human)
    if code:
        raise typer.Exit(code)


def keep_up(settings: "Config", out: Output) -> dict[str, Any]:
    """Archive closed sessions and let go of what has aged out; what stands in the way is said, and no more."""
    from qmworkbench.cli.failures import CommandRefused
    from qmworkbench.service.lease import LeaseTaken
    from qmworkbench.storage.refused import StorageRefused

    try:
        place = place_of(settings, None)
        archived, done = let_go(settings, place, out, verify=False)
    except (StorageRefused, CommandRefused, LeaseTaken) as error:
        return {"archived": [], "kept": [], "freed_bytes": 0, "sentence": f"nothing archived or let go of: {error}"}
    told = f"{len(archived)} session(s) archived at {place}; {sentence(done, settings.retention().sentence())}"
    return {
        "archived": [one.session_id for one in archived],
        "kept": done.kept,
        "freed_bytes": done.freed_bytes,
        "sentence": told,
    }


def _parity(paths: "BookPaths", session_id: str) -> dict[str, Any]:
    """The session against the backtest of its bars, kept beside it; what stands in the way is said, and no more."""
    from qmworkbench.service.parity_book import keep, parity_of
    from qmworkbench.storage.refused import StorageRefused

    try:
        found = parity_of(paths, session_id)
        keep(paths, found)
    except (StorageRefused, OSError) as error:
        return {"unexplained_share": None, "by_cause": {}, "sentence": f"not compared: {error}"}
    share = found.unexplained_share
    told = "nothing to compare" if share is None else f"{share:.1%} unexplained (`qm parity {session_id}` tells)"
    return {"unexplained_share": share, "by_cause": found.by_cause, "sentence": told}


def _made(make: Any) -> Any:
    from qmworkbench.reporting.parameters import ReportRefused

    try:
        return make()
    except ReportRefused as error:
        raise Cannot(
            str(error), "-p NAME=VALUE gives a parameter; docs/statistics.md and docs/parity.md show some"
        ) from error


def _chosen(config: "Config", session: str | None) -> str:
    from qmworkbench.storage.reading import open_book

    with open_book(config.paths.root) as reader:
        return session_of(session, reader.sessions()["session_id"].to_list())


def _parameters(given: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in given:
        name, equals, value = entry.partition("=")
        if not equals or not name:
            raise Cannot(f"-p {entry!r} is no parameter", "give one such as -p symbol=GOOG")
        found[name] = value
    return found


def _tell(out: Output, made: "list[ReportResult]") -> None:
    room = max((len(result.name) for result in made), default=0) + 2
    for result in made:
        out.line(f"{result.name:<{room}}{result.verdict.value:<12}{result.headline}  ({result.seconds:.1f} s)")
        out.line(f"{'':<{room}}{Path(result.path)}")
