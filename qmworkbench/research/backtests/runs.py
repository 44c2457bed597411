"""The run registry: what each backtest and sweep was asked, on which data, and what came out (§2 Backtesting).

A run is a directory, ROOT/<run id>, with `manifest.json` and its tables as Parquet. It appears whole or not at all, and
is never changed afterwards. A run that can no longer be read is listed as broken, with the reason; nothing is hidden.
"""

import hashlib
import math
import os
import re
import shutil
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl

from qmworkbench.storage.atomic import sync_directory, sync_file

MANIFEST: Final = "manifest.json"
_FORM: Final = 1
_UNFINISHED: Final = ".unfinished"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
_RUN: Final = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}")


class RunRefused(Exception):
    """A run cannot be found, read or registered. The message names it; `remedy` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class DataNote(msgspec.Struct, frozen=True, kw_only=True):
    """The bars a run stood on: `source` as the data commands name it, `hash` over the bars that were used."""

    source: str
    hash: str
    symbols: tuple[str, ...]
    first: date
    last: date
    bars: int
    interval_s: int


class FileNote(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a run as it was written: its SHA-256 and its size."""

    sha256: str
    size_bytes: int


class RunManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was and what it came to.

    `kind` is "backtest", "sweep" or what else registers; `params` the whole parameter set (of a sweep: its grid), and
    `params_hash` that of the catalog entry with it; `terms` what else decides the result (costs, sizing, cash, fills).
    `engine` names what computed it, with versions. Metrics are None where undefined. `tables` are by name; a table
    `equity` (ts, equity) lets runs be compared by their curves. `run_id`, `at` (None: now) and `tables` are the
    registry's to fill in.
    """

    kind: str
    strategy: str
    strategy_version: str
    params: dict[str, Any]
    params_hash: str
    terms: dict[str, Any]
    data: DataNote
    code_version: str
    engine: dict[str, str]
    seed: int | None
    metrics: dict[str, float | None]
    notes: tuple[str, ...] = ()
    run_id: str = ""
    at: datetime | None = None
    tables: dict[str, FileNote] = {}
    form: int = _FORM


class BrokenRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run's directory that cannot be trusted any more, and why."""

    run_id: str
    why: str


class Run:
    """One registered run, its manifest read; tables are read when asked for."""

    def __init__(self, directory: Path, manifest: RunManifest) -> None:
        self.directory = directory
        self.manifest = manifest

    @property
    def run_id(self) -> str:
        return self.manifest.run_id

    def table(self, name: str) -> pl.DataFrame:
        """A table of the run. Raises RunRefused where it has none of that name, or the file is not what was written."""
        note = self.manifest.tables.get(name)
        if note is None:
            there = ", ".join(sorted(self.manifest.tables)) or "none"
            raise RunRefused(f"run {self.run_id} has no table {name!r}", f"take one of {there}")
        path = self.directory / f"{name}.parquet"
        fault = _file_fault(path, note)
        if fault:
            raise RunRefused(f"run {self.run_id} is damaged: {fault}", "restore the directory, or run it again")
        return pl.read_parquet(path)


