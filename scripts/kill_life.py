"""One life of a trading platform, made to be killed: a small busy session against a venue in another process (§19).

Few symbols, few boundaries, a strategy that trades at almost every one of them: much happens in a second, so a kill
hits something. Everything else is the platform's own: journal, checkpoints, recovery, reconciliation, the wire.
"""

import contextlib
import dataclasses
import os
import pickle
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from qmworkbench.brokers.alpaca import broker as _the_adapter  # noqa: F401  (imported once, before lives are forked)
from qmworkbench.brokers.venue_door import RemoteMarket as _the_door  # noqa: F401
from qmworkbench.domain.checks import Check, CheckStatus
from qmworkbench.domain.instruments import AssetClass
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.sessions import Environment
from qmworkbench.market.demo import demo_session
from qmworkbench.market.feed import Delivery
from qmworkbench.service.headless import run_headless
from qmworkbench.service.plan import AlreadyClosed, DayPlan
from qmworkbench.service.platform import Platform
from qmworkbench.service.runs import default_runs
from qmworkbench.storage.paths import BookPaths
from qmworkbench.trading.scanner_settings import ScanSettings
from qmworkbench.venue.costs import costed
from qmworkbench.venue.wire.address import VenueAddress

DAY: Final = date(2024, 3, 8)
SYMBOLS: Final = 12
BOUNDARIES: Final = 60
CASH: Final = Decimal(100_000)
_EVERYTHING: Final = ScanSettings(
    mode="all",
    min_price=None,
    max_price=None,
    min_dollar_volume=None,
    min_rel_volume=None,
    min_change_pct=None,
    max_spread_bps=None,
    min_bars=1,
    window_open_min=0,
    window_close_min=5,
)
_NOTHING_ELSE: Final = Check(
    check_id="kill.looked_at",
    section="§19",
    title="the session is there to be killed",
    status=CheckStatus.PASS,
    looked_at="the plan",
    value="a small session",
    expectation="a small session",
)


def paths_of(root: Path) -> BookPaths:
    """Where the book of a session lives."""
    return BookPaths.under(root, "local", "main")


def make_bars(root: Path, seed: int) -> None:
    """The bars of a seed's session, made once: every life reads the same."""
    data = demo_session(DAY, seed, SYMBOLS)
    frames = tuple(data.regular_frames[:BOUNDARIES])
    window = dataclasses.replace(data.window, closes_at=frames[-1].as_of)
    # Quoted spreads go by a frame's number, and the first frames are left out.
    cut = dataclasses.replace(data, frames=frames, window=window, spreads_bps=None)
    (root / "bars.pickle").write_bytes(pickle.dumps(cut))


def plan_of(root: Path, venue: VenueAddress) -> DayPlan:
    """The session, of the bars that were made for it."""
    data = pickle.loads((root / "bars.pickle").read_bytes())
    usual = next(run for run in default_runs(AssetClass.EQUITY) if run.definition_id == "donchian")
    quick = {"entry_bars": 5, "exit_bars": 3, "atr_bars": 5, "from_bar": 6, "min_atr_bps": 0.0, "min_bars_left": 3}
    busy = msgspec.structs.replace(usual, params={**usual.params, **quick}, max_symbols=SYMBOLS)
    return DayPlan(
        book="main",
        environment=Environment.LOCAL,
        paths=paths_of(root),
        data=data,
        limits=Limits(max_trades_per_day=10_000),
        scan=_EVERYTHING,
        runs=(busy,),
        venue_model=costed(),
        account_currency="USD",
        initial_cash=CASH,
        config_hash="kill",
        max_candidates=20,
        max_owned=20,
        compute="one-pass",
        find_venue=lambda: venue,
    )


def live(root: Path, venue: VenueAddress, tell: int) -> None:
    """Run or resume the session to its close. Tells on a descriptor how far it is: b"o" once the platform is open, b"."
    at each boundary and b"l" at the last, b"c" at the close.
    """

    def opened(_platform: Platform) -> None:
        os.write(tell, b"o")

    def boundary(delivery: Delivery) -> None:
        os.write(tell, b"l" if delivery.boundary == BOUNDARIES else b".")

    with contextlib.suppress(AlreadyClosed):  # killed after the close, before it could say so
        run_headless(plan_of(root, venue), lambda _stage, _phase: [_NOTHING_ELSE], on_open=opened, on_boundary=boundary)
    os.write(tell, b"c")


def fork_life(root: Path, venue: VenueAddress) -> tuple[int, int]:
    """A process of its own for a life, with everything imported already; returns its pid and what it tells on."""
    hear, tell = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(tell)
        return pid, hear
    code = 1
    try:
        os.close(hear)
        live(root, venue, tell)
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)
