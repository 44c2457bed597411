"""`qm strategy status`, `stop` and `restart`: how each instance stands, and its hand brake (§10)."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.operator import Why, give
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, Operator, config_of
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    from qmworkbench.service.config import Config

Instance = Annotated[
    str, typer.Argument(help="The instance's id, as `qm strategy status` lists it.", show_default=False)
]
_COLUMNS = ["strategy", "owner", "state", "last boundary", "holds", ">orders", ">in doubt", "restart"]


def status(
    instance: Annotated[
        str | None, typer.Argument(help="One instance in full; all of them without it.", show_default=False)
    ] = None,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """How the strategy instances of the session stand: what each last evaluated, holds, works and waits for.

    Exit code 1 where one of them is stopped, or holds what it does not surely own.
    """
    from qmworkbench.cli.status import view_now

    out = begin(json=json)
    loaded = config_of(book, environment, config)
    view, source, trouble = view_now(loaded)
    runs = [_with_approved(loaded, run) for run in view.get("runs", ())]
    if instance is not None:
        runs = [run for run in runs if run["strategy_id"] == instance] or _unknown(instance, runs)
    content = {"book": loaded.book, "session_id": view["session_id"], "source": source, "strategies": runs}
    if trouble:
        out.say(trouble)
    out.result(content, lambda: _in_full(out, runs[0]) if instance is not None else _all(out, view, runs))
    if any(_stopped(run) or _disowned(run) for run in runs):
        raise typer.Exit(Exit.NO_GO)


def stop(
    instance: Instance,
    reason: Why,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    operator: Operator = None,
    json: AsJson = False,
) -> None:
    """No more entries by one instance; its positions keep their exits."""
    from qmworkbench.domain.commands import StopStrategy

    command = StopStrategy(reason=reason, strategy_id=instance)
    give(command, config_of(book, environment, config), operator, begin(json=json))


def restart(
    instance: Instance,
    reason: Why,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    operator: Operator = None,
    json: AsJson = False,
) -> None:
    """Let a stopped instance enter again. Refused, with everything that speaks against it, while that is unsafe (§10).

    That is: the book is halted, its run has ended, orders are in doubt, a position is not surely its own, our books
    differ from the broker's there, or other parameters are approved by now.
    """
    from qmworkbench.domain.commands import RestartStrategy

    # The platform looks up itself which parameters are approved, so that nobody can restart by an older look.
    command = RestartStrategy(reason=reason, strategy_id=instance)
    give(command, config_of(book, environment, config), operator, begin(json=json))


def _with_approved(config: "Config", run: dict[str, Any]) -> dict[str, Any]:
    from qmworkbench.service.approved_hash import approved_hash

    approved = approved_hash(config, run["strategy_id"])
    against = list(run["against_restart"])
    if approved and approved != run["params_hash"]:
        reason = f"its parameters have changed: approved {approved}, running {run['params_hash']}"
        against.append({"reason": reason, "remedy": "approved changes begin with the next session"})
    return run | {"approved_hash": approved, "against_restart": against}


def _unknown(instance: str, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = ", ".join(run["strategy_id"] for run in runs) or "none"
    raise Cannot(f"no strategy {instance!r} runs in this session", f"one of: {names}")


def _stopped(run: dict[str, Any]) -> bool:
    return run["state"] != "active" and not run["ended"]


def _disowned(run: dict[str, Any]) -> bool:
    return any(not held["owned"] for held in run["holds"]) and not run["ended"]


def _state(run: dict[str, Any]) -> str:
    return f"ended: {run['why']}" if run["ended"] else str(run["shown"])


def _holds(run: dict[str, Any]) -> str:
    told = [f"{held['symbol']} {held['qty']}{'' if held['owned'] else ' (not owned)'}" for held in run["holds"]]
    return ", ".join(told) or "flat"


def _all(out: Output, view: dict[str, Any], runs: list[dict[str, Any]]) -> None:
    if not runs:
        out.line("no strategy runs: there is no session in this book")
        return
    halted = view["trading_state"]["state"] != "active"
    rows = []
    for run in runs:
        ready = "" if not _stopped(run) else "safe" if not run["against_restart"] else "refused"
        working, doubtful = str(run["working"]), str(len(run["in_doubt"]))
        at = run["last_boundary_at"] or "none yet"
        rows.append([run["strategy_id"], run["owner"], _state(run), at, _holds(run), working, doubtful, ready])
    out.table(_COLUMNS, rows)
    if halted:
        out.line(f"the book is {view['trading_state']['shown']}: that counts for all of them")


def _in_full(out: Output, run: dict[str, Any]) -> None:
    why = f"{run['why']} (by {run['by']}, since {run['since']})" if run["why"] and run["since"] else run["why"]
    facts = {
        "strategy": f"{run['strategy_id']} ({run['definition']})",
        "owner": run["owner"],
        "state": _state(run),
        "why": why or "as it began",
        "last evaluated": run["last_boundary_at"] or "no boundary yet",
        "owns": ", ".join(run["owns"]) or "nothing",
        "holds": _holds(run),
        "working orders": str(run["working"]),
        "in doubt": ", ".join(run["in_doubt"]) or "none",
        "parameters": run["params_hash"] + (" as approved" if run["approved_hash"] == run["params_hash"] else ""),
    }
    for name, value in facts.items():
        out.line(f"{name:>15}  {value}")
    for each in run["against_restart"]:
        out.line(f"{'against restart':>15}  {each['reason']}: {each['remedy']}")