class RunRegistry:
    """The runs below one directory (DATA/runs). Reading needs nothing to exist; several processes may register."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def register(self, told: RunManifest, tables: Mapping[str, pl.DataFrame | Path]) -> Run:
        """Keep a run. Its id is the time and eight digits over all that decides it; the same run again in the same
        second is the run that is there. A table given as a Path is a Parquet file, which is copied.

        Raises RunRefused for a name that is none, and where the directory cannot be written.
        """
        for name in (told.kind, *tables):
            if not _NAME.fullmatch(name):
                raise RunRefused(
                    f"{name!r} is no name for a kind or a table", "use a-z 0-9 _ - and start with a letter"
                )
        moment = (told.at or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
        metrics = {name: _finite(value) for name, value in told.metrics.items()}
        manifest = msgspec.structs.replace(told, at=moment, metrics=metrics)
        run_id = f"{moment:%Y%m%d-%H%M%S}-{content_hash(manifest)}"
        try:
            return self._kept(msgspec.structs.replace(manifest, run_id=run_id), tables)
        except OSError as error:
            raise RunRefused(
                f"run {run_id} cannot be written below {self.root}: {error.strerror or error}",
                "free some space or give another directory; the result itself was not kept",
            ) from None

    def _kept(self, manifest: RunManifest, tables: Mapping[str, pl.DataFrame | Path]) -> Run:
        target = self.root / manifest.run_id
        if target.exists():
            return self.find(manifest.run_id)
        self.root.mkdir(parents=True, exist_ok=True)
        making = self.root / f"{manifest.run_id}.{os.getpid()}{_UNFINISHED}"
        making.mkdir()
        try:
            notes = {name: _written(making / f"{name}.parquet", content) for name, content in tables.items()}
            manifest = msgspec.structs.replace(manifest, tables=notes)
            (making / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest, enc_hook=str), indent=1))
            sync_file(making / MANIFEST)
            sync_directory(making)
            making.rename(target)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            if target.exists():  # another process was a moment faster with the very same run
                return self.find(manifest.run_id)
            raise
        sync_directory(self.root)
        return Run(target, manifest)

    def runs(self, *, strategy: str | None = None, kind: str | None = None) -> list[RunManifest | BrokenRun]:
        """Every run, newest first; broken ones among them by their id, whatever is asked for."""
        if not self.root.is_dir():
            return []
        found: list[RunManifest | BrokenRun] = []
        for directory in sorted(self.root.iterdir(), key=lambda path: path.name, reverse=True):
            if not directory.is_dir() or directory.name.endswith(_UNFINISHED):
                continue
            told = _read(directory)
            if isinstance(told, RunManifest) and (
                (strategy is not None and told.strategy != strategy) or (kind is not None and told.kind != kind)
            ):
                continue
            found.append(told)
        return found

    def tried(self, like: RunManifest) -> int:
        """How many kept backtests of the same strategy stand on the same bars and differ in parameters or terms."""
        asked = {
            msgspec.json.encode([run.params, run.terms], order="deterministic", enc_hook=str)
            for run in self.runs(strategy=like.strategy, kind=like.kind)
            if isinstance(run, RunManifest) and run.data.hash == like.data.hash
        }
        return max(1, len(asked))

    def find(self, given: str) -> Run:
        """The run of that id; the beginning of an id, its last digits, or "latest" will do where one run alone fits.

        Raises RunRefused naming those that fit, or what is wrong with it.
        """
        names = self._names()
        fitting = [name for name in names if name == given] or [
            name for name in names if given and (name.startswith(given) or name.endswith(given))
        ]
        if given == "latest":
            fitting = names[-1:]
        if not fitting:
            newest = ", ".join(names[-3:]) or "none yet"
            raise RunRefused(f"there is no run {given!r} below {self.root} (newest: {newest})", "see `qm runs list`")
        if len(fitting) > 1:
            raise RunRefused(f"{given!r} fits {len(fitting)} runs: {', '.join(fitting[-5:])}", "give more of the id")
        directory = self.root / fitting[0]
        told = _read(directory)
        if isinstance(told, BrokenRun):
            raise RunRefused(f"run {told.run_id} is damaged: {told.why}", "restore the directory, or run it again")
        return Run(directory, told)

    def _names(self) -> list[str]:
        if not self.root.is_dir():
            return []
        return sorted(
            path.name for path in self.root.iterdir() if path.is_dir() and not path.name.endswith(_UNFINISHED)
        )


def content_hash(manifest: RunManifest) -> str:
    """Eight digits over what a run was asked and what came out, its time and id left out."""
    plain = msgspec.structs.replace(manifest, run_id="", at=None, tables={})
    return hashlib.sha256(msgspec.json.encode(plain, order="deterministic", enc_hook=str)).hexdigest()[:8]


def _read(directory: Path) -> RunManifest | BrokenRun:
    """A run's manifest, its files looked at; or what is wrong."""

    def broken(why: str) -> BrokenRun:
        return BrokenRun(run_id=directory.name, why=why)

    path = directory / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=RunManifest)
    except FileNotFoundError:
        return broken(f"{MANIFEST} is missing")
    except OSError as error:
        return broken(f"{MANIFEST} cannot be read: {error.strerror}")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return broken(f"{MANIFEST} is not what a run writes: {error}")
    if manifest.form != _FORM:
        return broken(f"its manifest has form {manifest.form}; this version reads form {_FORM}")
    if manifest.run_id != directory.name or not _RUN.fullmatch(manifest.run_id):
        return broken(f"its manifest is that of {manifest.run_id!r}")
    if not manifest.run_id.endswith(content_hash(manifest)):
        return broken("its manifest was changed after it was written")
    for name, note in manifest.tables.items():
        fault = _file_fault(directory / f"{name}.parquet", note) if _NAME.fullmatch(name) else f"{name!r} is no name"
        if fault:
            return broken(fault)
    return manifest


def _file_fault(path: Path, note: FileNote) -> str:
    """What is wrong with a file of a run; "" where it is what was written."""
    try:
        if path.stat().st_size != note.size_bytes:
            return f"{path.name} has {path.stat().st_size:,} bytes, {note.size_bytes:,} were written"
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"{path.name} cannot be read: {error.strerror}"
    return "" if digest == note.sha256 else f"{path.name} was changed after it was written"


def _written(path: Path, content: pl.DataFrame | Path) -> FileNote:
    """Put a table in its place, durable."""
    if isinstance(content, Path):
        shutil.copyfile(content, path)
    else:
        content.rechunk().write_parquet(path, compression="zstd")
    sync_file(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileNote(sha256=digest, size_bytes=path.stat().st_size)


def _finite(value: float | None) -> float | None:
    """A figure as JSON can hold it: what is no number is none."""
    return float(value) if value is not None and math.isfinite(value) else None
