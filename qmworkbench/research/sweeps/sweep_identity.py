"""What a sweep is: everything that decides its results, in plain types, for its manifest and for taking it up (§19)."""

import hashlib
from dataclasses import asdict
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qmworkbench.research.sweeps.sweep_bars import SweepBars
from qmworkbench.research.sweeps.sweep_engine import Setting
from qmworkbench.strategies.definition import StrategyDefinition

if TYPE_CHECKING:
    from qmworkbench.research.sweeps.sweep import Asked

_FORM: Final = 1
_LIBRARIES: Final = ("numba", "numpy", "polars")


def identity_of(
    definition: StrategyDefinition, bars: SweepBars, setting: Setting, asked: "Asked", chunk: int
) -> dict[str, Any]:
    """What decides the results: strategy, bars, terms, combinations, code and the libraries that compute."""
    return {
        "form": _FORM,
        "strategy": definition.strategy_id,
        "version": definition.version,
        "params_hash": definition.hash({}),
        "grid": str(asked.grid),
        "fixed": dict(asked.fixed),
        "random": asked.random,
        "search": asked.search,
        "seed": asked.seed,
        "by": asked.by,
        "setting": asdict(setting),
        "data": {
            "source": bars.source,
            "hash": bars.hash,
            "symbols": list(bars.names),
            "bars": bars.rows,
            "first": _moment(bars.first_us),
            "last": _moment(bars.last_us),
            "bars_a_year": bars.bars_a_year,
        },
        "chunk": chunk,
        "code": code_hash(),
        "libraries": {name: version(name) for name in _LIBRARIES},
    }


@lru_cache(maxsize=1)
def code_hash() -> str:
    """16 hex digits over the source of research and strategies: what computes a sweep."""
    package = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for floor in ("research", "strategies"):
        for path in sorted((package / floor).rglob("*.py")):
            digest.update(f"{path.relative_to(package).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _moment(us: int) -> str:
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat()
