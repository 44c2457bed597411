"""Where an archive lies: a directory, or an object store that polars itself reads and writes (§17, §21).

No credential is ever part of an address: polars takes them from the environment (AWS_ACCESS_KEY_ID and its kin).
"""

import io
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import polars as pl

from qmworkbench.storage import table_pieces
from qmworkbench.storage.atomic import appearing, write_whole
from qmworkbench.storage.frame_digest import FrameDigest
from qmworkbench.storage.refused import ArchiveMissing, ArchiveRefused

# What to do about a table that is not as it was written; nothing in an archive is ever written over.
DAMAGED: Final = "restore it from a copy of the archive, or archive anew to another place (`qm archive run --at PLACE`)"
WRITABLE: Final = ("s3", "s3a", "gs", "gcs", "az", "azure", "adl", "abfs", "abfss")
READABLE: Final = (*WRITABLE, "http", "https")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_SECRET_NAMES: Final = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL|SAS|CONNECTION_STRING", re.IGNORECASE)
_NAMES_A_FILE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
_SHORTEST_SECRET: Final = 8
# What polars looks for in the environment, and for a file that it names, by the beginning of an address.
_CREDENTIALS: Final = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, for a store of your own AWS_ENDPOINT_URL",
    "g": f"{_NAMES_A_FILE}, the path of a service account's file",
    "a": "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_KEY",
}
# What is said where nothing of that is set: polars then asks the machine it might be running on.
_NONE_FOUND: Final = re.compile(r"169\.254\.169\.254|metadata\.google|Account must be specified", re.IGNORECASE)
_FAULTS: Final = (OSError, pl.exceptions.PolarsError)


