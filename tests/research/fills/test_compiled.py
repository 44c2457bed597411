"""What is compiled is known as a whole: a stale copy of another file's function must never run."""

import re
from pathlib import Path

from qmworkbench.research.fills import compiled

RESEARCH = Path(compiled.__file__).resolve().parents[1]


def test_every_file_with_a_compiled_function_is_listed() -> None:
    """Found when files moved: one was missing, and a change of it would have left its callers with the old code."""
    uses = re.compile(r"^@compiled|= compiled\(|^def compiled", re.MULTILINE)
    found = {
        path.relative_to(RESEARCH).as_posix() for path in RESEARCH.rglob("*.py") if uses.search(path.read_text("utf-8"))
    }
    assert found == set(compiled.KERNELS)


def test_what_is_kept_goes_stale_with_any_of_them() -> None:
    told = compiled._stamp(RESEARCH / "fills" / "tape.py")
    assert {name for name, _, _ in told} >= {Path(name).name for name in compiled.KERNELS}
