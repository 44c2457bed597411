"""`qm backup` and `qm restore`: a book copied while it is in use, and made anew from a copy (§5, §19)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qmworkbench.cli.day_options import Kept, store_flags
from qmworkbench.cli.failures import CommandRefused
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import begin

if TYPE_CHECKING:
    from qmworkbench.storage.backup import Manifest

Into = Annotated[
    Path | None,
    typer.Option("--to", metavar="DIR", help="Below which directory; else DATA/backups.", show_default=False),
]
Given = Annotated[Path, typer.Argument(metavar="BACKUP", help="A directory that `qm backup` made.", show_default=False)]


def backup(
    into: Into = None,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Copy the book into a new directory, prove the copy's chain, note every file's hash. The book may be in use."""
    from qmworkbench.storage.backup import back_up

    out = begin(json=json)
    settings = config_of(book, environment, config)
    where = (into or settings.resolved("paths.data") / "backups").absolute()
    with out.working("backing up"):
        made, manifest = back_up(settings.paths, where, environment=str(settings.environment))
    out.result({"backup": made, "manifest": manifest}, lambda: out.line(f"{made}: {_said(manifest)}"))


def restore(
    given: Given,
    check: Annotated[bool, typer.Option("--check", help="Only say whether the backup is whole.")] = False,
    store: Kept = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Make the book of a backup anew, where no book of that name is; the backup is checked first, file by file.

    Its journal then lies where a new book's would, whichever store the backup was taken from. The broker has gone on
    since: the next start recovers and reconciles before any entry.
    """
    from qmworkbench.service.stores import store_of
    from qmworkbench.storage import backup as backups
    from qmworkbench.storage.paths import BookPaths

    out = begin(json=json)
    manifest = backups.read_manifest(given)
    if check:
        with out.working("checking"):
            manifest, wrong = backups.check(given)
        out.result({"manifest": manifest, "wrong": wrong}, lambda: out.line(_whole(given, manifest, wrong)))
        if wrong:
            raise CommandRefused(f"{given} is not whole: {'; '.join(wrong[:3])}", "use another backup")
        return
    settings = config_of(manifest.book, manifest.environment, config, store_flags(store, None))
    paths = BookPaths.under(settings.resolved("paths.data"), manifest.environment, manifest.book)
    with out.working("restoring"):
        backups.restore(given, paths, store=store_of(settings))
    where = f"{paths.root}, journal in {settings.settings.store.kind}"
    text = f"{where}: {_said(manifest)}; the next start reconciles with the broker before any entry"
    out.result({"book": paths.root, "manifest": manifest}, lambda: out.line(text))


def _whole(given: Path, manifest: "Manifest", wrong: list[str]) -> str:
    return f"{given}: {_said(manifest)}" + (", not whole" if wrong else ", whole, and its chain verifies")


def _said(manifest: "Manifest") -> str:
    seq, head = manifest.heads["decisions"]
    return (
        f"book {manifest.book} ({manifest.environment}) as of {manifest.taken_at:%Y-%m-%d %H:%M:%SZ}, "
        f"{seq:,} decisions to head {head}, {len(manifest.files)} files, {manifest.size / 1e6:,.1f} MB"
    )
