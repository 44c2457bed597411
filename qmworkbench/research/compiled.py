"""How numerical code of research is compiled: one way for all of it, kept on disk, stale copies refused (DESIGN §8).

numba keeps what it has compiled beside the source and throws it away when that file changes. A function that calls
another file's function holds a copy of it, though, and would go on with the old one. So the mark that tells stale
from fresh covers here every file of kernels, not the function's own alone.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., object])

INL = ()
KERNELS: Final = (
    "compiled.py",
    "equity_path.py",
    "fill_kernel.py",
    "fill_walk.py",
    "measure.py",
    "plain_walk.py",
    "rule_kernels.py",
    "sweep_kernel.py",
    "trailing.py",
)
"""Files of this package whose compiled functions others call."""


def compiled(function: F) -> F:
    """`function` as machine code: no GIL held, kept on disk, and division by zero gives inf or NaN as in arrays."""
    made = njit(nogil=True, cache=True, error_model="numpy")(function)
    kept = getattr(getattr(made, "_cache", None), "_cache_file", None)
    if kept is not None:
        kept._source_stamp = _stamp(Path(function.__code__.co_filename))
    return cast(F, made)


def _stamp(own: Path) -> tuple[tuple[str, float, int], ...]:
    """Name, time and size of every file the compiled function may hold a copy of."""
    files = sorted({own, *(Path(__file__).with_name(name) for name in KERNELS)})
    return tuple((path.name, path.stat().st_mtime, path.stat().st_size) for path in files if path.exists())
