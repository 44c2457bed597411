"""A bar store read: which parts and row groups hold what is asked for, and nothing else is touched (§5 Data Check)."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl

from qmworkbench.domain.corporate_actions import CorporateAction
from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.market.corporate_actions import actions_of
from qmworkbench.market.findings import DataRefused, Finding
from qmworkbench.market.schema import (
    COLUMNS,
    TS_TYPE,
    VALUES,
    BarSource,
    Engine,
    open_parquet,
)
from qmworkbench.market.store.manifest import (
    Manifest,
    Part,
    PartManifest,
    is_store,
    read_manifest,
    store_finding,
    store_refused,
)

_FIELDS: Final = {"symbol": pl.String(), "ts": TS_TYPE, **dict.fromkeys(VALUES, pl.Float64())}
_AS_THEY_ARE: Final = tuple(pl.col(name) for name in COLUMNS)


@dataclass(frozen=True)
class StoreSource(BarSource):
    """A bar store as a source: answers from its manifests where it can, and opens only the parts it must.

    `chosen` are the symbols it was narrowed to, None for all. Whatever is read of all symbols is held against its hash
    first, once; of a narrowed source a fraction of each part is read, and only the part's size is looked at.
    """

    path: Path = Path()
    manifest: Manifest = field(kw_only=True)
    chosen: tuple[str, ...] | None = None
    _verified: set[str] = field(default_factory=set, repr=False, compare=False)

    # ── what to read ─────────────────────────────────────────────────────────────────────────────────────────

    def parts(self, start: datetime | None = None, end: datetime | None = None) -> list[Part]:
        """The parts that may hold a bar that opens in [start, end), oldest first."""
        wanted = self.chosen
        return [
            part
            for part in self.manifest.parts
            if (start is None or part.last_ts >= start)
            and (end is None or part.first_ts < end)
            and (wanted is None or any(part.first_symbol <= name <= part.last_symbol for name in wanted))
        ]

    def scan(self, start: datetime | None = None, end: datetime | None = None) -> pl.LazyFrame:
        """The rows that open in [start, end), by part, symbol and time; parts that hold none are not opened."""
        parts = self.parts(start, end)
        lazy = self._of(parts)
        if start is not None and any(part.first_ts < start for part in parts):
            lazy = lazy.filter(self.ts >= start)
        if end is not None and any(part.last_ts >= end for part in parts):
            lazy = lazy.filter(self.ts < end)
        return lazy.select(self.selection)

    def read(self, start: datetime | None = None, end: datetime | None = None) -> pl.DataFrame:
        """What `scan` gives, read, by symbol and time. Raises DataRefused naming a damaged part."""
        parts = self.parts(start, end)
        faults = [fault for part in parts if (fault := self._looked_at(part, whole=self.chosen is None)) is not None]
        if faults:
            raise DataRefused(faults)
        rows = self._collect(self.scan(start, end))
        return rows if len(parts) < 2 else _by_symbol(rows)

    def only(self, symbols: Sequence[str]) -> "StoreSource":
        """The same bars, those of `symbols` alone."""
        wanted = set(symbols) if self.chosen is None else set(symbols) & set(self.chosen)
        narrowed = replace(self, chosen=tuple(sorted(wanted)))
        return replace(narrowed, lazy=narrowed._of(narrowed.manifest.parts))

    # ── what the manifests know ──────────────────────────────────────────────────────────────────────────────

    def part_manifest(self, part: Part) -> PartManifest:
        """A part's own manifest. Raises DataRefused where it is gone or not as it was written."""
        file = self.path / part.manifest_file
        try:
            raw = file.read_bytes()
        except OSError as error:
            raise store_refused("part_missing", f"the manifest cannot be read: {error.strerror}.", file) from None
        if hashlib.sha256(raw).hexdigest() != part.manifest_sha256:
            message = f"it is not as it was written: its hash is not {part.manifest_sha256[:16]}."
            raise store_refused("part_damaged", message, file)
        return msgspec.json.decode(raw, type=PartManifest)

    def symbols(self) -> list[str]:
        """Every symbol there is a row of, in alphabetical order."""
        names: set[str] = set()
        for part in self.parts():
            names.update(self.part_manifest(part).symbols)
        return sorted(names if self.chosen is None else names.intersection(self.chosen))

    def rows_without_time(self) -> pl.DataFrame:
        """None: a store takes no bar without a time."""
        return self._nothing().select(self.selection).collect(engine="in-memory")

    def market(self) -> SessionCalendar:
        """The calendar that all its symbols trade on."""
        return SessionCalendar(self.manifest.market)

    def trading_dates(self, calendar: SessionCalendar) -> pl.DataFrame:
        """Columns `date` and `rows`, from the manifests wherever these can tell."""
        rows: dict[date, int] = {}
        untold: list[Part] = []
        for part in self.parts():
            if self.chosen is None:
                rows.update(part.dates)
            elif len(part.dates) == 1:
                symbols = self.part_manifest(part).symbols
                rows[next(iter(part.dates))] = sum(symbols.get(name, 0) for name in self.chosen)
            else:
                untold.append(part)
        told = pl.DataFrame(
            {"date": list(rows), "rows": list(rows.values())}, schema={"date": pl.Date(), "rows": pl.UInt32()}
        )
        if untold:
            counted = replace(self, lazy=self._of(untold))
            told = pl.concat([told, BarSource.trading_dates(counted, calendar)])
        return told.filter(pl.col("rows") > 0).sort("date")

    def fault(self, part: Part) -> Finding | None:
        """What is wrong with a part's file, every byte of it read; None where it is as it was written."""
        file = self.path / part.file
        fault = self._misses(part)
        if fault is None:
            with file.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
            if found != part.sha256:
                message = f"its content was changed: the hash is {found[:16]}, the manifest has {part.sha256[:16]}."
                fault = store_finding("part_damaged", message, file)
        if fault is None:
            self._verified.add(part.file)
        return fault

    def missed(self) -> list[Finding]:
        """What a look at the directory shows: parts that are gone, or of another size."""
        return [fault for part in self.manifest.parts if (fault := self._misses(part)) is not None]

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────

    def _of(self, parts: Iterable[Part]) -> pl.LazyFrame:
        """These parts' rows, the chosen symbols alone. No file is opened yet."""
        files = [self.path / part.file for part in parts]
        if not files:
            return self._nothing()
        schema = _fields(self.manifest)
        lazy = pl.scan_parquet(files, glob=False, hive_partitioning=False, schema=schema, missing_columns="insert")
        # Parquet's statistics tell which row groups can hold the names, and the rest is not read.
        return lazy if self.chosen is None else lazy.filter(pl.col("symbol").is_in(list(self.chosen)))

    def _nothing(self) -> pl.LazyFrame:
        return pl.DataFrame(schema=_fields(self.manifest)).lazy()

    def _looked_at(self, part: Part, *, whole: bool) -> Finding | None:
        if part.file in self._verified:
            return None
        return self.fault(part) if whole else self._misses(part)

    def _misses(self, part: Part) -> Finding | None:
        """What a look at the directory shows: a part that is gone, or of another size."""
        file = self.path / part.file
        try:
            size = file.stat().st_size
        except OSError as error:
            if all(part.file != now.file for now in read_manifest(self.path).parts):
                return store_finding("store_changed", f"{part.key} was replaced since the store was opened.", self.path)
            return store_finding("part_missing", f"it cannot be opened: {error.strerror}.", file)
        if size != part.bytes:
            return store_finding("part_damaged", f"it has {size:,} bytes, the manifest {part.bytes:,}.", file)
        return None

    def _collect(self, lazy: pl.LazyFrame, engine: Engine = "in-memory") -> pl.DataFrame:
        try:
            return super()._collect(lazy, engine)
        except DataRefused as error:
            # Polars does not say which of the files it was; the hashes do.
            faults = [fault for part in self.parts() if (fault := self.fault(part)) is not None]
            raise DataRefused(faults or error.findings) from None


