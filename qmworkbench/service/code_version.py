"""Which code decides: the package's version and a hash over its source, the same for the same checkout (§2, §21)."""

import hashlib
from functools import cache
from pathlib import Path

import qmworkbench


@cache
def code_version() -> str:
    """ "0.1.0+" and 12 hex digits over every source file of the package, in order of path. Lines end alike
    everywhere.
    """
    root = Path(qmworkbench.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return f"{qmworkbench.__version__}+{digest.hexdigest()[:12]}"
