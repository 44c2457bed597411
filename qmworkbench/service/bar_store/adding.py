"""`qm data add --store`: files into a bar store, streaming, the same again changing nothing, all or nothing (§5)."""

import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from qmworkbench.market.calendars import CalendarUnknown, SessionCalendar
from qmworkbench.market.checks import sift
from qmworkbench.market.findings import DataRefused, refusal
from qmworkbench.market.inspection import Progress, unseen
from qmworkbench.market.schema import trading_date
from qmworkbench.market.store.manifest import (
    MANIFEST,
    ActionsFile,
    Addition,
    Cut,
    Manifest,
    Origin,
    Part,
    Prices,
    SourceFile,
    encoded,
    is_store,
    read_manifest,
    store_refused,
)
from qmworkbench.market.store.reading import StoreSource, open_store
from qmworkbench.service.bar_store.actions import merged_actions
from qmworkbench.service.bar_store.incoming import TextReading, bar_files, blocks_of
from qmworkbench.service.bar_store.merging import merge
from qmworkbench.service.bar_store.parts import UNFINISHED, Facts, market_of, write_part
from qmworkbench.service.bar_store.spill import HELD_ROWS, Spill
from qmworkbench.storage.atomic import sync_directory, write_whole
from qmworkbench.storage.refused import StoreInUse
from qmworkbench.storage.writer_lock import WriterLock

_ADDING: Final = ".adding"
_PART_FILE: Final = re.compile(r"(\d{4}(-\d\d){0,2}|actions)-[0-9a-f]{12}\.(parquet|json)")


@dataclass(frozen=True)
class Terms:
    """How an addition is meant. What is None is as the store has it, or shows itself.

    `cut`, `prices` and `interval_s` are a store's for good, from its first addition on. `replace`: where bars differ
    from the store's, they are right and it is wrong. `actions`: a table of corporate actions to keep with the bars.
    """

    cut: Cut | None = None
    prices: Prices | None = None
    interval_s: int | None = None
    source: str = ""
    licence: str = ""
    replace: bool = False
    actions: Path | None = None
    text: TextReading = field(default_factory=TextReading)
    held_rows: int = HELD_ROWS


@dataclass(frozen=True)
class Outcome:
    """What became of an addition. `addition` is None where nothing was new; `known` are files that were added before.

    `parts` were written, `actions` is whether the table of corporate actions is another than it was.
    """

    manifest: Manifest
    addition: Addition | None
    known: tuple[str, ...]
    parts: tuple[str, ...]
    actions: bool