class Place:
    """A directory, or an address such as s3://bucket/archive, below which Parquet files lie.

    Raises ArchiveRefused for an address that polars cannot reach, or that carries credentials.
    """

    def __init__(self, where: str | Path) -> None:
        text = str(where).strip()
        scheme = _SCHEME.match(text)
        kind = scheme[1].lower() if scheme is not None else ""
        if not text:
            raise ArchiveRefused("an archive needs a place: give a directory, or an address such as s3://bucket/path")
        if kind == "file":
            text, kind = urlsplit(text).path, ""
        elif kind and kind not in READABLE:
            raise ArchiveRefused(f"{kind}:// is no address of an archive: give a directory, or {', '.join(READABLE)}")
        if kind:
            _demand_plain(text)
        self.kind = kind
        self.directory = Path(text).absolute() if not kind else None
        self._base = text.rstrip("/") if kind else str(self.directory)

    def __str__(self) -> str:
        return self._base

    def below(self, name: str) -> "Place":
        """A place within this one."""
        return Place(self.at(name))

    def at(self, name: str) -> str:
        """The full address of a file by its name here."""
        return f"{self._base}/{name}" if name else self._base

    def demand_writable(self) -> None:
        """Raise ArchiveRefused where nothing can be put."""
        if self.kind in ("http", "https"):
            raise ArchiveRefused(
                f"{self} can be read and not written: archive to a directory or an object store "
                f"({', '.join(WRITABLE[:1] + WRITABLE[2:3] + WRITABLE[4:5])}://…)"
            )
        for part in (self.directory, *self.directory.parents) if self.directory is not None else ():
            if part.exists() and not part.is_dir():
                raise ArchiveRefused(f"{self} cannot be written: {part} is a file; name another place")

    def write(self, name: str, frame: pl.DataFrame, metadata: Mapping[str, str] | None = None) -> int:
        """Put a table, whole or not at all; returns its size in bytes. Raises ArchiveRefused."""
        content = io.BytesIO()
        told = dict(metadata or {}) or None
        frame.write_parquet(content, compression="zstd", compression_level=table_pieces.LEVEL, metadata=told)
        with self._writing(name):
            if self.directory is not None:
                path = self.directory / name
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, content.getvalue())
            else:
                self._send(name, frame.lazy(), told)
        return content.getbuffer().nbytes

    def write_pieces(
        self, name: str, pieces: table_pieces.Pieces, metadata: Mapping[str, str], *, scratch: Path
    ) -> tuple[FrameDigest, int]:
        """Put a table that is given piece by piece, whole or not at all; returns its digest and its size in bytes.

        What goes to an object store is gathered in the directory `scratch` first. Raises ArchiveRefused.
        """
        target = self.directory / name if self.directory is not None else scratch / name
        with self._writing(name):
            target.parent.mkdir(parents=True, exist_ok=True)
            with appearing(target) as temporary:
                digest = table_pieces.write(temporary, pieces, metadata)
            size = target.stat().st_size
            if self.directory is None:
                self._send(name, pl.scan_parquet(target, glob=False, hive_partitioning=False), dict(metadata) or None)
                target.unlink()
        return digest, size

    def _send(self, name: str, table: pl.LazyFrame, metadata: dict[str, str] | None) -> None:
        """To the object store, in parts where it is large."""
        table.sink_parquet(
            self.at(name),
            compression="zstd",
            compression_level=table_pieces.LEVEL,
            row_group_size=table_pieces.ROWS,
            maintain_order=True,
            metadata=metadata,
            engine="streaming",
        )

    def read(self, name: str) -> pl.DataFrame:
        """A whole table. Raises ArchiveMissing where there is none, ArchiveRefused where it cannot be read."""
        with self._reading(name):
            return pl.read_parquet(self.at(name), glob=False, hive_partitioning=False)

    def pieces(self, name: str) -> Iterator[pl.DataFrame]:
        """A table piece by piece, for one that may be longer than memory. Raises ArchiveMissing, ArchiveRefused."""
        with self._reading(name):
            yield from table_pieces.read(self.at(name))

    def columns(self, name: str) -> list[str]:
        """A table's columns. Raises ArchiveMissing, ArchiveRefused."""
        with self._reading(name):
            schema = pl.scan_parquet(self.at(name), glob=False, hive_partitioning=False).collect_schema()
        return schema.names()

    def metadata(self, name: str) -> dict[str, str]:
        """What was put beside a table's columns. Raises ArchiveMissing, ArchiveRefused."""
        with self._reading(name):
            return pl.read_parquet_metadata(self.at(name))

    def matching(self, pattern: str) -> pl.DataFrame:
        """Every table that fits, as one; `*` stands for a directory's name. Raises ArchiveMissing, ArchiveRefused."""
        where: str | list[Path] = self.at(pattern)
        if self.directory is not None:  # whose own name may hold what stands for others
            where = sorted(self.directory.glob(pattern))
            if not where:
                raise ArchiveMissing(f"there is no {self.at(pattern)}: check the place of the archive")
        with self._reading(pattern):
            lazy = pl.scan_parquet(
                where,
                glob=isinstance(where, str),
                hive_partitioning=False,
                missing_columns="insert",
                extra_columns="ignore",
            )
            return lazy.collect(engine="in-memory")

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            yield
        except _FAULTS as error:
            remedy = "make room, or see to the right to write"
            raise ArchiveRefused(
                f"{self.at(name)} cannot be written ({said(error)}): {self._remedy(error, remedy)}"
            ) from error

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except _FAULTS as error:
            missing = isinstance(error, FileNotFoundError) and "service account file" not in str(error)
            if missing or "expanded paths were empty" in str(error):
                raise ArchiveMissing(f"there is no {self.at(name)}: check the place of the archive") from None
            remedy = DAMAGED if self.directory is not None else "see that it answers"
            raise ArchiveRefused(
                f"{self.at(name)} cannot be read ({said(error)}): {self._remedy(error, remedy)}"
            ) from error

    def _remedy(self, error: Exception, plainly: str) -> str:
        if self.directory is not None or self.kind in ("http", "https"):
            return plainly
        where = f"credentials come from the environment alone ({_credentials(self.kind)})"
        if _NONE_FOUND.search(str(error)):
            return f"there are no credentials for {self.kind}://; {where}"
        return f"{plainly}; {where}"


def said(error: Exception) -> str:
    """What an error says, in one line, without the value of anything in the environment that is a secret."""
    text = " ".join(str(error).split())
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET_NAMES.search(name) and name != _NAMES_A_FILE:
            text = text.replace(value, "********")
    return text[:400]


def _demand_plain(text: str) -> None:
    """No user, password, query or fragment: what is in an address is printed, logged and kept."""
    parts = urlsplit(text)
    where = f"credentials come from the environment alone ({_credentials(parts.scheme.lower())})"
    if "@" in parts.netloc and not parts.scheme.lower().startswith("abfs"):
        raise ArchiveRefused(
            f"the address of an archive at {parts.hostname} holds a user or password: leave it out, {where}"
        )
    if parts.query or parts.fragment:
        raise ArchiveRefused(
            f"{parts.scheme}://{parts.hostname}{parts.path} was given with more behind it: leave out what follows "
            f"? or #, {where}"
        )
    if not parts.netloc:
        raise ArchiveRefused(f"{text} names no bucket or host: give one, such as s3://bucket/archive")


def _credentials(kind: str) -> str:
    """Which variables an address of that kind goes by."""
    return next((told for begins, told in _CREDENTIALS.items() if kind.startswith(begins)), "AWS_… for s3://")
