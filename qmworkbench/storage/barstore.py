"""The bar store of one session: every boundary's bars on disk before the journal names them (§5 Data Check, §19)."""

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import polars as pl

from qmworkbench.storage import bar_archive, named_frames
from qmworkbench.storage.atomic import sweep, sync_data, sync_directory
from qmworkbench.storage.bar_segments import Kind, Scan, Shape, batch, check, header, in_order, scan
from qmworkbench.storage.refused import StorageRefused, StoreMissing
from qmworkbench.storage.times import stored_time
from qmworkbench.trading.frames import BarFrame


class Resumed(msgspec.Struct, frozen=True):
    """What a store found when it began: how many boundaries, the last of them, and how much a kill had cut short."""

    frames: int
    last: datetime | None
    torn_bytes: int


class BarStore:
    """One session's bars, in one directory (SessionPaths.bars).

    While the session runs: `begin`, then `append` each boundary's frame and `sync` before a journal record that
    names it becomes durable (give `sync` to SqliteJournal.before_commit, and quiet boundaries share one). At close
    `compact` turns the segments into Parquet. Reading needs no `begin`, and works beside a live writer.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)
        self._shape: Shape | None = None
        self._fd = -1
        self._known: dict[datetime, str] = {}
        self._last: datetime | None = None
        self._size = 0
        self._synced = 0
        self._failure: str | None = None
        self._lock = threading.Lock()
        self._syncing = threading.Lock()

    @property
    def segments(self) -> Path:
        return self.directory / "segments.arrows"

    @property
    def archive(self) -> Path:
        return self.directory / "bars.parquet"

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, symbols: Sequence[str], interval_s: int) -> Resumed:
        """Start the session's file, or take it up where a kill left it; a torn tail is cut off and kept aside.

        `symbols` is the universe in its order. Raises StorageRefused when the session is compacted or was begun with
        another universe or interval, StoreDamaged when the file was changed.
        """
        if self.archive.exists():
            raise StorageRefused(f"{self.archive}: this session is closed and compacted; it takes no more bars")
        shape = Shape(tuple(symbols), interval_s)
        self.directory.mkdir(parents=True, exist_ok=True)
        sweep(self.directory)
        found = scan(self.segments) if self.segments.exists() else None
        if found is not None and found.shape != shape:
            raise StorageRefused(
                f"{self.segments} was begun with {len(found.shape.symbols)} symbols at {found.shape.interval_s} s, not "
                f"with these {len(symbols)} at {interval_s} s: resume with the session's own universe, or use --fresh"
            )
        unreadable = self.segments.stat().st_size if found is None and self.segments.exists() else 0
        if unreadable:  # cut short while it was begun, or worse: kept aside, and the journal knows what is missing
            os.replace(self.segments, self.directory / f"unreadable-{unreadable}.bin")
        self._fd = os.open(self.segments, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._shape = shape
        if found is None:
            self._size = 0
            self._write(header(shape))
            sync_data(self._fd)
            sync_directory(self.directory)
        self._cut(found or Scan(shape, (), self._size, self._size), "torn")
        torn = unreadable if found is None else found.size_bytes - found.whole_bytes
        return Resumed(frames=len(self._known), last=self._last, torn_bytes=torn)

    def append(self, frame: BarFrame) -> str:
        """Write one boundary's bars, not yet durable; returns the content hash that names them.

        The same frame again is no second one (a resumed feed repeats itself). Raises StorageRefused when this
        boundary is stored with other content, or lies before the last one; ValueError for a malformed frame.
        """
        known = self._known.get(frame.as_of)
        if known is not None:
            if known == frame.content_hash:
                return known
            raise StorageRefused(
                f"{self.segments}: the bars of {stored_time(frame.as_of)} are stored as {known}, not as "
                f"{frame.content_hash}: append a correction, or rewind what the journal does not name"
            )
        if self._last is not None and frame.as_of < self._last:
            raise StorageRefused(
                f"{self.segments}: bars of {stored_time(frame.as_of)} come after those of {stored_time(self._last)}: "
                "boundaries are stored in order"
            )
        self._append(frame, Kind.BARS)
        self._known[frame.as_of] = frame.content_hash
        self._last = frame.as_of
        return frame.content_hash

    def append_correction(self, frame: BarFrame) -> str:
        """Write bars that correct a stored boundary. What was decided with stays as it is; returns the content hash."""
        if frame.as_of not in self._known:
            raise StorageRefused(
                f"{self.segments}: there are no bars of {stored_time(frame.as_of)} to correct: append them instead"
            )
        self._append(frame, Kind.CORRECTION)
        return frame.content_hash

    def sync(self) -> None:
        """Make everything appended durable; returns at once when it is. From any thread.

        Raises StorageRefused when the disk fails, and from then on: after a failed sync nobody knows what is on disk.
        """
        with self._syncing:
            with self._lock:
                if self._failure is not None:
                    raise StorageRefused(self._failure)
                target, fd = self._size, self._fd
                if self._synced >= target or fd < 0:
                    return
            try:
                sync_data(fd)
            except OSError as error:
                raise self._failed(error) from error
            with self._lock:
                self._synced = target

    def rewind(self, after: datetime | None) -> int:
        """Take back boundaries later than `after` (None: all): appended before a kill, but never named by the journal.

        Returns how many; their bytes are kept aside. Corrections of boundaries that stay are taken back with them.
        """
        found = self._scan()
        keep = 0
        for number, stored in enumerate(found.frames, 1):
            if after is None or stored.frame.as_of > after:
                break
            keep = number
        before = len(self._known)
        self._cut(found, "rewound", keep)
        return before - len(self._known)

    def close(self) -> None:
        """Sync and give the file up; twice is fine."""
        if self._fd >= 0:
            try:
                self.sync()
            finally:
                with self._syncing:
                    os.close(self._fd)
                    self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────

    def frames(self, after: datetime | None = None) -> Iterator[BarFrame]:
        """The frames the session decided with, in order, those later than `after` where given; hashes verified.

        From the segments while the session runs or after a kill, from the archive once compacted. Raises StoreMissing.
        """
        found = self._frames(Kind.BARS)
        return (frame for frame in found if after is None or frame.as_of > after)

    def corrections(self) -> Iterator[BarFrame]:
        """Frames that correct stored ones, in the order they came."""
        return iter(self._frames(Kind.CORRECTION))

    def verify(self, named: Iterable[tuple[datetime, str]]) -> tuple[str, ...]:
        """Hold the stored bars against those the journal names (BoundaryClosed: at, frame_hash); what differs."""
        stored = {frame.as_of: frame.content_hash for frame in self.frames()}
        wrong = []
        for as_of, frame_hash in named:
            if as_of not in stored:
                wrong.append(f"the journal names bars of {stored_time(as_of)}, none are stored")
            elif stored[as_of] != frame_hash:
                wrong.append(f"bars of {stored_time(as_of)} are {stored[as_of]}, the journal names {frame_hash}")
        return tuple(wrong)

    def bars(self, *, corrected: bool = False) -> pl.DataFrame:
        """All bars as one table (symbol, ts = open time, open … volume, extended), ordered by ts and symbol.

        As decided with, or with `corrected` the corrections put in their places.
        """
        shape = self.shape()
        table = bar_archive.table(shape, self._frames(Kind.BARS))
        if corrected:
            better = bar_archive.table(shape, self._frames(Kind.CORRECTION))
            joined = pl.concat([table, better]).unique(["symbol", "ts"], keep="last", maintain_order=True)
            table = joined.sort("ts", "symbol")
        return table

    def shape(self) -> Shape:
        """Universe and interval of the stored session. Raises StoreMissing."""
        return bar_archive.shape(self.archive) if self.archive.exists() else self._scan().shape

    # ── at close, and beside the bars ────────────────────────────────────────────────────────────────────────

    def compact(self) -> Path:
        """Turn the segments into `bars.parquet` (and `corrections.parquet`, if any), once the session is over.

        The segments are removed only after the Parquet has been read back and every frame's hash agrees. Done
        already, it returns at once. Raises StorageRefused when what was read back differs; the segments stay.
        """
        if self.archive.exists() and not self.segments.exists():
            return self.archive
        self.close()
        found = self._scan()
        corrections = in_order(found.frames, Kind.CORRECTION)
        if corrections:
            bar_archive.write(self.directory / "corrections.parquet", found.shape, corrections)
        bar_archive.write(self.archive, found.shape, in_order(found.frames, Kind.BARS))
        self.segments.unlink()
        sync_directory(self.directory)
        return self.archive

    def write_frame(self, name: str, frame: pl.DataFrame) -> Path:
        """Keep a frame the session stands on (warm-up history, reference), once; the same content again is fine.

        Durable on return. Raises StorageRefused when `name` is kept with other content.
        """
        return named_frames.write(self.directory, name, frame)

    def read_frame(self, name: str) -> pl.DataFrame:
        """A kept frame, its content verified. Raises StoreMissing naming those there are, StoreDamaged."""
        return named_frames.read(self.directory, name)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────

    def _frames(self, kind: Kind) -> list[BarFrame]:
        if not self.archive.exists():
            return in_order(self._scan().frames, kind)
        path = self.archive if kind is Kind.BARS else self.directory / "corrections.parquet"
        return bar_archive.read(path) if path.exists() else []

    def _scan(self) -> Scan:
        found = scan(self.segments) if self.segments.exists() else None
        if found is None:
            raise StoreMissing(
                f"{self.directory} holds no bars: the session never got as far as its first boundary, or they have "
                "aged out; `qm archive restore SESSION` brings them back"
            )
        return found

    def _append(self, frame: BarFrame, kind: Kind) -> None:
        if self._shape is None or self._fd < 0:
            raise StorageRefused(f"{self.segments} is not open for writing: begin() the session first")
        check(frame, len(self._shape.symbols))
        self._write(batch(frame, kind))

    def _write(self, piece: bytes | memoryview) -> None:
        if self._failure is not None:
            raise StorageRefused(self._failure)
        start, written = self._size, 0
        try:
            while written < len(piece):
                written += os.pwrite(self._fd, piece[written:], start + written)
        except OSError as error:
            with contextlib.suppress(OSError):  # a piece left behind is a torn tail to the next who begins
                os.ftruncate(self._fd, start)
            raise self._failed(error) from error
        with self._lock:
            self._size = start + len(piece)

    def _failed(self, error: OSError) -> StorageRefused:
        self._failure = (
            f"{self.segments} could not be written ({error}): free disk space or repair the disk, then restart; "
            "nothing may be decided on bars that are not on disk"
        )
        return StorageRefused(self._failure)

    def _cut(self, found: Scan, why: str, keep: int | None = None) -> None:
        """Keep the first `keep` batches (None: all whole ones); what lies behind goes into a file of its own."""
        keep = len(found.frames) if keep is None else keep
        end = found.frames[keep - 1].end if keep else len(header(found.shape))
        if end < found.size_bytes:
            behind = os.pread(self._fd, found.size_bytes - end, end)
            (self.directory / f"{why}-at-{end}.bin").write_bytes(behind)
            os.ftruncate(self._fd, end)
        sync_data(self._fd)
        kept = [stored.frame for stored in found.frames[:keep] if stored.kind is Kind.BARS]
        self._known = {frame.as_of: frame.content_hash for frame in kept}
        self._last = kept[-1].as_of if kept else None
        with self._lock:
            self._size = self._synced = end
