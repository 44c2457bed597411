"""`qm journal`: the record itself, verified, followed and exported (§21)."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from qmworkbench.cli.failures import Cannot, CommandRefused, guarded
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, Operator, config_of
from qmworkbench.cli.output import begin

if TYPE_CHECKING:
    from qmworkbench.domain.chain import Record
    from qmworkbench.storage.reading import BookReader

app = typer.Typer(help="The decision journal: verify, look, export.", no_args_is_help=True)

Stream = Annotated[str, typer.Option("--stream", metavar="NAME", help="decisions or telemetry.")]
Types = Annotated[str, typer.Option("--type", metavar="A,B", help="Only these kinds of event, such as order.intended.")]
Directory = Annotated[
    Path | None, typer.Argument(metavar="[DIR]", help="A book's directory; default: the configured book.")
]


@app.command("verify")
@guarded
def verify(
    directory: Directory = None,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Walk both hash chains from their beginning. Exit code 1 where a record was changed or is missing."""
    from qmworkbench.domain.chain import ChainBroken
    from qmworkbench.storage.stores import shown

    out = begin(json=json)
    with _open(directory, book, environment, config) as reader:
        try:
            heads = reader.verify()
        except ChainBroken as error:
            remedy = "restore the journal from a copy that verifies; do not trade this book"
            raise CommandRefused(str(error), remedy) from error
        where = shown(reader.paths)

    def human() -> None:
        for name, (seq, head) in heads.items():
            out.line(f"{name}: {seq:,} records verify, head {head}")

    found = {name: {"seq": seq, "hash": head} for name, (seq, head) in heads.items()}
    out.result({"journal": where, "heads": found}, human)


@app.command("tail")
@guarded
def tail(
    directory: Directory = None,
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="How many of the newest records.")] = 20,
    types: Types = "",
    stream: Stream = "decisions",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as records come, until Ctrl-C.")] = False,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """The newest records, one to a line."""
    import time
    from collections import deque

    wanted = _wanted(types, stream)
    with _open(directory, book, environment, config) as reader:
        seq = reader.head(stream)[0]
        # Without a filter only the end is read.
        after = 0 if wanted else max(0, seq - lines)
        kept: deque[Record] = deque(maxlen=lines)
        for record in reader.journal.records(after, stream=stream):
            seq = record.seq
            if not wanted or record.type in wanted:
                kept.append(record)
        for record in kept:
            _write(sys.stdout, record, json)
        while follow:
            sys.stdout.flush()
            time.sleep(0.25)
            for record in reader.journal.records(seq, stream=stream):
                seq = record.seq
                if not wanted or record.type in wanted:
                    _write(sys.stdout, record, json)


@app.command("anchor")
@guarded
def anchor(
    accept: Annotated[
        str,
        typer.Option("--accept", metavar="REASON", help="Take this journal for the book's, though it lacks the end."),
    ] = "",
    operator: Operator = None,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Hold the journal against its newest anchor: its head as signed outside the book. Exit code 1 where it lacks it.

    A chain proves that nothing was changed within a journal; an anchor, that nothing was cut off its end.
    """
    from qmworkbench.service.auth import operator_name
    from qmworkbench.service.lease import Lease
    from qmworkbench.storage.anchors import Anchors, RolledBack

    out = begin(json=json)
    settings = config_of(book, environment, config)
    anchors = Anchors(settings.anchors)
    with _open(None, book, environment, config) as reader:
        try:
            found = anchors.check(reader.journal)
        except RolledBack as error:
            if not accept.strip():
                raise CommandRefused(str(error), "find the newer journal, or accept this one") from error
            who = operator_name(operator)
            with Lease.acquire(settings.paths.lease, process_id="anchor", command="qm journal anchor"):
                made = anchors.write(reader.journal, datetime.now(UTC), accepted=accept.strip(), by=who)
            found = f"accepted by {who} and anchored at {made.seq if made else 0} from here on"
    content = {"anchors": anchors.path, "found": found}
    out.result(content, lambda: out.line(f"{anchors.path}: the journal {found}"))


@app.command("export")
@guarded
def export(
    directory: Directory = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here; default: standard output.")
    ] = None,
    types: Types = "",
    stream: Stream = "decisions",
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
) -> None:
    """Every record as JSON lines {seq, type, event, prev_hash, hash}; the hashes can be checked by anyone."""
    if output is not None and output.exists():
        raise Cannot(f"--output {output} exists", "name a file that does not; an export never overwrites")
    wanted = _wanted(types, stream)
    count = 0
    with _open(directory, book, environment, config) as reader:
        out: IO[str] = output.open("w", encoding="utf-8") if output is not None else sys.stdout
        try:
            for record in reader.journal.records(stream=stream):
                if not wanted or record.type in wanted:
                    _write(out, record, True)
                    count += 1
        finally:
            if output is not None:
                out.close()
    begin().say(f"{count:,} records exported" + (f" to {output}" if output is not None else ""))


def _open(directory: Path | None, book: str | None, environment: str | None, config: Path | None) -> "BookReader":
    from qmworkbench.storage.reading import open_book

    if directory is None:
        directory = config_of(book, environment, config).paths.root
    return open_book(directory)


def _wanted(types: str, stream: str) -> frozenset[str]:
    if stream not in ("decisions", "telemetry"):
        raise Cannot(f"--stream {stream!r} is not a stream", "give decisions or telemetry")
    return frozenset(name.strip() for name in types.split(",") if name.strip())


def _write(out: IO[str], record: "Record", json: bool) -> None:
    payload = record.payload.decode()
    if json:
        out.write(
            f'{{"seq":{record.seq},"type":"{record.type}","event":{payload},'
            f'"prev_hash":"{record.prev_hash}","hash":"{record.hash}"}}\n'
        )
    else:
        out.write(f"{record.seq:>8}  {record.type:<32} {payload}\n")
