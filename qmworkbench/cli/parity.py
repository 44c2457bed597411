"""`qm parity [SESSION]`: is a session what its backtest says, and over many, is paper tracking it? (M: layer 2)"""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from qmworkbench.cli.day_options import day_of
from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of, session_of
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    from datetime import date

    from qmworkbench.research.parity.drift import Drift, StrategyDrift
    from qmworkbench.research.parity.parity import Parity
    from qmworkbench.storage.paths import BookPaths

_MOST_LINES: Final = 20


def parity(
    session: Annotated[
        str | None,
        typer.Argument(metavar="SESSION", help="A session's id or date; else the newest.", show_default=False),
    ] = None,
    drift: Annotated[bool, typer.Option("--drift", help="Over many sessions: is each strategy tracking?")] = False,
    first: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="With --drift: the first session.", show_default=False)
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="With --drift: the last session.", show_default=False)
    ] = None,
    tolerance_bps: Annotated[
        float | None,
        typer.Option(
            "--tolerance-bps", metavar="BPS", help="With --drift: how far a trade may be.", show_default=False
        ),
    ] = None,
    cost_bps: Annotated[
        float | None,
        typer.Option(
            "--cost-bps", metavar="BPS", help="With --drift: what a side is assumed to cost.", show_default=False
        ),
    ] = None,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Run a session's recorded bars through the backtest, and give each difference a cause.

    The share without a cause is the strategy-health SLI, kept beside the session's bars. Exit code 0: all explained,
    and with --drift no strategy outside its tolerance. 1: it is not. 2: could not be compared.
    """
    from qmworkbench.storage.reading import open_book

    out = begin(json=json)
    if not drift and (first or last or tolerance_bps is not None or cost_bps is not None):
        raise Cannot("--from, --to, --tolerance-bps and --cost-bps are for --drift", "add --drift, or leave them out")
    if drift and session is not None:
        raise Cannot("--drift is of many sessions, and one is named", "give a period with --from and --to instead")
    paths = config_of(book, environment, config).paths
    with open_book(paths.root) as reader:
        sessions = reader.sessions()
    known = list(zip(sessions["session_id"].to_list(), sessions["date"].to_list(), strict=True))
    if drift:
        _drift(out, paths, known, (first, last), tolerance_bps, cost_bps)
        return
    chosen = session_of(session, [name for name, _ in known])
    found = _compared(out, paths, chosen)
    out.result(_content(found), lambda: _tell(out, found))
    if found.unexplained_share:
        raise typer.Exit(Exit.NO_GO)


def _compared(out: Output, paths: "BookPaths", session_id: str) -> "Parity":
    from qmworkbench.service.parity_book import keep, parity_of

    with out.working("comparing"):
        found = parity_of(paths, session_id)
        try:
            keep(paths, found)
        except OSError as error:
            out.say(f"the result could not be kept beside the session ({error.strerror}); --drift will miss it")
    return found


def _content(found: "Parity") -> dict[str, Any]:
    import msgspec

    told: dict[str, Any] = msgspec.to_builtins(found)
    return told | {"unexplained_share": found.unexplained_share, "by_cause": found.by_cause, "exact": found.exact}


def _tell(out: Output, found: "Parity") -> None:
    share = found.unexplained_share
    out.line(f"session {found.session_id}, {len(found.strategies)} instances against the backtest of their own bars")
    rows = [
        [level.name, f"{level.compared:,}", f"{level.differ:,}", f"{level.unexplained:,}"] for level in found.levels
    ]
    out.table(["", ">compared", ">differ", ">unexplained"], rows)
    money = found.account_currency
    out.line(f"P&L: backtest {found.expected_pnl:,.2f}, session {found.recorded_pnl:,.2f} {money}")
    by_cause = found.by_cause
    causes = list(dict.fromkeys([*by_cause, *found.pnl_by_cause]))
    if causes:
        out.table(
            ["cause", ">differences", f">{money}"],
            [[cause, f"{by_cause.get(cause, 0):,}", f"{found.pnl_by_cause.get(cause, 0.0):+,.2f}"] for cause in causes],
        )
    listed = sorted(found.differences, key=lambda one: (one.cause.value != "unexplained", -abs(one.pnl or 0.0)))
    for one in listed[:_MOST_LINES]:
        again = f" (and {one.again} more while it would have lasted)" if one.again else ""
        out.line(
            f"  {one.at:%H:%M} UTC {one.strategy_id} {one.symbol}: {one.what}; {one.cause.value}: {one.why}{again}"
        )
        out.line(f"      backtest {one.expected}; session {one.recorded}")
    if len(listed) > _MOST_LINES:
        out.line(f"  and {len(listed) - _MOST_LINES:,} more (--json has them all)")
    if not found.closed:
        out.line("the session is not closed: this is how far it went")
    for name, why in found.left_out.items():
        out.line(f"  not compared: {name}: {why}")
    if share is None:
        out.line("nothing to compare: no strategy said or did anything")
    elif found.exact:
        out.line("session and backtest agree exactly")
    else:
        out.line(f"unexplained share {share:.2%} (the worst of the three levels)")


# --- over many sessions -----------------------------------------------------------------------------------------------


def _drift(
    out: Output,
    paths: "BookPaths",
    known: list[tuple[str, Any]],
    period: tuple[str | None, str | None],
    tolerance_bps: float | None,
    cost_bps: float | None,
) -> None:
    from qmworkbench.research.parity.drift import Tolerance
    from qmworkbench.research.parity.drift import drift as judge
    from qmworkbench.service.parity_book import kept_between

    usual = Tolerance()
    try:
        tolerance = Tolerance(
            bps=usual.bps if tolerance_bps is None else tolerance_bps,
            cost_bps=usual.cost_bps if cost_bps is None else cost_bps,
        )
    except ValueError as error:
        raise Cannot(str(error), "give other numbers") from error
    begins = day_of(period[0], "--from") if period[0] is not None else None
    ends = day_of(period[1], "--to") if period[1] is not None else None
    dated = [(name, _date(day)) for name, day in known]
    sessions, missing = kept_between(paths, dated, begins, ends)
    for session_id in missing:
        sessions.append(_compared(out, paths, session_id))
    found = judge(sessions, tolerance)
    out.result(_drift_content(found, missing), lambda: _tell_drift(out, found))
    if not found.within:
        raise typer.Exit(Exit.NO_GO)


def _date(day: object) -> "date":
    from datetime import date

    return date.fromisoformat(str(day))


def _drift_content(found: "Drift", missing: list[str]) -> dict[str, Any]:
    import msgspec

    told: dict[str, Any] = msgspec.to_builtins(found)
    return told | {"within": found.within, "compared_now": missing}


def _tell_drift(out: Output, found: "Drift") -> None:
    if not found.sessions:
        out.line("no session lies in that period")
        return
    by = found.tolerance
    out.line(
        f"{found.sessions} sessions from {found.first} to {found.last}; a trade may be ±{by.bps:g} bps or ±{by.r:g} R "
        f"from its backtest after {by.cost_bps:g} bps a side, and {by.unexplained:.0%} of trades unexplained"
    )
    out.table(
        [
            "strategy",
            ">sessions",
            ">trades",
            ">drift bps",
            ">drift R",
            ">fees bps",
            ">slippage bps",
            ">unexplained",
            "",
        ],
        [_drift_row(one) for one in found.strategies],
    )
    for one in found.strategies:
        if one.verdict != "within":
            out.line(f"  {one.strategy}: {one.why}")
    judged = [one for one in found.strategies if one.verdict != "too few trades"]
    if not found.within:
        out.line("not tracking within tolerance")
    elif judged:
        out.line(f"{len(judged)} of {len(found.strategies)} strategies judged, all within tolerance")
    else:
        out.line("no strategy has enough trades to be judged")


def _drift_row(one: "StrategyDrift") -> list[str]:
    return [
        one.strategy,
        f"{one.sessions:,}",
        f"{one.trades:,}",
        _number(one.mean_bps, one.error_bps, "+.1f"),
        _number(one.mean_r, one.error_r, "+.2f"),
        _number(one.fees_bps, None, ".1f"),
        _number(one.slippage_bps, None, ".1f"),
        "–" if one.unexplained_share is None else f"{one.unexplained_share:.1%}",
        one.verdict,
    ]


def _number(value: float | None, error: float | None, form: str) -> str:
    if value is None:
        return "–"
    return f"{value:{form}}" if error is None else f"{value:{form}} ± {error:{form.lstrip('+')}}"
