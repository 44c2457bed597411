"""What of a session goes into an archive: its records, its projected rows, its files, each as a table (§17).

Parquet, Arrow and log files become tables one can query; whatever else lies in a session's directory goes in byte for
byte. Every file can be made again from its table (`put_back`).
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from qmworkbench.storage import named_frames, retention_rules, tables
from qmworkbench.storage.archive_index import Slice
from qmworkbench.storage.atomic import appearing, write_whole
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


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One table of a session on its way into an archive; the fields are those of archive_index.ArchivedTable."""

    table: str
    kind: str
    frame: pl.DataFrame
    metadata: dict[str, str] = {}
    place: str = ""


def records(reader: BookReader, stream: str, part: Slice) -> Part:
    """A session's records of one stream, as they were hashed."""
    found = list(reader.journal.records(part.first - 1, upto_seq=part.last, stream=stream)) if part.last else []
    frame = pl.DataFrame(
        {
            "seq": pl.Series([record.seq for record in found], dtype=pl.Int64),
            "type": pl.Series([record.type for record in found], dtype=pl.String),
            "payload": pl.Series([record.payload.decode() for record in found], dtype=pl.String),
            "hash": pl.Series([record.hash for record in found], dtype=pl.String),
        }
    )
    at = pl.col("payload").str.json_path_match("$.at").str.to_datetime("%+", time_unit="us", time_zone="UTC")
    return Part(table=stream, kind="", frame=frame.insert_column(1, frame.select(at=at)["at"]))


def projected(reader: BookReader, session_id: str, decisions: Slice, telemetry: Slice) -> Iterator[Part]:
    """A session's rows of every projected table as they stand now, decimals as text: every digit is kept."""
    with reader.together():
        for name in sorted(tables.METADATA.tables):
            if name == tables.WATERMARKS.name:
                continue
            if name in retention_rules.TELEMETRY_TABLES:
                frame = reader.table(name, records=(telemetry.first, telemetry.last), exact=True)
            else:
                frame = reader.table(name, session_id, exact=True)
                if decisions.first == 1 and "seq" in frame.columns:  # what was before any session goes with the first
                    before = reader.table(name, records=(1, decisions.last), exact=True)
                    frame = pl.concat([before.filter(pl.col("session_id") == ""), frame])
            yield Part(table=name, kind=retention_rules.TABLES.get(name, ""), frame=frame)


def bulk(session: SessionPaths, kind: str) -> Iterator[Part]:
    """The files of one retention rule as tables. Raises StoreDamaged for one that cannot be read."""
    files = retention_rules.bulk_files(session).get(kind, ())
    if kind == _RADAR:
        parts = tuple(path for path in files if path.match("part-*.parquet"))
        if parts:
            yield Part(table=_RADAR, kind=kind, frame=read_snapshots(session.radar), place=_RADAR)
        files = tuple(path for path in files if path not in parts)
    rest = []
    for path in files:
        made = _as_table(session, kind, path)
        if made is None:
            rest.append(path)
        else:
            yield made
    if rest:
        yield _blobs(session, kind + _BLOB, kind, rest)


def beside(session: SessionPaths) -> Iterator[Part]:
    """The session's other files, which never age out."""
    files = retention_rules.kept_files(session)
    if files:
        yield _blobs(session, _BLOB.lstrip("_"), "", files)


def same_place(one: str, other: str) -> bool:
    """Whether two places name the same file of a session: a kept frame's hash is of its writing, not of its content."""
    stems = [re.sub(r"\.[0-9a-f]{16}\.arrow$", "", place) for place in (one, other)]
    return stems[0] == stems[1]


def put_back(session: SessionPaths, part: Part) -> list[Path]:
    """Make the files again that a table was made from; returns them. A file that is there stays as it is."""
    if part.table.endswith(_BLOB) or part.table == _BLOB.lstrip("_"):
        return [
            _written(session.root / row["path"], row["content"])
            for row in part.frame.iter_rows(named=True)
            if not (session.root / row["path"]).exists()
        ]
    path = session.root / part.place
    if part.table == _RADAR:
        path /= _RESTORED_PART
    if path.suffix == ".arrow":
        name = path.name.split(".")[0]
        if any(path.parent.glob(f"{name}.*.arrow")):
            return []
        frame = _wide(part.frame) if part.table == _QUOTES else part.frame
        return [named_frames.write(path.parent, name, frame)]
    if path.exists():
        return []
    if path.suffix != ".parquet":
        return [_written(path, "".join(part.frame["text"]).encode())]
    path.parent.mkdir(parents=True, exist_ok=True)
    with appearing(path) as temporary:
        part.frame.write_parquet(temporary, compression="zstd", metadata=part.metadata or None)
    return [path]


def _as_table(session: SessionPaths, kind: str, path: Path) -> Part | None:
    """A file as the table it holds; None for one that is none."""
    place = path.relative_to(session.root).as_posix()
    name, metadata = path.stem.replace("-", "_"), {}
    try:
        if path.suffix == ".parquet":
            frame = pl.read_parquet(path, glob=False, hive_partitioning=False)
            told = pl.read_parquet_metadata(path)
            metadata = {key: value for key, value in told.items() if key.startswith(_OWN_METADATA)}
            name = {"corrections": "bar_corrections"}.get(name, name)
        elif named := _NAMED.fullmatch(path.name):
            frame = named_frames.read(path.parent, named[1])
            quotes = retention_rules.is_quotes(path)
            frame, name = (_long(frame), _QUOTES) if quotes else (frame, f"ground_{named[1].replace('-', '_')}")
        elif kind == "logs":
            frame, name = _lines(path), "logs" if path.name == "qm.jsonl" else f"logs_{name}"
        else:
            return None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StoreDamaged(f"{path} cannot be read ({error}): restore it from a copy, or move it away") from error
    except UnicodeDecodeError:
        return None
    flat = all(not kind.is_nested() and not kind.is_decimal() and kind != pl.Object for kind in frame.dtypes)
    return Part(table=name, kind=kind, frame=frame, metadata=metadata, place=place) if flat else None


def _lines(path: Path) -> pl.DataFrame:
    lines = path.read_bytes().decode().split("\n")
    texts = [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    return pl.DataFrame({"line": range(1, len(texts) + 1), "text": texts}, schema={"line": pl.Int64, "text": pl.String})


def _long(wide: pl.DataFrame) -> pl.DataFrame:
    """Quotes as one row for each boundary and symbol."""
    return wide.unpivot(index="as_of", variable_name="symbol", value_name="spread_bps").select(
        "as_of", "symbol", "spread_bps"
    )


def _wide(long: pl.DataFrame) -> pl.DataFrame:
    return long.pivot(on="symbol", index="as_of", values="spread_bps")


def _blobs(session: SessionPaths, table: str, kind: str, files: Sequence[Path]) -> Part:
    content = {
        "path": [path.relative_to(session.root).as_posix() for path in files],
        "content": [path.read_bytes() for path in files],
    }
    return Part(table=table, kind=kind, frame=pl.DataFrame(content, schema={"path": pl.String, "content": pl.Binary}))


def _written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
    return path
