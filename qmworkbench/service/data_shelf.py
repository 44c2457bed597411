"""The shelf of added market data: bar files and bar stores under DATA/added, with source, licence and hash (§5).

A file appears whole, then its line in the catalog; a name is never given to other content. A store is a directory with
a manifest of its own. Git ignores the shelf.
"""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from qmworkbench.market.adding.packages import DataPackage
from qmworkbench.market.bars import inspect
from qmworkbench.market.findings import DataRefused
from qmworkbench.market.inspection import Inspection
from qmworkbench.market.schema import COLUMNS
from qmworkbench.market.store.manifest import MANIFEST, is_store
from qmworkbench.storage.atomic import appearing, sweep, write_whole
from qmworkbench.storage.refused import StoreInUse
from qmworkbench.storage.writer_lock import WriterLock

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
_CATALOG: Final = "catalog.json"


class ShelfRefused(Exception):
    """The shelf cannot take it. The message names the thing, the value and the remedy."""


class Shelved(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the catalog. `sha256` is the bar file's own, `made_from` its origin with hash or version.

    `treatment` says what was done to the prices; `licence` who may use and pass it on, "" where nobody said.
    """

    name: str
    file: str
    sha256: str
    market: str
    interval_s: int
    rows: int
    symbols: tuple[str, ...]
    first_ts: datetime
    last_ts: datetime
    source: str
    licence: str
    treatment: str
    made_from: str
    added_at: datetime


@dataclass(frozen=True)
class Provenance:
    """Where bars come from: what the owner of the shelf will want to know in a year."""

    source: str
    licence: str
    treatment: str
    made_from: str


@dataclass(frozen=True, eq=False)
class Added:
    """What became of an addition: the catalog's line, what was found in the bars, and whether it was there already."""

    line: Shelved
    found: Inspection
    already: bool


class Shelf:
    """The folder of added bar files and its catalog."""

    def __init__(self, data: Path) -> None:
        self.folder = data / "added"

    def lines(self) -> tuple[Shelved, ...]:
        """The catalog, by name. Raises ShelfRefused where it cannot be read."""
        catalog = self.folder / _CATALOG
        if not catalog.exists():
            return ()
        try:
            return tuple(msgspec.json.decode(catalog.read_bytes(), type=tuple[Shelved, ...]))
        except (OSError, msgspec.MsgspecError) as error:
            raise ShelfRefused(
                f"{catalog} cannot be read ({error}): restore it, or move {self.folder} aside and add the data again"
            ) from None

    def find(self, name: str) -> Path | None:
        """The bar file or bar store of that name, None where there is none."""
        if _NAME.fullmatch(name) and is_store(self.folder / name):
            return self.folder / name
        return next((self.folder / line.file for line in self.lines() if line.name == name), None)

    def meant(self, name: Path, path: Path) -> Path | None:
        """What is meant by a bare `name`, or by a path that lies at `path`: the file or bar store there, else what the
        shelf calls so, None where there is neither. A store is called after the directory that was added to it: where
        that lies at hand, the store is meant.
        """
        there = path.exists() and (not path.is_dir() or is_store(path))
        if there or name.suffix or len(name.parts) > 1:
            return path
        return self.find(str(name)) or (path if path.exists() else None)

    def stores(self) -> tuple[str, ...]:
        """The names of the bar stores, in alphabetical order."""
        inside = self.folder.iterdir() if self.folder.is_dir() else ()
        return tuple(sorted(entry.name for entry in inside if is_store(entry)))

    def names(self) -> tuple[str, ...]:
        """Everything on the shelf by name."""
        return tuple(sorted([*self.stores(), *(line.name for line in self.lines())]))

    def place_of_store(self, name: str) -> Path:
        """Where the bar store of that name lies or will lie. Raises ShelfRefused for a name that is none or is taken
        by a file.
        """
        self._demand_name(name)
        if any(line.name == name for line in self.lines()):
            raise ShelfRefused(f"{name} is a file on the shelf, not a store: choose another name for the store")
        return self.folder / name

    def add(self, name: str, bars: pl.DataFrame, origin: Provenance, at: datetime) -> Added:
        """Put bars on the shelf. The same content under its name again changes nothing.

        Raises ShelfRefused for a name that is no name or bears other content, DataRefused for bars that no session can
        be made of; then nothing is left behind.
        """
        self._demand_name(name)
        if is_store(self.folder / name):
            raise ShelfRefused(f"{name} is a bar store: add to it with --store {name}, or choose another --name")
        with self._alone():
            return self._add(name, bars, origin, at)

    def _add(self, name: str, bars: pl.DataFrame, origin: Provenance, at: datetime) -> Added:
        known = {line.name: line for line in self.lines()}
        packed = _packed(bars)
        digest = hashlib.sha256(packed).hexdigest()
        there = known.get(name)
        if there is not None and there.sha256 != digest:
            raise ShelfRefused(
                f"{name} is on the shelf with other content (sha256 {there.sha256[:12]}, this is {digest[:12]}): "
                "choose another --name, or remove it with `qm data remove`"
            )
        target = self.folder / f"{name}.parquet"
        with appearing(target) as temporary:
            temporary.write_bytes(packed)
            found = inspect(temporary)
            if found.refused:
                raise DataRefused(msgspec.structs.replace(f, file=name) for f in found.findings)
        found = msgspec.structs.replace(
            found, file=str(target), findings=tuple(msgspec.structs.replace(f, file=name) for f in found.findings)
        )
        line = there or _line(name, target, digest, found, bars, origin, at)
        if there is None:
            self._keep({**known, name: line})
        return Added(line=line, found=found, already=there is not None)

    def remove(self, name: str) -> str:
        """Take a file or a store off the shelf. Raises ShelfRefused where there is none of that name."""
        if name not in self.names():
            raise ShelfRefused(f"{name!r} is not on the shelf: it has {', '.join(self.names()) or 'nothing'}")
        with self._alone():
            return self._remove(name)

    def _remove(self, name: str) -> str:
        known = {line.name: line for line in self.lines()}
        if name in self.stores():
            (self.folder / name / MANIFEST).unlink()  # first: without it the rest counts for nothing
            shutil.rmtree(self.folder / name)
            return name
        line = known.pop(name)
        # The catalog first: a line without its file would promise what is not there.
        self._keep(known)
        (self.folder / line.file).unlink(missing_ok=True)
        return name

    def changed(self, line: Shelved) -> str:
        """What is wrong with a file on the shelf; "" where it is as it was added."""
        path = self.folder / line.file
        if not path.exists():
            return "the file is gone"
        return "" if file_hash(path) == line.sha256 else "the file was changed since it was added"

    @staticmethod
    def _demand_name(name: str) -> None:
        if not _NAME.fullmatch(name):
            raise ShelfRefused(f"{name!r} is no name for data: use 1 to 60 of a-z 0-9 . _ - and start with a letter")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Alone with the catalog, and rid of what killed additions left. Raises ShelfRefused where another writes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = WriterLock(self.folder / _CATALOG)
        except StoreInUse as error:
            raise ShelfRefused(
                f"another process changes the shelf ({error}): wait until it is done, and try again"
            ) from None
        try:
            sweep(self.folder)
            yield
        finally:
            lock.release()

    def _keep(self, lines: dict[str, Shelved]) -> None:
        ordered = [lines[name] for name in sorted(lines)]
        text = msgspec.json.format(msgspec.json.encode(ordered), indent=1)
        write_whole(self.folder / _CATALOG, text, b"\n")


def _packed(bars: pl.DataFrame) -> bytes:
    """The bars as the bytes of their file: the same bars are the same bytes."""
    buffer = BytesIO()
    bars.select(COLUMNS).sort("symbol", "ts").rechunk().write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def _line(
    name: str, path: Path, digest: str, found: Inspection, bars: pl.DataFrame, origin: Provenance, at: datetime
) -> Shelved:
    assert found.first_ts is not None
    assert found.last_ts is not None
    return Shelved(
        name=name,
        file=path.name,
        sha256=digest,
        market=found.calendar or "",
        interval_s=found.interval_s or 0,
        rows=found.rows,
        symbols=tuple(bars["symbol"].unique().sort().to_list()),
        first_ts=found.first_ts,
        last_ts=found.last_ts,
        source=origin.source,
        licence=origin.licence,
        treatment=origin.treatment,
        made_from=origin.made_from,
        added_at=at,
    )


def of_package(found: DataPackage) -> tuple[Callable[[], pl.DataFrame], Provenance]:
    """How to read a data package, and where its bars come from."""
    origin = Provenance(
        source=found.source,
        licence=found.licence,
        treatment=found.treatment,
        made_from=f"{found.name} {found.installed}",
    )
    return found.bars, origin


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def now() -> datetime:
    """When something is added, by the wall."""
    return datetime.now(UTC).replace(microsecond=0)
