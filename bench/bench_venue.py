"""The simulated venue in the small worlds that simulations are made of: three symbols, twenty bars, thirty entries.

Beside it stands the least any venue has to do for the same session: make its reports, and say nothing else. Both in one
process, taking turns. The second result is one with all books in a file, as `qm venue serve` keeps them.
"""

import random
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from qmworkbench.domain.execution import ExecutionReport, LegRequest, OrderRequest
from qmworkbench.domain.instruments import us_equity
from qmworkbench.domain.orders import Leg, OrdType, PositionEffect, Side, TimeInForce
from qmworkbench.trading.frames import BarFrame, Universe
from qmworkbench.venue.costs import costed
from qmworkbench.venue.exchange import Exchange

SYMBOLS = ("AAA", "BBB", "CCC")
OPEN = datetime(2018, 3, 2, 14, 30, tzinfo=UTC)
BARS, ENTRIES, TURNS = 20, 30, 15
UNIVERSE, MODEL = Universe(SYMBOLS), costed()
INSTRUMENTS = [us_equity(symbol) for symbol in SYMBOLS]


def _frames() -> list[BarFrame]:
    draw, px, frames = random.Random(1), [100.0, 50.0, 20.0], []
    for t in range(BARS):
        o = [round(p + draw.choice([-0.1, 0, 0.1, 0.2]), 2) for p in px]
        h, low = [round(p + 0.2, 2) for p in o], [round(p - 0.2, 2) for p in o]
        px = [round(p + draw.choice([-0.1, 0, 0.1]), 2) for p in o]
        columns = [np.array(column, dtype=np.float64) for column in (o, h, low, px, [1e5] * 3)]
        frames.append(BarFrame(OPEN + timedelta(minutes=t + 1), np.arange(3, dtype=np.int32), *columns))
    return frames


def _entry(number: int, symbol: str, close: float, at: datetime) -> OrderRequest:
    """A bracket, every fourth at a limit."""
    px, name = Decimal(str(round(close, 2))), f"e{number}"
    limit = px - Decimal("0.50") if number % 4 == 0 else None
    day = TimeInForce.DAY
    legs = (
        LegRequest(
            cl_ord_id=f"{name}/stop",
            leg=Leg.STOP,
            ord_type=OrdType.STOP,
            time_in_force=day,
            stop_px=px - Decimal("0.35"),
        ),
        LegRequest(
            cl_ord_id=f"{name}/target",
            leg=Leg.TARGET,
            ord_type=OrdType.LIMIT,
            time_in_force=day,
            limit_px=px + Decimal("0.30"),
        ),
    )
    return OrderRequest(
        cl_ord_id=name,
        symbol=symbol,
        side=Side.BUY,
        position_effect=PositionEffect.OPEN,
        ord_type=OrdType.MARKET if limit is None else OrdType.LIMIT,
        order_qty=Decimal(100),
        time_in_force=day,
        decided_at=at,
        limit_px=limit,
        legs=legs,
    )


def session(frames: Sequence[BarFrame], path: Path | None = None) -> Sequence[ExecutionReport]:
    """One session: bars, entries, cancels, and what a platform asks at every boundary."""
    with Exchange(path, INSTRUMENTS, MODEL, "USD", Decimal(1_000_000)) as exchange:
        exchange.open_session("2018-03-02", OPEN)
        cursor = sent = 0
        for t, frame in enumerate(frames):
            exchange.on_frame(frame, UNIVERSE)
            news = exchange.reports(cursor)
            cursor = news[-1].cursor if news else cursor
            exchange.account()
            exchange.positions()
            for k in range(1 + t % 2):
                place = (t + k) % 3
                exchange.submit(_entry(sent, SYMBOLS[place], frame.close[place], frame.as_of))
                if sent % 4 == 0:
                    exchange.cancel(f"e{sent}")
                sent += 1
        exchange.close_session(frames[-1].as_of)
        assert sent == ENTRIES
        return exchange.reports(0)


def _best_s(what: Callable[[], object]) -> float:
    began = process_time()
    what()
    return process_time() - began


def run() -> list[dict[str, Any]]:
    """Sessions a second, in memory and in a file."""
    frames = _frames()
    said = session(frames)
    fields = [{name: getattr(report, name) for name in report.__struct_fields__} for report in said]

    def reports_alone() -> object:
        return [ExecutionReport(**each) for each in fields]

    with tempfile.TemporaryDirectory(prefix="qm-bench-") as folder:
        turns = [
            (
                _best_s(lambda: session(frames)),
                _best_s(lambda n=number: session(frames, Path(folder) / f"{n}.db")),  # type: ignore[misc]
                _best_s(reports_alone),
            )
            for number in range(TURNS)
        ]
    memory_s, file_s, alone_s = (min(column) for column in zip(*turns, strict=True))
    note = f"{ENTRIES} brackets, {BARS} frames, {len(said)} reports a session"
    return [
        {
            "bench": f"venue_{name}",
            "ours": round(1 / took_s, 1),
            "unit": "sessions/s",
            "peer": "making the same reports, no venue",
            "theirs": round(1 / alone_s, 1),
            "ratio": round(alone_s / took_s, 3),
            "note": note,
        }
        for name, took_s in (("in_memory", memory_s), ("in_a_file", file_s))
    ]
