"""A simulated session as data: the world it runs in and the troubles that strike it (§13, §19).

A plan without strikes draws them from its rates, and the session tells afterwards which have struck; a plan with
strikes is struck by those alone. So a failing seed becomes a list, and the list can be made shorter.
"""

from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from qmworkbench.simulation.chance import Chance

# How often a kind strikes per opportunity, at most; each seed draws its own rate below it, or turns the kind off.
KINDS: Final[dict[str, float]] = {
    # between us and the broker
    "lost_request": 0.15,
    "lost_ack": 0.15,
    "duplicate": 0.15,
    "delayed": 0.10,
    "rate_limited": 0.10,
    "server_error": 0.10,
    "read_failed": 0.10,
    "read_hollow": 0.10,
    "broker_down": 0.10,
    # what the broker says
    "report_twice": 0.10,
    "report_reordered": 0.10,
    "report_late": 0.05,
    "report_hostile": 0.03,
    # what the broker does
    "rejected": 0.10,
    "ack_late": 0.10,
    "cancel_late": 0.20,
    "cancel_too_late": 0.20,
    "fill_after_cancel": 0.15,
    "replace_rejected": 0.60,
    "over_fill": 0.05,
    "bust": 0.05,
    "said_twice": 0.05,
    "said_out_of_order": 0.05,
    "foreign_fill": 0.02,
    "cash_moved": 0.02,
    "order_vanished": 0.12,
    # market data
    "feed_mute": 0.05,
    "feed_down": 0.05,
    "quotes_stale": 0.05,
    "quotes_crossed": 0.05,
    "frame_late": 0.05,
    "mark_missing": 0.05,
    "strategy_fault": 0.02,
    # the machine
    "clock_jump": 0.05,
    "crash_before_fsync": 0.02,
    "crash_after_fsync": 0.02,
    "crash_before_send": 0.03,
    "crash_after_send": 0.03,
    "crash_deciding": 0.005,
    "fsync_slow": 0.10,
    "fsync_error": 0.01,
    "fsync_lost": 0.02,
    "disk_full": 0.01,
    "component_down": 0.03,
    "emergency_disk_full": 0.15,
    "fallback_full": 0.10,
    "direct_killed": 0.08,
    "crash_taking_over": 0.4,
    # overnight
    "dividend": 1.0,
    "split": 0.5,
    "run_dropped": 0.3,
    "activities_failed": 1.0,
    # people
    "command": 0.25,
    "replace_asked": 0.30,
    "emergency": 0.08,
    "direct_emergency": 0.6,
    "hangs": 0.04,
}


class SimPlanInvalid(ValueError):
    """A plan that cannot be run. The message names the field, its value and the remedy."""


class Strike(msgspec.Struct, frozen=True, array_like=True):
    """One trouble: its kind, and which of the session's opportunities for it."""

    kind: str
    key: str


