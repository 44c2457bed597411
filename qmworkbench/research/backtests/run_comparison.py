"""Registered runs side by side: what they were asked differently, what came out, how alike their curves are (§2)."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import msgspec
import numpy as np
import polars as pl

from qmworkbench.research.backtests.runs import Run, RunManifest, RunRefused

EQUITY = "equity"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Something the runs do not share: its name, and each run's value in the order of the runs, None where it has
    none."""

    name: str
    values: tuple[Any, ...]


class Likeness(msgspec.Struct, frozen=True, kw_only=True):
    """How alike two runs' equity moved: the correlation of their returns at the `times` both have; None where there is
    too little or nothing moved."""

    first: str
    second: str
    correlation: float | None
    times: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two or more runs. `asked` differ in what was asked (parameters, terms, data, code, engine); `metrics` are all of
    them, those first that every run has; `alike` counts what was asked and does not differ."""

    runs: tuple[RunManifest, ...]
    asked: tuple[Difference, ...]
    alike: int
    metrics: tuple[Difference, ...]
    likeness: tuple[Likeness, ...]


def compare(runs: Sequence[Run]) -> Comparison:
    """Put runs side by side. Raises RunRefused for fewer than two, and for a damaged table of equity."""
    if len({run.run_id for run in runs}) < 2:
        raise RunRefused("a comparison takes two runs or more, each once", "name at least two of `qm runs list`")
    manifests = tuple(run.manifest for run in runs)
    told = [_asked(manifest) for manifest in manifests]
    every = list(dict.fromkeys(name for one in told for name in one))
    rows = [Difference(name=name, values=tuple(one.get(name) for one in told)) for name in every]
    differing = tuple(row for row in rows if any(value != row.values[0] for value in row.values))
    names = list(dict.fromkeys(name for manifest in manifests for name in manifest.metrics))
    metrics = [Difference(name=name, values=tuple(m.metrics.get(name) for m in manifests)) for name in names]
    metrics.sort(key=lambda row: not all(name in m.metrics for m in manifests for name in [row.name]))
    curves = [_curve(run) for run in runs]
    likeness = tuple(
        _likeness(runs[a].run_id, runs[b].run_id, curves[a], curves[b]) for a, b in combinations(range(len(runs)), 2)
    )
    return Comparison(
        runs=manifests, asked=differing, alike=len(rows) - len(differing), metrics=tuple(metrics), likeness=likeness
    )


def _asked(manifest: RunManifest) -> dict[str, Any]:
    """Everything that decides a result, flat."""
    data = manifest.data
    return {
        "kind": manifest.kind,
        "strategy": manifest.strategy,
        "version": manifest.strategy_version,
        **manifest.params,
        **_prefixed("terms", manifest.terms),
        "data.source": data.source,
        "data.hash": data.hash,
        "data.symbols": len(data.symbols) if len(data.symbols) > 6 else ", ".join(data.symbols),
        "data.first": str(data.first),
        "data.last": str(data.last),
        **_prefixed("engine", manifest.engine),
        "code": manifest.code_version,
        "seed": manifest.seed,
    }


def _prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in values.items()}


def _curve(run: Run) -> pl.DataFrame | None:
    if EQUITY not in run.manifest.tables:
        return None
    curve = run.table(EQUITY)
    return curve.select("ts", "equity") if {"ts", "equity"} <= set(curve.columns) else None


def _likeness(first: str, second: str, one: pl.DataFrame | None, other: pl.DataFrame | None) -> Likeness:
    if one is None or other is None:
        return Likeness(first=first, second=second, correlation=None, times=0)
    both = one.join(other.rename({"equity": "other"}), on="ts", how="inner").sort("ts")
    if both.height < 3:
        return Likeness(first=first, second=second, correlation=None, times=both.height)
    here, there = (np.diff(both[name].to_numpy()) / both[name].to_numpy()[:-1] for name in ("equity", "other"))
    moved = here.std() > 0 and there.std() > 0
    found = float(np.corrcoef(here, there)[0, 1]) if moved else None
    return Likeness(first=first, second=second, correlation=found, times=both.height)
