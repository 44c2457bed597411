"""What of a session goes into an archive: its records, its projected rows, its files, each as a table (§17).

Parquet, Arrow and log files become tables one can query; whatever else lies in a session's directory goes in byte for
byte. Every file can be made again from its table (`put_back`).
"""

import re
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, count, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from qmworkbench.storage import named_frames, retention_rules, table_pieces, tables
from qmworkbench.storage.archive_index import Slice
from qmworkbench.storage.atomic import appearing
from qmworkbench.storage.paths import SessionPaths
from qmworkbench.storage.reading import BookReader
from qmworkbench.storage.refused import StoreDamaged
from qmworkbench.storage.snapshots import read_snapshots

_NAMED: Final = re.compile(r"([a-z0-9][a-z0-9_-]*)\.[0-9a-f]{16}\.arrow")
_OWN_METADATA: Final = "qmworkbench."
_RADAR: Final = "radar"
_QUOTES: Final = "quotes"
_BLOB: Final = "_files"
_RESTORED_PART: Final = "part-000001.parquet"
_BLOB_BYTES: Final = 1 << 24
_BLOB_SCHEMA: Final = {"path": pl.String, "content": pl.Binary}


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One table of a session on its way into an archive or out of it, to be gone through once, piece by piece; the
    fields are those of archive_index.ArchivedTable.
    """

    table: str
    kind: str
    pieces: Iterable[pl.DataFrame]
    metadata: dict[str, str] = {}
    place: str = ""


def records(reader: BookReader, stream: str, part: Slice) -> Part:
    """A session's records of one stream, as they were hashed."""
    return Part(table=stream, kind="", pieces=_records(reader, stream, part))


def _records(reader: BookReader, stream: str, part: Slice) -> Iterator[pl.DataFrame]:
    found = reader.journal.records(part.first - 1, upto_seq=part.last, stream=stream) if part.last else iter(())
    some = list(islice(found, table_pieces.ROWS))
    while True:
        columns = {
            "seq": pl.Series([record.seq for record in some], dtype=pl.Int64),
            "type": pl.Series([record.type for record in some], dtype=pl.String),
            "payload": pl.Series([record.payload.decode() for record in some], dtype=pl.String),
            "hash": pl.Series([record.hash for record in some], dtype=pl.String),
        }
        at = pl.col("payload").str.json_path_match("$.at").str.to_datetime("%+", time_unit="us", time_zone="UTC")
        frame = pl.DataFrame(columns)
        yield frame.insert_column(1, frame.select(at=at)["at"])
        if not (some := list(islice(found, table_pieces.ROWS))):
            return


def projected(reader: BookReader, session_id: str, decisions: Slice, telemetry: Slice) -> Iterator[Part]:
    """A session's rows of every projected table as they stand now, decimals as text: every digit is kept."""
    with reader.together():
        for name in sorted(tables.METADATA.tables):
            if name == tables.WATERMARKS.name:
                continue
            pieces = rows(reader, name, session_id, telemetry)
            # What was before any session goes with the first.
            if decisions.first == 1 and name not in retention_rules.TELEMETRY_TABLES and _numbered(name):
                before = reader.table_pieces(name, records=(1, decisions.last), exact=True, rows=table_pieces.ROWS)
                pieces = chain((piece.filter(pl.col("session_id") == "") for piece in before), pieces)
            yield Part(table=name, kind=retention_rules.TABLES.get(name, ""), pieces=pieces)


def rows(reader: BookReader, name: str, session_id: str, telemetry: Slice) -> Iterator[pl.DataFrame]:
    """A session's own rows of one projected table, decimals as text."""
    if name in retention_rules.TELEMETRY_TABLES:
        span = telemetry.first, telemetry.last
        return reader.table_pieces(name, records=span, exact=True, rows=table_pieces.ROWS)
    return reader.table_pieces(name, session_id, exact=True, rows=table_pieces.ROWS)


def _numbered(name: str) -> bool:
    return "seq" in tables.METADATA.tables[name].columns


def bulk(session: SessionPaths, kind: str) -> Iterator[Part]:
    """The files of one retention rule as tables. Raises StoreDamaged for one that cannot be read."""
    files = retention_rules.bulk_files(session).get(kind, ())
    if kind == _RADAR:
        parts = tuple(path for path in files if path.match("part-*.parquet"))
        if parts:
            pieces = table_pieces.cut(read_snapshots(session.radar))
            yield Part(table=_RADAR, kind=kind, pieces=pieces, place=_RADAR)
        files = tuple(path for path in files if path not in parts)
    rest = []
    for path in files:
        made = _as_table(session, kind, path)
        if made is None:
            rest.append(path)
        else:
            yield made
    if rest:
        yield Part(table=kind + _BLOB, kind=kind, pieces=_blobs(session, rest))


def beside(session: SessionPaths) -> Iterator[Part]:
    """The session's other files, which never age out."""
    files = retention_rules.kept_files(session)
    if files:
        yield Part(table=_BLOB.lstrip("_"), kind="", pieces=_blobs(session, files))


def same_place(one: str, other: str) -> bool:
    """Whether two places name the same file of a session: a kept frame's hash is of its writing, not of its content."""
    stems = [re.sub(r"\.[0-9a-f]{16}\.arrow$", "", place) for place in (one, other)]
    return stems[0] == stems[1]


