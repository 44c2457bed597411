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

_RESEARCH: Final = Path(__file__).resolve().parents[1]
KERNELS: Final = (
    "fills/compiled.py",
    "fills/equity_path.py",
    "fills/fill_kernel.py",
    "fills/fill_walk.py",
    "fills/measure.py",
    "fills/plain_walk.py",
    "fills/trailing.py",
    "fills/trip_walk.py",
    "sweeps/rule_kernels.py",
    "sweeps/sweep_kernel.py",
)
"""Every file of research with a compiled function in it, any of which may hold a copy of another's."""


def compiled(function: F) -> F:
    """`function` as machine code: no GIL held, kept on disk, and division by zero gives inf or NaN as in arrays."""
    made = njit(nogil=True, cache=True, error_model="numpy")(function)
    kept = getattr(getattr(made, "_cache", None), "_cache_file", None)
    if kept is not None:
        kept._source_stamp = _stamp(Path(function.__code__.co_filename))
    return cast(F, made)


def _stamp(own: Path) -> tuple[tuple[str, float, int], ...]:
    """Name, time and size of every file the compiled function may hold a copy of."""
    files = sorted({own, *(_RESEARCH / name for name in KERNELS)})
    return tuple((path.name, path.stat().st_mtime, path.stat().st_size) for path in files)
