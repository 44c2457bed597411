"""`qm journal`: the record itself, verified, followed and exported (§21)."""

import sys
from contextlib import nullcontext, suppress
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
    from qmworkbench.storage.selection import Selection

app = typer.Typer(help="The decision journal: verify, look, export.", no_args_is_help=True)

Stream = Annotated[str, typer.Option("--stream", metavar="NAME", help="decisions or telemetry.")]
Types = Annotated[str, typer.Option("--type", metavar="A,B", help="Only these kinds of event, such as order.intended.")]
OfSession = Annotated[
    str, typer.Option("--session", metavar="ID", help="Only this session's, such as main-2018-03-02.")
]
OfOrder = Annotated[
    str, typer.Option("--order", metavar="ID", help="Only what is about this order; any id it has or had will do.")
]
After = Annotated[int, typer.Option("--after", metavar="SEQ", min=0, help="Only records after this number.")]
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
    from qmworkbench.storage.stores import shown

    out = begin(json=json)
    with _open(directory, book, environment, config) as reader:
        heads = _proved(reader)
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
    session: OfSession = "",
    order: OfOrder = "",
    after: After = 0,
    stream: Stream = "decisions",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on as records come, until Ctrl-C or the session's close.")
    ] = False,
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """The newest records, one to a line: of one session, one order or some kinds of event, where given."""
    from collections import deque

    from qmworkbench.storage.refused import StoreMissing
    from qmworkbench.storage.selection import chosen, followed

    wanted = _wanted(types, stream, session, order, after)
    with _open(directory, book, environment, config) as reader:
        head = reader.head(stream)[0]
        if wanted == _wanted("", stream, "", "", 0):  # only the end is read
            wanted = _wanted("", stream, "", "", max(0, head - lines))
        kept: deque[Record] = deque(maxlen=lines)
        with suppress(StoreMissing) if follow else nullcontext():  # a session that is to come may be waited for
            kept.extend(chosen(reader.journal, wanted, stream=stream))
        for record in kept:
            _write(sys.stdout, record, json)
        if not follow:
            return
        place = kept[-1].seq if kept else wanted.after_seq
        for record in followed(reader.journal, _wanted(types, stream, session, order, place), stream=stream):
            _write(sys.stdout, record, json)
            sys.stdout.flush()


@app.command("anchor")
@guarded
def anchor(
    accept: Annotated[
        str,
        typer.Option("--accept", metavar="REASON", help="Take this journal for the book's, though it lacks the end."),
    ] = "",
    sign: Annotated[
        bool, typer.Option("--sign", help="Walk the chain, and sign the head as it is now; no platform may run.")
    ] = False,
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
        else:
            if sign:
                with Lease.acquire(settings.paths.lease, process_id="anchor", command="qm journal anchor"):
                    _proved(reader)
                    signed = anchors.write(reader.journal, datetime.now(UTC), by=operator_name(operator))
                found = f"is anchored at {signed.seq if signed else 0} from here on"
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
    session: OfSession = "",
    order: OfOrder = "",
    after: After = 0,
    stream: Stream = "decisions",
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
) -> None:
    """Records as JSON lines {seq, type, event, prev_hash, hash}; the hashes can be checked by anyone."""
    from qmworkbench.storage.selection import chosen

    if output is not None and output.exists():
        raise Cannot(f"--output {output} exists", "name a file that does not; an export never overwrites")
    wanted = _wanted(types, stream, session, order, after)
    count = 0
    with _open(directory, book, environment, config) as reader:
        records = chosen(reader.journal, wanted, stream=stream)
        out: IO[str] = output.open("w", encoding="utf-8") if output is not None else sys.stdout
        try:
            for record in records:
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


def _proved(reader: "BookReader") -> dict[str, tuple[int, str]]:
    """Both chains walked from their beginning."""
    from qmworkbench.domain.chain import ChainBroken

    try:
        return reader.verify()
    except ChainBroken as error:
        remedy = "restore the journal from a copy that verifies; do not trade this book"
        raise CommandRefused(str(error), remedy) from error


def _known(types: frozenset[str], stream: str) -> None:
    """Refuse a kind of event there is none of: no record of it would read as "that never happened"."""
    from difflib import get_close_matches

    from qmworkbench.domain.events import DECISION_TYPES, TELEMETRY_TYPES

    kinds = DECISION_TYPES if stream == "decisions" else TELEMETRY_TYPES
    known = [str(kind.__struct_config__.tag) for kind in kinds]
    for name in sorted(types - set(known)):
        near = get_close_matches(name, known, n=3, cutoff=0.5)
        near = near or sorted(each for each in known if each.partition(".")[0] == name.partition(".")[0])
        raise Cannot(
            f"--type {name!r} is no kind of event in the {stream}",
            f"give one such as {', '.join(near or known[:3])}; `qm journal tail --stream {stream}` shows some",
        )


def _wanted(types: str, stream: str, session: str, order: str, after: int) -> "Selection":
    from qmworkbench.storage.selection import Selection

    if stream not in ("decisions", "telemetry"):
        raise Cannot(f"--stream {stream!r} is not a stream", "give decisions or telemetry")
    if stream == "telemetry" and session:
        raise Cannot("--session is of no use with --stream telemetry", "that stream knows no session: give --after")
    named = frozenset(name.strip() for name in types.split(",") if name.strip())
    _known(named, stream)
    return Selection(after_seq=after, types=named or None, session=session, order=order)


def _write(out: IO[str], record: "Record", json: bool) -> None:
    payload = record.payload.decode()
    if json:
        out.write(
            f'{{"seq":{record.seq},"type":"{record.type}","event":{payload},'
            f'"prev_hash":"{record.prev_hash}","hash":"{record.hash}"}}\n'
        )
    else:
        out.write(f"{record.seq:>8}  {record.type:<32} {payload}\n")
