"""What a session's radar and signals stand on, kept so that any minute can be computed again (§8, §19)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from qmworkbench.market.session import SessionData
from qmworkbench.storage.barstore import BarStore
from qmworkbench.storage.refused import StoreMissing
from qmworkbench.strategies.bars import RAW_SCHEMA, SessionGrid
from qmworkbench.trading.frames import BarFrame, Floats, Reference, Universe
from qmworkbench.trading.radar import Radar
from qmworkbench.trading.radar_session import SessionRadar

_TS = pl.Datetime("us", "UTC")


@dataclass(frozen=True, eq=False)
class Ground:
    """Universe, reference values, history and grids of one session; `spreads` by boundary where the feed has quotes.

    `warmup` holds the regular bars of the earlier grids' sessions, the session's own grid is the last.
    """

    universe: Universe
    reference: Reference
    grids: tuple[SessionGrid, ...]
    warmup: pl.DataFrame
    spreads: dict[datetime, Floats] | None = None

    @property
    def grid(self) -> SessionGrid:
        """The session's own."""
        return self.grids[-1]

    @property
    def history(self) -> pl.DataFrame | None:
        """The warm-up bars in RAW_SCHEMA, None where there are none."""
        return self.warmup[list(RAW_SCHEMA)] if self.warmup.height else None

    def radar(self, frames: Sequence[BarFrame] = ()) -> Radar:
        """A radar at the session's beginning, aligned to the boundaries at which bars close. `frames`: the session's,
        where they are known beforehand and may be measured at once.
        """
        return SessionRadar(
            self.universe,
            self.reference,
            self.grid.boundaries,
            session_open=self.grid.opens_at,
            bar_interval=timedelta(seconds=self.grid.interval_s),
            frames=frames,
        )

    def spread_bps(self, as_of: datetime) -> Floats | None:
        """Quoted spreads over the universe at a boundary; None without any quotes."""
        return None if self.spreads is None else self.spreads.get(as_of)


def ground_of(data: SessionData) -> Ground:
    """The ground of a session that is about to begin."""
    spreads = None
    if data.spreads_bps is not None:
        told = ((frame.as_of, data.spread_bps(number)) for number, frame in enumerate(data.frames))
        spreads = {as_of: values for as_of, values in told if values is not None}
    return Ground(
        universe=data.universe, reference=data.reference, grids=data.grids(), warmup=data.warmup, spreads=spreads
    )


def keep_ground(bars: BarStore, ground: Ground) -> None:
    """Store the ground beside the session's bars; what is kept already must be the same."""
    symbols = list(ground.universe.symbols)
    bars.write_frame("warmup", ground.warmup)
    bars.write_frame("reference", pl.DataFrame({"symbol": symbols, "prev_close": ground.reference.prev_close}))
    bars.write_frame("history-days", pl.DataFrame({"days": [ground.reference.history_days]}))
    bars.write_frame(
        "grids",
        pl.DataFrame(
            {
                "session": [grid.session for grid in ground.grids],
                "opens_at": pl.Series([grid.opens_at for grid in ground.grids], dtype=_TS),
                "interval_s": [grid.interval_s for grid in ground.grids],
                "boundaries": [grid.boundaries for grid in ground.grids],
            }
        ),
    )
    profile = ground.reference.volume_profile
    if profile is not None:
        bars.write_frame("volume-profile", pl.DataFrame(profile.T, schema=[f"b{k}" for k in range(len(profile))]))
    if ground.spreads is not None:
        moments = pl.Series("as_of", list(ground.spreads), dtype=_TS)
        table = pl.DataFrame(np.array(list(ground.spreads.values())), schema=symbols, orient="row")
        bars.write_frame("spreads", table.insert_column(0, moments))


def load_ground(bars: BarStore) -> Ground:
    """The ground of a stored session. Raises StoreMissing, StoreDamaged."""
    universe = Universe(bars.shape().symbols)
    reference = bars.read_frame("reference")
    return Ground(
        universe=universe,
        reference=Reference(
            prev_close=reference["prev_close"].to_numpy(),
            volume_profile=_profile(bars),
            history_days=int(bars.read_frame("history-days")["days"][0]),
        ),
        grids=tuple(SessionGrid(**row) for row in bars.read_frame("grids").iter_rows(named=True)),
        warmup=bars.read_frame("warmup"),
        spreads=_spreads(bars),
    )


def _profile(bars: BarStore) -> Floats | None:
    try:
        table = bars.read_frame("volume-profile")
    except StoreMissing:
        return None
    profile: Floats = np.ascontiguousarray(table.to_numpy().T)
    return profile


def _spreads(bars: BarStore) -> dict[datetime, Floats] | None:
    try:
        table = bars.read_frame("spreads")
    except StoreMissing:
        return None
    values = table.drop("as_of").to_numpy()
    return dict(zip(table["as_of"].to_list(), values, strict=True))
