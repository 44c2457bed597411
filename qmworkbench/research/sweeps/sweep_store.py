"""A sweep on disk: a manifest, and chunks that are there whole or not at all, so that a killed sweep goes on (§19).

`DIR/manifest.json` says what the sweep is before the first chunk is written. A sweep is taken up again only where all
of that is the same: code, data, grid, seed, terms. When it is done the chunks become `results.parquet` and
`equity.parquet`, and the manifest says what came out.
"""

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from qmworkbench.storage.atomic import appearing, sweep, write_whole

Table = npt.NDArray[np.float64]

MANIFEST: Final = "manifest.json"
RESULTS: Final = "results.parquet"
EQUITY: Final = "equity.parquet"
_CHUNKS: Final = "chunks"
_TOLD_NUMBER: Final = re.compile(r"os error (\d+)")
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class SweepRefused(Exception):
    """A sweep cannot begin or go on there. The message names what is in the way; `remedy` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class SweepStore:
    """One sweep's directory. `identity` is what it is, in plain JSON types; chunks are numbered from 0."""

    def __init__(self, directory: Path, identity: Mapping[str, Any]) -> None:
        self.directory = directory
        self.identity: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(dict(identity)))
        self.written = 0
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error
        known = self._manifest()
        if known is None:
            self._write_manifest({"identity": self.identity, "status": "running"})
        else:
            self._demand_same(known["identity"])
        self.complete: dict[str, Any] | None = known if known and known["status"] == "complete" else None
        if self.complete is None:
            (directory / _CHUNKS).mkdir(exist_ok=True)
            for leftovers in (directory, directory / _CHUNKS):
                sweep(leftovers)

    def chunk(self, number: int) -> tuple[pl.DataFrame, Table] | None:
        """The rows and equities of a chunk; None where it is not there yet."""
        rows, equity = self._paths(number)
        if not rows.exists() or not equity.exists():
            return None
        self.written += 1
        return pl.read_parquet(rows), _table(pl.read_parquet(equity))

    def put(self, number: int, rows: pl.DataFrame, marked: Table) -> None:
        """Keep a chunk. Raises SweepRefused where there is no room; what was kept before stays."""
        at, equity = self._paths(number)
        try:
            # The rows come last: where they are, the equity is.
            with appearing(equity) as path:
                _frame(marked).write_parquet(path)
            with appearing(at) as path:
                rows.write_parquet(path)
        except (OSError, pl.exceptions.ComputeError) as error:
            raise self._unwritable(error) from error
        self.written += 1

    def finish(self, results: pl.DataFrame, marked: Table | None, outcome: Mapping[str, Any]) -> dict[str, Any]:
        """Make one table of the chunks, say in the manifest what came out, and let go of the chunks.

        Equities there was no room for stay in theirs.
        """
        try:
            with appearing(self.directory / RESULTS) as path:
                results.write_parquet(path)
            if marked is not None:
                with appearing(self.directory / EQUITY) as path:
                    _frame(marked).write_parquet(path)
            manifest = {"identity": self.identity, "status": "complete", **outcome}
            self._write_manifest(manifest)
        except (OSError, pl.exceptions.ComputeError) as error:
            raise self._unwritable(error) from error
        if marked is not None:
            for path in (self.directory / _CHUNKS).iterdir():
                path.unlink(missing_ok=True)
            (self.directory / _CHUNKS).rmdir()
        return manifest

    def results(self) -> tuple[pl.DataFrame, Table | None]:
        """The tables of a sweep that is complete; its equities where they were kept in one."""
        equity = self.directory / EQUITY
        return pl.read_parquet(self.directory / RESULTS), _table(pl.read_parquet(equity)) if equity.exists() else None

    def _paths(self, number: int) -> tuple[Path, Path]:
        home = self.directory / _CHUNKS
        return home / f"rows-{number:06d}.parquet", home / f"equity-{number:06d}.parquet"

    def _manifest(self) -> dict[str, Any] | None:
        path = self.directory / MANIFEST
        try:
            known = msgspec.json.decode(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise SweepRefused(f"{path} cannot be read: {error}", "choose another directory") from error
        if not isinstance(known, dict) or not isinstance(known.get("identity"), dict) or "status" not in known:
            raise SweepRefused(f"{path} is no sweep's manifest", "choose another directory")
        return known

    def _demand_same(self, known: Mapping[str, Any]) -> None:
        names = [name for name in {**known, **self.identity} if known.get(name) != self.identity.get(name)]
        if names:
            told = "; ".join(
                f"{name}: {_short(known.get(name))}, now {_short(self.identity.get(name))}" for name in names
            )
            raise SweepRefused(
                f"{self.directory} holds another sweep, which this one cannot go on with: {told}",
                "choose another directory, or remove that one",
            )

    def _write_manifest(self, manifest: Mapping[str, Any]) -> None:
        try:
            write_whole(self.directory / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> SweepRefused:
        number = getattr(error, "errno", None)
        told = _TOLD_NUMBER.search(str(error))  # polars tells the number in words
        if number is None and told is not None:
            number = int(told[1])
        full = number in _FULL
        what = "no room on the disk of" if full else "cannot write to"
        reason = os.strerror(number) if isinstance(number, int) else str(error)
        return SweepRefused(
            f"{what} {self.directory}: {reason}; {self.written} chunks are written and stay valid",
            "make room and run the same command again: it goes on from there" if full else "choose another directory",
        )


def _frame(marked: Table) -> pl.DataFrame:
    return pl.DataFrame({"equity": pl.Series(marked, dtype=pl.Array(pl.Float64, marked.shape[1]))})


def _table(frame: pl.DataFrame) -> Table:
    return np.ascontiguousarray(frame["equity"].to_numpy(), np.float64).reshape(frame.height, -1)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
