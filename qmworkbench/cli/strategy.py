"""`qm strategy`: the catalog, each entry's card, the instances of a book, how they stand, and whether a strategy keeps
its word (§3, §8, §10).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qmworkbench.cli import strategy_control
from qmworkbench.cli.failures import Cannot, guarded
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import begin
from qmworkbench.cli.strategy_changes import approve, propose, revert, withdraw
from qmworkbench.cli.strategy_check import check
from qmworkbench.cli.strategy_record import as_data, diff, history

if TYPE_CHECKING:
    from qmworkbench.service.approvals import InstanceView

app = typer.Typer(help="The strategy catalog, and the parameters its owners have approved.", no_args_is_help=True)


@app.command("list")
@guarded
def list_(
    markdown: Annotated[bool, typer.Option("--markdown", help="As docs/strategies.md has it.")] = False,
    json: AsJson = False,
) -> None:
    """Every strategy of the catalog."""
    from qmworkbench.cli import strategy_overview
    from qmworkbench.domain.instruments import AssetClass
    from qmworkbench.strategies.catalog import catalog, default_instances

    out = begin(json=json)
    entries = list(catalog().values())
    published = [one for market in AssetClass for one in default_instances(market)]
    rows = [
        [
            e.strategy_id,
            e.version,
            e.title,
            ", ".join(sorted(m.value for m in e.asset_classes)),
            e.status.value,
            e.owner,
        ]
        for e in entries
    ]
    columns = ["id", "version", "title", "markets", "status", "owner"]

    def human() -> None:
        if markdown:
            out.line(strategy_overview.markdown(entries, published))
        else:
            out.table(columns, rows)

    out.result({"strategies": [entry.as_data() for entry in entries]}, human)


@app.command("card")
@guarded
def card(
    strategy: Annotated[str, typer.Argument(help="A catalog id, such as opening-range.", show_default=False)],
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write it as a page.", show_default=False)
    ] = None,
    json: AsJson = False,
) -> None:
    """One strategy: its rules, its parameters with their bounds, what is assumed and what was validated."""
    from qmworkbench.cli.strategy_card import page, print_card, sections
    from qmworkbench.domain.instruments import AssetClass
    from qmworkbench.storage.atomic import write_whole
    from qmworkbench.strategies.catalog import default_instances, get

    out = begin(json=json)
    entry = get(strategy)
    published = [one for market in AssetClass for one in default_instances(market) if one.strategy_id == strategy]
    parts = sections(entry, published)
    if html is not None:
        try:
            write_whole(html, page(entry, parts).encode())
        except OSError as error:
            raise Cannot(
                f"{html} cannot be written ({error.strerror})", "name a file in a directory you may write to"
            ) from error
        out.result({"strategy": strategy, "file": html}, lambda: out.line(f"{entry.title}: {html}"))
        return
    out.result(
        entry.as_data() | {"instances": [one.instance_id for one in published]}, lambda: print_card(entry, parts)
    )


@app.command("instances")
@guarded
def instances(
    every: Annotated[bool, typer.Option("--all", help="Each on a line of its own.")] = False,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """The instances of a book: which set each runs next, who approved it, since when, and what waits.

    Those that run the same set on the same terms are one line, with their count.
    """
    from qmworkbench.service.approvals import Desk

    out = begin(json=json)
    found = config_of(book, environment, config)
    desk = Desk(found)
    views, calendar = desk.views(), desk.calendar()

    def human() -> None:
        differ = sum(1 for view in views if not view.as_approved)
        waiting = sum(1 for view in views if view.pending is not None)
        out.line(
            f"{len(views)} instances: {len(views) - differ} as approved, {differ} not, {waiting} with a change that "
            f"waits; the next session is {calendar.next_session or 'the first of this book'}"
        )
        rows = [[*names, *row] for row, names in _grouped(views, every)]
        out.table(["", "instance", *_COLUMNS], rows)
        for name, problems in found.left_out.items():
            out.line(f"{name} cannot run and is left out: {'; '.join(map(str, problems))}")

    content = {
        "book": found.book,
        "next_session": calendar.next_session,
        "instances": [as_data(view) for view in views],
        "left_out": {name: [str(problem) for problem in problems] for name, problems in found.left_out.items()},
    }
    out.result(content, human)


_COLUMNS = ["strategy", "approved set", "version", "signed by", "from", ""]


def _grouped(views: "list[InstanceView]", every: bool) -> list[tuple[list[str], tuple[str, str]]]:
    """The rows, each with a count and a name or two; one for each instance where `every` is asked for."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for at, view in enumerate(views):
        alike.setdefault((*_row(view), str(at) if every else ""), []).append(view.instance.instance_id)
    return [
        (list(row[:-1]), (f"{len(names)} ×" if len(names) > 1 else "", _some(names))) for row, names in alike.items()
    ]


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"


def _row(view: "InstanceView") -> list[str]:
    approved = view.approved
    number = str(approved.version) if approved.version else "catalog"
    if view.fault:
        note = f"cannot run: {view.fault}"
    elif not view.as_approved:
        what = ", ".join(map(str, view.differences)) or "another version of the strategy"
        note = f"runs {view.running_hash}: {what}"
    else:
        note = f"version {view.pending.number} waits for a signature" if view.pending is not None else ""
    return [
        f"{view.definition.strategy_id} {view.definition.version}",
        approved.hash,
        number,
        approved.by or view.definition.owner,
        approved.effective_from or "–",
        note,
    ]


for _name, _command in (
    ("check", check),
    ("diff", diff),
    ("history", history),
    ("propose", propose),
    ("approve", approve),
    ("withdraw", withdraw),
    ("revert", revert),
    ("status", strategy_control.status),
    ("stop", strategy_control.stop),
    ("restart", strategy_control.restart),
):
    app.command(_name)(guarded(_command))