def _by_symbol(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of successive parts by symbol and time. Each part is so by itself: whole runs of a symbol are moved.

    Column by column, each let go of as it is moved: weeks of ten thousand symbols are never held twice. `rows` is empty
    afterwards.
    """
    runs = rows["symbol"].rle().struct.unnest()
    lengths = runs["len"].to_numpy().astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    # Runs of one symbol stay in the order of their parts, which is that of time.
    order = np.lexsort((starts, runs["value"].rank("dense").to_numpy()))
    moved = lengths[order]
    begins = np.cumsum(moved) - moved
    place = pl.Series(np.repeat(starts[order] - begins, moved) + np.arange(len(rows)), dtype=pl.UInt32)
    return pl.DataFrame([rows.drop_in_place(name).gather(place) for name in rows.columns])


def _fields(manifest: Manifest) -> dict[str, pl.DataType]:
    return {**_FIELDS, "spread": pl.Float64()} if manifest.quotes else dict(_FIELDS)


def open_store(path: Path) -> StoreSource:
    """Opens a bar store: its manifest is read, and no part. Raises DataRefused."""
    manifest = read_manifest(path)
    selection = (*_AS_THEY_ARE, pl.col("spread")) if manifest.quotes else _AS_THEY_ARE
    opened = StoreSource(
        file=str(path),
        lazy=pl.LazyFrame(schema=_fields(manifest)),
        ts=pl.col("ts"),
        selection=selection,
        notes=(),
        actions=_actions(path, manifest),
        path=path,
        manifest=manifest,
    )
    return replace(opened, lazy=opened._of(manifest.parts))


def open_bar_path(path: str | Path) -> BarSource:
    """Opens whatever bars lie at `path`, a file or a store, without reading rows. Raises DataRefused."""
    path = Path(path)
    return open_store(path) if is_store(path) else open_parquet(path)


def _actions(path: Path, manifest: Manifest) -> tuple[CorporateAction, ...]:
    """The corporate actions the store keeps beside its prices, held against their hash."""
    told = manifest.actions
    if told is None:
        return ()
    file = path / told.file
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise store_refused("actions_damaged", f"the actions cannot be read: {error.strerror}.", file) from None
    if hashlib.sha256(raw).hexdigest() != told.sha256:
        raise store_refused("actions_damaged", "the actions are not as they were written.", file)
    return actions_of(pl.read_parquet(raw), told.file)