class World(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a session is like without any trouble.

    `boundaries` are minutes of trading under fire, `healing` those after that, without trouble. `signal_rate` is how
    often a strategy has something to say of a symbol at a boundary. `max_open`, `max_trades`, `position_pct`,
    `max_daily_loss` are limits of the Risk Manager, drawn small so that they bind. `days` are sessions of one book,
    each with as many boundaries; what is carried goes through the night. `forex`: currency pairs on margin, some of
    them in another currency than the account's.
    """

    symbols: int = 3
    strategies: int = 1
    boundaries: int = 14
    healing: int = 6
    signal_rate: float = 0.25
    shared: bool = False
    costed: bool = False
    unattended: bool = True
    carry: bool = False
    budget_pct: int = 5
    position_pct: int = 15
    max_open: int = 4
    max_trades: int = 60
    max_daily_loss: Decimal = Decimal(1000)
    volatility: int = 30
    limit_entries: bool = False
    days: int = 1
    forex: bool = False

    def __post_init__(self) -> None:
        bounds = (("symbols", 1, 8), ("strategies", 1, 5), ("boundaries", 1, 400), ("healing", 4, 60), ("days", 1, 5))
        for name, low, high in bounds:
            value = getattr(self, name)
            if not low <= value <= high:
                raise SimPlanInvalid(f"world.{name} = {value}: give {low} to {high}")


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One session to simulate. `rates` are used where `strikes` is None."""

    seed: int
    world: World
    rates: dict[str, float] = {}
    strikes: tuple[Strike, ...] | None = None

    def __post_init__(self) -> None:
        struck = [strike.kind for strike in self.strikes or ()]
        unknown = sorted({*self.rates, *struck} - KINDS.keys())
        if unknown:
            raise SimPlanInvalid(f"plan names {', '.join(unknown)}: the kinds of trouble are {', '.join(KINDS)}")


def drawn(seed: int, *, orders: int = 30) -> Plan:
    """The plan of a seed. `orders` is about how many orders its session should come to."""
    chance = Chance(seed)
    larger = max(1.0, orders / 30)
    days = 2 if chance.unit("world", "days") < 0.2 else 1
    world = World(
        symbols=chance.whole("world", "symbols", 2, 4),
        strategies=chance.whole("world", "strategies", 1, 3),
        boundaries=round(chance.whole("world", "boundaries", 9, 16) * min(larger, 5.0)) // days,
        healing=6 if days == 1 else 4,
        # A night is worth having where something is carried through it.
        signal_rate=(0.15 + 0.25 * chance.unit("world", "signal_rate")) * (1.3 if larger > 1 or days > 1 else 1.0),
        shared=chance.unit("world", "shared") < 0.3,
        costed=chance.unit("world", "costed") < 0.5,
        unattended=chance.unit("world", "unattended") < 0.7,
        carry=chance.unit("world", "carry") < (0.1 if days == 1 else 0.9),
        budget_pct=chance.whole("world", "budget_pct", 2, 15),
        position_pct=chance.whole("world", "position_pct", 5, 25),
        max_open=chance.whole("world", "max_open", 1, 5),
        max_trades=round(chance.whole("world", "max_trades", 4, 40) * larger),
        max_daily_loss=Decimal(int(20 * 10 ** (2 * chance.unit("world", "max_daily_loss")))),
        volatility=chance.whole("world", "volatility", 10, 120),
        limit_entries=chance.unit("world", "limit_entries") < 0.4,
        days=days,
        forex=chance.unit("world", "forex") < 0.15,
    )
    return Plan(seed=seed, world=world, rates=_rates(chance))


def _rates(chance: Chance) -> dict[str, float]:
    """Swarm testing: about half the kinds are off in any seed, so that what hides behind others is seen too."""
    busy = 0.2 + 0.5 * chance.unit("swarm", "busy")
    rates: dict[str, float] = {}
    for kind, most in KINDS.items():
        if chance.unit("swarm/on", kind) >= busy:
            continue
        rate = most * 10 ** (-1.3 * chance.unit("swarm/rate", kind))
        rates[kind] = round(rate, 5)
    return rates


def load(path: Path) -> Plan:
    """A plan from a JSON file. Raises SimPlanInvalid naming what is wrong with it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except OSError as error:
        raise SimPlanInvalid(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise SimPlanInvalid(f"{path} is not a simulation plan: {error}") from error


def dumps(plan: Plan) -> bytes:
    """The plan as JSON that `load` reads."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=1)


class Faults:
    """Says whether a trouble strikes, and remembers which did. `calm` ends all trouble: the healing phase."""

    def __init__(self, plan: Plan) -> None:
        self.chance = Chance(plan.seed)
        self.calm = False
        self.struck: list[Strike] = []
        self._rates = plan.rates
        self._given = None if plan.strikes is None else frozenset(plan.strikes)
        self._kinds = frozenset(plan.rates) if self._given is None else frozenset(s.kind for s in self._given)
        self._asked: dict[tuple[str, str], int] = {}

    def strikes(self, kind: str, subject: str) -> bool:
        """Whether `kind` strikes at this, the next opportunity of `subject`."""
        if self.calm or kind not in self._kinds:
            return False
        nth = self._asked.get((kind, subject), 0)
        self._asked[kind, subject] = nth + 1
        key = f"{subject}#{nth}"
        if self._given is not None:
            if Strike(kind, key) not in self._given:
                return False
        elif self.chance.unit(kind, key) >= self._rates[kind]:
            return False
        self.struck.append(Strike(kind, key))
        return True

    def last_key(self) -> str:
        """The key of the newest strike, to draw its particulars by."""
        return self.struck[-1].key
