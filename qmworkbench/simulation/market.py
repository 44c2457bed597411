"""The market of a simulated session: prices that walk, bars for the venue, frames for the platform (§12).

Signals are drawn by strategy, symbol and boundary, each from a stream of its own: a session with one trouble less sees
the same prices and the same wishes.
"""

from decimal import Decimal
from typing import Final

import numpy as np

from qmworkbench.domain.candidates import Candidate
from qmworkbench.domain.events.market import FrameComputed, Mark, SignalRow
from qmworkbench.domain.instruments import Instrument, instrument_for
from qmworkbench.simulation.chance import Chance
from qmworkbench.simulation.loop import DAY_MINUTES, MINUTE, at
from qmworkbench.simulation.plan import World
from qmworkbench.trading.frames import BarFrame, Universe

SYMBOLS: Final = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF", "GGG", "HHH")
# Where they begin, in ticks, and how much farther they move than a share: a pair's tick is a tenth of a pip.
PAIRS: Final = {
    "EURUSD": 110_000,
    "USDJPY": 150_000,
    "EURJPY": 165_000,
    "GBPUSD": 130_000,
    "AUDUSD": 65_000,
    "USDCHF": 90_000,
    "USDCAD": 137_000,
    "NZDUSD": 60_000,
}
_FARTHER: Final = 20
_HOLDS: Final = (None, None, 3, 8)


class Market:
    """Prices in whole ticks, so that nothing depends on how floats are added."""

    def __init__(self, world: World, chance: Chance) -> None:
        self.world = world
        self.chance = chance
        self.symbols = tuple(sorted((tuple(PAIRS) if world.forex else SYMBOLS)[: world.symbols]))
        self.universe = Universe(self.symbols)
        self.instruments: tuple[Instrument, ...] = tuple(instrument_for(symbol) for symbol in self.symbols)
        self.tick = {instrument.symbol: instrument.tick_size for instrument in self.instruments}
        self.farther = _FARTHER if world.forex else 1
        self.strategies = tuple(f"sim-{number}" for number in range(1, world.strategies + 1))
        self.frames: dict[int, BarFrame] = {}
        self.ticks: dict[str, int] = {s: PAIRS.get(s, 2_000 + 1_000 * i) for i, s in enumerate(self.symbols)}
        self.closes: dict[int, dict[str, Decimal]] = {}

    def bar(self, number: int) -> BarFrame:
        """The bars that close at boundary `number`, from 1; made once, in order."""
        rows = [self._row(symbol, number) for symbol in self.symbols]
        self.closes[number] = {s: row[3] * self.tick[s] for s, row in zip(self.symbols, rows, strict=True)}
        to_one = np.array([[float(1 / self.tick[symbol])] for symbol in self.symbols])
        table = np.array(rows, dtype=np.float64) / to_one
        frame = BarFrame(
            as_of=at(number * MINUTE),
            index=np.arange(len(rows), dtype=np.int32),
            open=table[:, 0],
            high=table[:, 1],
            low=table[:, 2],
            close=table[:, 3],
            volume=np.full(len(rows), 300.0 if self._is_thin(number) else 10_000.0),
        )
        self.frames[number] = frame
        return frame

    def _is_thin(self, number: int) -> bool:
        """Little is traded, so that orders fill in part; never while everything has to come right again."""
        return number % DAY_MINUTES <= self.world.boundaries and self.chance.unit("volume", str(number)) < 0.3

    def _row(self, symbol: str, number: int) -> tuple[int, int, int, int]:
        first, last, above, below, *_ = self.chance.units("bar", f"{symbol} {number}")
        reach = self.world.volatility * self.farther
        gap = 6 if number % DAY_MINUTES == 1 and number > 1 else 1  # what a night brings goes through stops
        opened = max(500, self.ticks[symbol] + int((2 * first - 1) * reach * gap))
        close = max(500, opened + int((2 * last - 1) * reach))
        high = max(opened, close) + int(above * reach)
        low = max(400, min(opened, close) - int(below * reach))
        self.ticks[symbol] = close
        return opened, high, low, close

    def computed(
        self, number: int, as_of_ms: int, frame_hash: str, speaking: tuple[str, ...], unmarked: str
    ) -> dict[str, object]:
        """The fields of the frame at boundary `number`, but for the times the process dates it with. `speaking` are the
        instances whose signals are asked for; `unmarked` has no price this time ("": every symbol has one).
        """
        closes = self.closes[number]
        rows = tuple(
            row
            for strategy in speaking
            for symbol in self.symbols
            if (row := self._signal(strategy, symbol, number, closes[symbol])) is not None
        )
        return {
            "frame_hash": frame_hash,
            "radar_hash": "",
            "candidates": tuple(self._candidate(i, s, closes[s]) for i, s in enumerate(self.symbols, start=1)),
            "near_misses": (),
            "signals": rows,
            "marks": tuple(Mark(symbol=s, px=px, at=at(as_of_ms)) for s, px in closes.items() if s != unmarked),
        }

    @staticmethod
    def _candidate(rank: int, symbol: str, last: Decimal) -> Candidate:
        return Candidate(
            symbol=symbol,
            rank=rank,
            score=1.0,
            last=float(last),
            change=0.05,
            change_basis="open",
            rel_volume=2.0,
            dollar_volume=1e6,
            verdicts=(),
        )

    def _signal(self, strategy: str, symbol: str, number: int, close: Decimal) -> SignalRow | None:
        speaks, side, away, out_long, out_short, rests, trails, holds = self.chance.units(
            "signal", f"{strategy} {symbol} {number}"
        )
        if speaks >= self.world.signal_rate:
            return None
        long = side < 0.5
        far = int(5 + away * 2 * self.world.volatility) * self.farther
        reach = far * self.tick[symbol] * (1 if long else -1)
        return SignalRow(
            strategy_id=strategy,
            symbol=symbol,
            close=close,
            entry_long=long,
            entry_short=not long,
            exit_long=out_long < 0.2,
            exit_short=out_short < 0.2,
            stop_px=close - reach if rests < 0.8 else None,
            target_px=close + 2 * reach if 0.2 < rests < 0.9 else None,
            trail_bps=100 if trails < 0.2 and rests < 0.8 else None,
            max_hold_bars=_HOLDS[int(holds * len(_HOLDS))],
        )


def frame_of(process_now: object, fields: dict[str, object], boundary_at: object) -> FrameComputed:
    """The computed frame as an input of the process, dated by its clock."""
    return FrameComputed(at=process_now, as_of=boundary_at, **fields)  # type: ignore[arg-type]
