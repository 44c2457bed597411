"""Frames a session stands on, kept once and found unchanged: warm-up history, reference values (§8)."""

import hashlib
import io
import re
from pathlib import Path

import polars as pl

from qmworkbench.storage.atomic import write_whole
from qmworkbench.storage.refused import StorageRefused, StoreDamaged, StoreMissing

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,49}")


def write(directory: Path, name: str, frame: pl.DataFrame) -> Path:
    """Store `frame` as NAME.HASH.arrow, durable on return; the same content again is fine."""
    if not _NAME.fullmatch(name):
        raise StorageRefused(f"frame name {name!r}: use up to 50 lower-case letters, digits, _ and -")
    buffer = io.BytesIO()
    frame.rechunk().write_ipc(buffer, compression="zstd")
    content = buffer.getbuffer()  # no second copy of it: ten days of ten thousand symbols are hundreds of megabytes
    path = directory / f"{name}.{hashlib.sha256(content).hexdigest()[:16]}.arrow"
    kept = _kept(directory, name)
    if kept is None:
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    elif kept != path and not read(directory, name).equals(frame):
        raise StorageRefused(f"{kept}: the session already stands on another {name!r}; a session's frames never change")
    return kept or path


def read(directory: Path, name: str) -> pl.DataFrame:
    """A kept frame. Raises StoreMissing naming those there are, StoreDamaged when its content has changed."""
    path = _found(directory, name)
    content = path.read_bytes()
    _demand_whole(path, hashlib.sha256(content).hexdigest())
    return pl.read_ipc(io.BytesIO(content))


def scan(directory: Path, name: str) -> pl.LazyFrame:
    """A kept frame to be read piece by piece; its content is verified first. Raises as `read` does."""
    path = _found(directory, name)
    with path.open("rb") as file:
        _demand_whole(path, hashlib.file_digest(file, "sha256").hexdigest())
    return pl.scan_ipc(path, glob=False, hive_partitioning=False)


def _found(directory: Path, name: str) -> Path:
    path = _kept(directory, name)
    if path is None:
        there = sorted({found.name.split(".")[0] for found in directory.glob("*.*.arrow")})
        raise StoreMissing(f"{directory} keeps no frame {name!r}; it keeps {', '.join(there) or 'none'}")
    return path


def _demand_whole(path: Path, digest: str) -> None:
    if digest[:16] != path.name.split(".")[1]:
        raise StoreDamaged(f"{path} was changed after it was written: restore it from a copy")


def _kept(directory: Path, name: str) -> Path | None:
    return next(iter(sorted(directory.glob(f"{name}.*.arrow"))), None)
