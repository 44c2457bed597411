"""Simulated sessions a second, small ones and large ones, on every core; beside each, one core alone.

No peer simulates whole sessions of its own kernel, so what is compared is what a second core brings: 1.0 would be
nothing.
"""

import os
from typing import Any

from qmworkbench.simulation.sweep import sweep

SMALL = range(1, 401)
LARGE = range(1, 41)


def run() -> list[dict[str, Any]]:
    """Two sizes of world: about 30 orders a session, and about 200."""
    return [_measured("sessions of about 30 orders", SMALL, 30), _measured("sessions of about 200 orders", LARGE, 200)]


def _measured(name: str, seeds: range, orders: int) -> dict[str, Any]:
    every = sweep(seeds, orders=orders)
    alone = sweep(seeds[: len(seeds) // 4], orders=orders, workers=1)
    per_session = every.orders / every.seeds
    return {
        "bench": f"simulation: {name} ({per_session:.0f} in the mean)",
        "ours": round(every.sessions_per_s, 1),
        "unit": "sessions/s",
        "peer": f"one core of {os.cpu_count()}",
        "theirs": round(alone.sessions_per_s, 1),
        "ratio": round(every.sessions_per_s / alone.sessions_per_s, 2),
    }