def put_back(session: SessionPaths, part: Part) -> list[Path]:
    """Make the files again that a table was made from; returns them. A file that is there stays as it is."""
    if part.table.endswith(_BLOB) or part.table == _BLOB.lstrip("_"):
        return _blobs_back(session, part)
    path = session.root / part.place
    if part.table == _RADAR:
        path /= _RESTORED_PART
    if path.suffix == ".arrow":
        name = path.name.split(".")[0]
        if any(path.parent.glob(f"{name}.*.arrow")):
            return []
        frame = pl.concat(part.pieces)
        return [named_frames.write(path.parent, name, _wide(frame) if part.table == _QUOTES else frame)]
    if path.exists():
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    with appearing(path) as temporary:
        if path.suffix == ".parquet":
            table_pieces.write(temporary, part.pieces, part.metadata)
        else:
            with temporary.open("wb") as file:
                file.writelines("".join(piece["text"]).encode() for piece in part.pieces)
    return [path]


def _as_table(session: SessionPaths, kind: str, path: Path) -> Part | None:
    """A file as the table it holds; None for one that is none."""
    place = path.relative_to(session.root).as_posix()
    name, metadata = path.stem.replace("-", "_"), {}
    with _reading(path):
        if path.suffix == ".parquet":
            lazy = pl.scan_parquet(path, glob=False, hive_partitioning=False)
            told = pl.read_parquet_metadata(path)
            metadata = {key: value for key, value in told.items() if key.startswith(_OWN_METADATA)}
            name = {"corrections": "bar_corrections"}.get(name, name)
            pieces, types = table_pieces.scanned(lazy), lazy.collect_schema().dtypes()
        elif named := _NAMED.fullmatch(path.name):
            lazy = named_frames.scan(path.parent, named[1])
            quotes = retention_rules.is_quotes(path)
            name = _QUOTES if quotes else f"ground_{named[1].replace('-', '_')}"
            pieces, types = _long(lazy) if quotes else table_pieces.scanned(lazy), lazy.collect_schema().dtypes()
        elif kind == "logs" and _is_text(path):
            pieces, types, name = _lines(path), [], "logs" if path.name == "qm.jsonl" else f"logs_{name}"
        else:
            return None
    if any(one.is_nested() or one.is_decimal() or one == pl.Object for one in types):
        return None
    return Part(table=name, kind=kind, pieces=_guarded(path, pieces), metadata=metadata, place=place)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StoreDamaged(f"{path} cannot be read ({error}): restore it from a copy, or move it away") from error


def _guarded(path: Path, pieces: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Pieces of a file, which may turn out damaged in the middle."""
    with _reading(path):
        yield from pieces


def _is_text(path: Path) -> bool:
    decoder = getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        try:
            for content in iter(partial(file.read, _BLOB_BYTES), b""):
                decoder.decode(content)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _lines(path: Path) -> Iterator[pl.DataFrame]:
    schema = {"line": pl.Int64, "text": pl.String}
    with path.open("rb") as file:
        for first in count(1, table_pieces.ROWS):
            texts = [line.decode() for line in islice(file, table_pieces.ROWS)]
            if texts or first == 1:
                yield pl.DataFrame({"line": range(first, first + len(texts)), "text": texts}, schema=schema)
            if len(texts) < table_pieces.ROWS:
                return


def _long(wide: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """Quotes as one row for each boundary and symbol."""
    symbols = [name for name in wide.collect_schema().names() if name != "as_of"]
    moments = wide.select(pl.len()).collect(engine="in-memory").item()
    together = max(1, table_pieces.ROWS // max(1, moments))
    for start in range(0, max(1, len(symbols)), together):
        some = wide.select("as_of", *symbols[start : start + together]).collect(engine="in-memory")
        yield some.unpivot(index="as_of", variable_name="symbol", value_name="spread_bps").select(
            "as_of", "symbol", "spread_bps"
        )


def _wide(long: pl.DataFrame) -> pl.DataFrame:
    return long.pivot(on="symbol", index="as_of", values="spread_bps")


def _blobs(session: SessionPaths, files: Sequence[Path]) -> Iterator[pl.DataFrame]:
    """Files byte for byte; a large one takes several rows, one after another."""
    rows: list[tuple[str, bytes]] = []
    for path in files:
        with _reading(path), path.open("rb") as file:
            content = file.read(_BLOB_BYTES)
            while True:
                if rows and sum(len(held) for _, held in rows) + len(content) > _BLOB_BYTES:
                    yield pl.DataFrame(rows, schema=_BLOB_SCHEMA, orient="row")
                    rows.clear()
                rows.append((path.relative_to(session.root).as_posix(), content))
                if not (content := file.read(_BLOB_BYTES)):
                    break
    yield pl.DataFrame(rows, schema=_BLOB_SCHEMA, orient="row")


def _blobs_back(session: SessionPaths, part: Part) -> list[Path]:
    rows = (row for piece in part.pieces for row in piece.iter_rows())
    made = []
    for place, some in groupby(rows, key=itemgetter(0)):
        path = session.root / place
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with appearing(path) as temporary, temporary.open("wb") as file:
            file.writelines(content for _, content in some)
        made.append(path)
    return made
