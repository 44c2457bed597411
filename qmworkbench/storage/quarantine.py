"""Rows that were refused entry to a session, kept with the reason (§5 Data Check)."""

from pathlib import Path

import polars as pl

from qmworkbench.storage.atomic import appearing
from qmworkbench.storage.refused import StoreDamaged


def add_quarantined(path: Path, rows: pl.DataFrame) -> int:
    """Put `rows` aside at `path` (SessionPaths.quarantine), durable on return; returns how many are kept there in all.

    `rows` needs a `reason` column, the finding's code; other columns may differ from call to call.
    """
    if "reason" not in rows.columns:
        raise ValueError(f"quarantined rows need a column reason; they have {rows.columns}")
    kept = rows
    if path.exists():
        kept = pl.concat([read_quarantined(path), rows], how="diagonal_relaxed")
    path.parent.mkdir(parents=True, exist_ok=True)
    with appearing(path) as temporary:
        kept.write_parquet(temporary, compression="zstd")
    return len(kept)


def read_quarantined(path: Path) -> pl.DataFrame:
    """The rows put aside; an empty frame with a `reason` column where there are none. Raises StoreDamaged."""
    if not path.exists():
        return pl.DataFrame(schema={"reason": pl.String})
    try:
        return pl.read_parquet(path, glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StoreDamaged(
            f"{path} cannot be read ({error}): move it away; the session does not depend on it"
        ) from error
