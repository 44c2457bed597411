"""What a report was made from and with: parameters, versions, journal heads, data, kept beside the page (§17, §21)."""

import platform
import sys
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import msgspec

from qmworkbench.domain.checks import Verdict
from qmworkbench.service.code_version import code_version
from qmworkbench.storage.atomic import write_whole
from qmworkbench.storage.reading import open_book
from qmworkbench.storage.refused import StorageRefused

FILE: Final = "manifest.json"
_TOLD: Final = ("polars", "numpy", "matplotlib", "papermill", "msgspec", "pyarrow", "vectorbt")


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a report. `journal` holds each stream's sequence and head hash as they were when the run began.

    `facts` are what the notebook said it was made from (data and limits hashes …), `page_sha256` names the page.
    """

    report: str
    run_id: str
    verdict: Verdict
    exit_code: int
    started_at: datetime
    finished_at: datetime
    seconds: float
    parameters: dict[str, Any]
    code_version: str
    python: str
    system: str
    versions: dict[str, str]
    journal: dict[str, tuple[int, str]]
    facts: dict[str, str]
    page_sha256: str


def write_manifest(directory: Path, manifest: Manifest) -> Path:
    """Put the manifest beside the page, whole or not at all."""
    path = directory / FILE
    write_whole(path, msgspec.json.format(msgspec.json.encode(manifest), indent=2), b"\n")
    return path


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a run. Raises FileNotFoundError, msgspec.DecodeError."""
    return msgspec.json.decode((directory / FILE).read_bytes(), type=Manifest)


def journal_heads(book_dir: Path | None) -> dict[str, tuple[int, str]]:
    """Sequence and hash of both streams of a book; empty where there is no book, or none that can be read."""
    if book_dir is None:
        return {}
    try:
        with open_book(book_dir) as book:
            return {stream: book.head(stream) for stream in ("decisions", "telemetry")}
    except StorageRefused:
        return {}


def versions() -> dict[str, str]:
    """The installed versions of what computes and draws, by package."""
    found = {}
    for name in _TOLD:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str]:
    """Code version, Python and system, as the manifest names them."""
    return {
        "code_version": code_version(),
        "python": sys.version.split()[0],
        "system": f"{platform.system()} {platform.machine()}",
    }