def add(path: Path, given: Path, terms: Terms, at: datetime, progress: Progress = unseen) -> Outcome:
    """Add a bar file, or every bar file of a directory, to the store at `path`, which begins with its first addition.

    Memory is bounded by a block of rows and one part, whatever the files' size. Until the store's manifest is replaced,
    at the very end, nothing of it counts. Raises DataRefused, and the store is as it was.
    """
    files = bar_files(given)
    began = not path.exists()
    try:
        with _writing(path):
            return _Addition(path, given, terms, at, progress).run(files)
    finally:
        if began and not is_store(path):
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Alone with the store, and rid of what killed additions left."""
    if path.exists() and not is_store(path) and not all(_ours(entry.name) for entry in path.iterdir()):
        raise store_refused("store_missing", "it holds other things, and no bar store.", path)
    path.mkdir(parents=True, exist_ok=True)
    try:
        lock = WriterLock(path / MANIFEST)
    except StoreInUse as error:
        raise store_refused("store_in_use", f"another process adds to it: {error}.", path) from None
    try:
        _swept(path)
        yield
    except OSError as error:
        raise store_refused("store_not_written", f"it could not be written: {error}.", path) from error
    finally:
        _swept(path)
        lock.release()


def _swept(path: Path) -> None:
    """Remove what no manifest names: the remains of an addition that was refused or killed, or what one replaced."""
    shutil.rmtree(path / _ADDING, ignore_errors=True)
    named: set[str] = set()
    if is_store(path):
        manifest = read_manifest(path)
        named = {name for part in manifest.parts for name in (part.file, part.manifest_file)}
        named |= {manifest.actions.file} if manifest.actions else set()
    for entry in path.iterdir():
        ours = _PART_FILE.fullmatch(entry.name) is not None and entry.name not in named
        if ours or entry.name.endswith(UNFINISHED):
            entry.unlink(missing_ok=True)


def _ours(name: str) -> bool:
    """Whether a store has files of that name: without a manifest they are what a killed addition or removal left."""
    known = name in (_ADDING, f"{MANIFEST}.writer") or name.endswith(UNFINISHED)
    return known or _PART_FILE.fullmatch(name) is not None


class _Addition:
    """One addition on its way."""

    def __init__(self, path: Path, given: Path, terms: Terms, at: datetime, progress: Progress) -> None:
        self._path, self._given, self._terms, self._at, self._progress = path, given, terms, at, progress
        self._store: StoreSource | None = open_store(path) if is_store(path) else None
        self._facts: Facts | None = None
        self._cut: Cut | None = None
        if self._store is not None:
            told = self._store.manifest
            self._facts = Facts(SessionCalendar(told.market), told.interval_s, told.prices)
            self._cut = told.cut
            self._demand_same_terms(told)
            if faults := self._store.missed():  # what is gone is not there already, whatever the manifest says
                raise DataRefused(faults)

    def run(self, files: list[Path]) -> Outcome:
        """Read, merge, write, and only then let it count."""
        hashed, known = self._new_files(files)
        folder = self._path / _ADDING
        folder.mkdir()
        spill = Spill(folder, self._terms.held_rows)
        read = [self._take(file, sha256, spill, n, len(hashed)) for n, (file, sha256) in enumerate(hashed)]
        parts, new, replaced = self._written(spill, read)
        actions = self._merged_actions()
        before = self._store.manifest if self._store else None
        fresh = {file.sha256 for file in read} - self._added()
        if before is not None and not parts and not fresh and actions == before.actions:
            return Outcome(before, None, (*known, *(file.name for file in read)), (), actions=False)
        assert self._facts is not None
        assert self._cut is not None
        addition = None
        if read:
            addition = Addition(
                number=len(before.additions) + 1 if before else 1,
                given=self._given.name,
                source=self._terms.source or f"{'directory' if self._given.is_dir() else 'file'} {self._given.name}",
                licence=self._terms.licence,
                added_at=self._at,
                files=tuple(read),
                new_rows=new,
                replaced=replaced,
            )
        manifest = Manifest(
            market=self._facts.calendar.name,
            interval_s=self._facts.interval_s,
            cut=self._cut,
            prices=self._facts.prices,
            actions=actions,
            additions=(*(before.additions if before else ()), *([addition] if addition else [])),
            parts=tuple(sorted({**_by_key(before), **parts}.values(), key=lambda part: part.key)),
        )
        sync_directory(self._path)
        write_whole(self._path / MANIFEST, encoded(manifest))
        changed = actions != (before.actions if before else None)
        return Outcome(manifest, addition, known, tuple(sorted(parts)), actions=changed)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

    def _new_files(self, files: list[Path]) -> tuple[list[tuple[Path, str]], tuple[str, ...]]:
        """The files to read, each with its hash; and the names of those that were added before."""
        there = set() if self._terms.replace else self._added()
        hashed, known = [], []
        for number, file in enumerate(files):
            self._progress(number, len(files), f"hashing {file.name}")
            try:
                with file.open("rb") as stream:
                    sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError as error:
                message = f"it cannot be opened: {error.strerror}."
                raise DataRefused([refusal("file_missing", message, str(file))]) from None
            if sha256 in there:
                known.append(file.name)
            else:
                there.add(sha256)
                hashed.append((file, sha256))
        return hashed, tuple(known)

    def _added(self) -> set[str]:
        """The hashes of all files that were added before."""
        additions = self._store.manifest.additions if self._store else ()
        return {file.sha256 for addition in additions for file in addition.files}

    def _take(self, file: Path, sha256: str, spill: Spill, number: int, files: int) -> SourceFile:
        """Go through one file, its rows put down by part. Raises DataRefused where it changes meanwhile."""
        self._progress(number, files, f"reading {file.name}")
        count, before = 0, file.stat()
        for rows in blocks_of(file, self._terms.text):
            count += rows.height
            if self._facts is None or self._cut is None:
                self._facts, self._cut = self._begun(rows, file)
            self._progress(number, files, f"reading {file.name}, {count:,} rows")
            spill.take(rows.with_columns(part=self._cut.first_day(trading_date(self._facts.calendar))))
        after = file.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise store_refused("source_changed", "it was written to while it was read.", file)
        return SourceFile(name=self._name_of(file), sha256=sha256, bytes=after.st_size, rows=count)

    def _name_of(self, file: Path) -> str:
        return file.relative_to(self._given).as_posix() if self._given.is_dir() else file.name

    def _begun(self, rows: pl.DataFrame, file: Path) -> tuple[Facts, Cut]:
        """What a new store is, by the first bars that come to it. Raises DataRefused where they make no sense."""
        calendar = market_of(str(rows["symbol"][0]))
        interval_s = self._terms.interval_s
        if interval_s is None:
            days = rows.group_by("ts").len().select(trading_date(calendar).unique().sort()).to_series().to_list()
            try:
                first: date = calendar.previous_session(days[0])
                windows = [calendar.session_window(day) for day in calendar.sessions_between(first, days[-1])]
            except CalendarUnknown as error:
                raise DataRefused([refusal("calendar_unknown", f"{error}.", str(file))]) from None
            interval_s = sift(rows, windows, str(file)).grid.interval_s
        facts = Facts(calendar, interval_s, self._terms.prices or Prices.AS_PRINTED)
        return facts, self._terms.cut or Cut.of(interval_s)

    def _demand_same_terms(self, told: Manifest) -> None:
        """A store is of one cut, one interval, and prices of one kind."""
        asked = {"cut": self._terms.cut, "interval_s": self._terms.interval_s, "prices": self._terms.prices}
        for name, value in asked.items():
            if value is not None and value != getattr(told, name):
                message = f"its {name.removesuffix('_s')}: {getattr(told, name)}; what is added was said to be {value}."
                raise store_refused("store_differs", message, self._path)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────

    def _written(self, spill: Spill, read: list[SourceFile]) -> tuple[dict[str, Part], int, int]:
        """Every part that is another than before, by key; and how many bars are new, and replaced."""
        parts: dict[str, Part] = {}
        new = replaced = 0
        before = _by_key(self._store.manifest if self._store else None)
        number = len(self._store.manifest.additions) + 1 if self._store else 1
        days = spill.parts()
        for done, day in enumerate(days):
            assert self._facts is not None
            assert self._cut is not None
            key = self._cut.key(day)
            self._progress(done, len(days), f"writing {key}")
            old = before.get(key)
            merged = merge(
                self._rows_of(old),
                spill.rows_of(day),
                store=self._path.name,
                given=self._given.name,
                replace=self._terms.replace,
            )
            if not merged.changed:
                continue
            new, replaced = new + merged.new, replaced + merged.replaced
            origin = Origin(
                addition=number,
                source=self._terms.source or self._given.name,
                sha256=read[0].sha256 if len(read) == 1 else "",
                rows=merged.new + merged.replaced,
            )
            earlier = self._store.part_manifest(old).origins if self._store and old else ()
            parts[key] = write_part(self._path, key, merged.rows, self._facts, (*earlier, origin))
        return parts, new, replaced

    def _rows_of(self, part: Part | None) -> pl.DataFrame | None:
        """A part as it is, held against its hash: what is damaged is not written anew as if it were sound."""
        if part is None or self._store is None:
            return None
        fault = self._store.fault(part)
        if fault is not None:
            raise DataRefused([fault])
        return pl.read_parquet(self._path / part.file, glob=False, hive_partitioning=False)

    def _merged_actions(self) -> ActionsFile | None:
        before = self._store.manifest.actions if self._store else None
        if self._terms.actions is None:
            return before
        prices = self._facts.prices if self._facts else Prices.AS_PRINTED
        known = self._store.actions if self._store else ()
        return merged_actions(self._path, known, self._terms.actions, prices, replace=self._terms.replace)


def _by_key(manifest: Manifest | None) -> dict[str, Part]:
    return {part.key: part for part in manifest.parts} if manifest else {}


def described(outcome: Outcome) -> dict[str, object]:
    """An outcome as data for a program, without the store's whole manifest."""
    manifest = outcome.manifest
    return {
        "addition": msgspec.to_builtins(outcome.addition),
        "files_known": list(outcome.known),
        "parts_written": list(outcome.parts),
        "actions_changed": outcome.actions,
        "parts": len(manifest.parts),
        "rows": manifest.rows,
        "bytes": manifest.bytes,
        "market": manifest.market,
        "interval_s": manifest.interval_s,
        "prices": manifest.prices.value,
    }
