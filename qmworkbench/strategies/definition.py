"""What a strategy is: its catalog entry, its parameters, its rules and its anchor in one frozen value (§3, §8, §10)."""

import hashlib
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, Literal

import msgspec
import polars as pl
from polars.exceptions import PanicException

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.strategies.bars import no_scalars
from qmworkbench.strategies.completeness import EntryIncomplete, entry_faults
from qmworkbench.strategies.exits import Entries, ExitPlan
from qmworkbench.strategies.indicators import Stages
from qmworkbench.strategies.parameters import ParameterError, ParameterSpec, Params, Value, choice, resolve, whole


class StrategyStatus(StrEnum):
    """How far the owner trusts it. Paper needs paper-approved, live needs live-approved."""

    DRAFT = "draft"
    EXPERIMENTAL = "experimental"
    PAPER_APPROVED = "paper-approved"
    LIVE_APPROVED = "live-approved"
    RETIRED = "retired"


class Direction(StrEnum):
    """The sides a strategy can take with its approved parameters."""

    LONG = "long"
    SHORT = "short"
    BOTH = "both"


class FlatPolicy(StrEnum):
    """What becomes of a position at the end of a session."""

    AT_CLOSE = "at_close"
    CARRY = "carry"


class Requirements(msgspec.Struct, frozen=True, kw_only=True):
    """What a symbol must be like; None means no requirement.

    Prices and turnover in the instrument's currency, float in shares. Where a symbol's float is not known the
    requirement cannot be judged, and the allocator says so instead of assuming.
    """

    min_price: float | None = None
    max_price: float | None = None
    min_session_volume: float | None = None
    min_session_turnover: float | None = None
    max_float_shares: float | None = None


class EntryWindow(msgspec.Struct, frozen=True, kw_only=True):
    """When entries may be decided: the name of the parameter that says so, or a number.

    `from_bar` and `until_bar` are the first and last bar index of the session (None: no last), `bars_left` the
    least number of boundaries still to come.
    """

    from_bar: str | int = 0
    until_bar: str | int | None = None
    bars_left: str | int = 1


class ExitRules(msgspec.Struct, frozen=True, kw_only=True):
    """How a position ends: stop, target and signal in words, and the parameters that carry the rest as data.

    `trail_bps` and `max_hold_bars` name parameters in which 0 means none. `flat` is the policy or the name of the
    parameter holding it.
    """

    stop: str
    target: str
    signal: str
    trail_bps: str | None = None
    max_hold_bars: str | None = None
    flat: FlatPolicy | str = FlatPolicy.AT_CLOSE


LOOKAHEAD_ANALYSES: Final = ("truncation", "shuffled future", "recursive warm-up", "next-bar leak")
"""What a look-ahead examination is made of (`qm lookahead`, research/lookahead/lookahead.py)."""


class LookaheadPassed(msgspec.Struct, frozen=True, kw_only=True):
    """A look-ahead examination that was passed: on which bars, with which parameters, by which code.

    The hashes are 16 hex digits; `code_hash` is that of research/lookahead/strategy_code.py.
    `qm lookahead --evidence` prints it.
    """

    data_hash: str
    params_hash: str
    code_hash: str
    sessions: int
    symbols: int
    entries: int
    analyses: tuple[str, ...] = LOOKAHEAD_ANALYSES


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of evidence for a strategy: the data, what was done with it, what came out.

    `version` is the strategy's then, "" for the present one; `on` the date, ISO, "" where none was kept. Evidence on
    which a status was granted says which (`approves`) and who granted it (`by`). `lookahead`: the examination it was.
    """

    data: str
    method: str
    result: str
    version: str = ""
    on: str = ""
    approves: StrategyStatus | None = None
    by: str = ""
    lookahead: LookaheadPassed | None = None


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """How far before the session the computation starts, so that it always starts at the same place.

    `bars`: how many earlier bars of a symbol can matter; 0 if only the session itself does, None if every bar since
    the start matters (recursive indicators), in which case `sessions` alone defines the start.
    """

    sessions: int = 0
    bars: int | None = 0

    def reach(self, boundaries: int) -> int:
        """Whole sessions of `boundaries` bars to load before: one more than full ones would need, for thin ones."""
        needed = -(-self.bars // boundaries) + 1 if self.bars else 0
        return max(self.sessions, needed)


class StrategyDefinition(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One strategy: what its owner says about it, as data, and the rules that are its only implementation.

    The rules come in two parts:

    * `signals(params)` for every bar: named polars expressions over prepared bars, in stages. Indicators (`i_…`,
      shared between strategies by name), the strategy's own steps (`s_…`), and at last the four flags of
      `contract.SIGNAL_SCHEMA` and every name in `features`.
    * `plan(entries, params)` for bars with an entry, from that bar alone: its stop, target and limits.

    `anchor(params)` says how much history they can see, `warmup_bars(params)` how many bars a symbol needs
    before its first signal, and `contradiction(params)` what is wrong with a set whose values are each in range
    (None: nothing).

    An entry that does not say all it must is refused with EntryIncomplete, naming strategy and field.
    """

    strategy_id: str
    version: str
    owner: str
    status: StrategyStatus
    title: str
    objective: str
    asset_classes: tuple[AssetClass, ...]
    direction: Direction
    requirements: Requirements
    entry_window: EntryWindow
    entry: str
    confirming: str
    disqualifying: str
    invalidation: str
    exits: ExitRules
    sizing: str
    parameter_specs: tuple[ParameterSpec, ...]
    features: Mapping[str, str]
    assumptions: tuple[str, ...]
    validation: tuple[Validation, ...]
    signals: Callable[[Params], Stages]
    plan: Callable[[Entries, Params], ExitPlan]
    anchor: Callable[[Params], Anchor]
    warmup_bars: Callable[[Params], int]
    contradiction: Callable[[Params], str | None] = lambda _: None

    def __post_init__(self) -> None:
        faults = entry_faults(self)
        if faults:
            raise EntryIncomplete("; ".join(faults))
        self.parameters({})

    def parameters(self, overrides: Params) -> dict[str, Value]:
        """The full set: approved values with `overrides` laid over them.

        Raises ParameterError naming strategy, parameter, value and range for everything that does not fit.
        """
        params = resolve(self.strategy_id, self.parameter_specs, overrides)
        contradiction = self.contradiction(params)
        if contradiction is not None:
            raise ParameterError(self.strategy_id, [f"strategy {self.strategy_id}: {contradiction}"])
        return params

    def hash(self, params: Params) -> str:
        """The running hash, 16 hex digits over id, version and the whole parameter set."""
        whole_set = {"id": self.strategy_id, "version": self.version, "params": dict(self.parameters(params))}
        return hashlib.sha256(msgspec.json.encode(whole_set, order="deterministic")).hexdigest()[:16]

    def program(self, params: Params) -> "Program":
        """The rules with these parameters, ready to run: built once, run at every boundary."""
        return Program(self, params)

    def history_sessions(self, params: Params, boundaries: int) -> int:
        """Whole sessions of `boundaries` bars to load before the session."""
        return self.anchor(params).reach(boundaries)

    def flat_policy(self, params: Params) -> FlatPolicy:
        """What becomes of a position at the session's end under these parameters."""
        flat = self.exits.flat
        return flat if isinstance(flat, FlatPolicy) else FlatPolicy(choice(params, flat))

    def window(self, params: Params) -> EntryWindow:
        """The entry window in bars, its parameters looked up."""

        def bars(bound: str | int) -> int:
            return whole(params, bound) if isinstance(bound, str) else bound

        window = self.entry_window
        until = None if window.until_bar is None else bars(window.until_bar)
        return EntryWindow(from_bar=bars(window.from_bar), until_bar=until, bars_left=bars(window.bars_left))

    def as_data(self) -> dict[str, Any]:
        """The catalog entry without its functions, in plain JSON types: for cards, diffs and preflight."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        entry = {name: value for name, value in fields.items() if not callable(value)}
        entry |= {"approved_hash": self.hash({}), "warmup_bars": self.warmup_bars(self.parameters({}))}
        data: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(entry))
        return data


THREADED_ROWS = 50_000


class Program:
    """A strategy's expressions for one parameter set. Building them costs as much as running them on a few symbols.

    `broken` says what building them raised, None for a program that can be run: whoever asks it for answers is told
    by `contract.checked`, so that a strategy that cannot even begin ends its own run and no other.
    """

    def __init__(self, definition: StrategyDefinition, params: Params) -> None:
        self.strategy_id = definition.strategy_id
        self.features = tuple(definition.features)
        self._params, self._plan = params, definition.plan
        self.stages: list[list[tuple[str, pl.Expr]]] = []
        self.broken: str | None = None
        try:
            self.stages = [[(expr.meta.output_name(), expr) for expr in stage] for stage in definition.signals(params)]
        except (Exception, PanicException) as error:  # foreign code to the platform
            self.broken = f"signals(params) raised {type(error).__name__}: {error}"

    def names(self) -> tuple[str, ...]:
        """Every column the stages for all bars yield, causes before effects."""
        return tuple(name for stage in self.stages for name, _ in stage)

    def reads(self) -> frozenset[str]:
        """Every column the stages for all bars look at, their own among them."""
        return frozenset(name for stage in self.stages for _, expr in stage for name in expr.meta.root_names())

    def with_signals(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Prepared `bars` with flags and features. Indicators that another strategy left there are kept."""
        if bars.height == 1:
            return self.with_signals(no_scalars(bars)).head(1)
        for stage in self.stages:
            there = set(bars.columns)
            missing = [expr for name, expr in stage if name not in there or not name.startswith("i_")]
            # Below this height handing columns to threads costs more than it saves; the values are the same.
            bars = bars.with_columns(missing) if bars.height > THREADED_ROWS else bars.with_columns_seq(missing)
        return bars

    def plan(self, entries: Entries) -> ExitPlan:
        """How positions entered there will end."""
        return self._plan(entries, self._params)


class StrategyInstance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One strategy put to work: with which parameters, on which symbols, with how much of the account.

    Within a session it is a *run*. `symbols` is "*" for whatever the scanner finds of the asset class.
    `capital_fraction` of the session's starting equity is what its positions may cost together, shared by at most
    `max_symbols` symbols at a time.
    """

    instance_id: str
    strategy_id: str
    asset_class: AssetClass
    capital_fraction: Decimal
    max_symbols: int
    symbols: tuple[str, ...] | Literal["*"] = "*"
    params: dict[str, Value] = {}

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,39}", self.instance_id):
            self._refuse(
                f"instance_id {self.instance_id!r} must be 1 to 40 of a-z 0-9 . _ - and start with a letter or digit"
            )
        if not 0 < self.capital_fraction <= 1:
            self._refuse(f"capital_fraction {self.capital_fraction} must be above 0 and at most 1")
        if self.max_symbols < 1:
            self._refuse(f"max_symbols {self.max_symbols} must be at least 1")
        if self.symbols != "*" and (not self.symbols or len(set(self.symbols)) < len(self.symbols)):
            self._refuse(f"symbols {self.symbols!r} must name at least one symbol, each once, or be '*'")

    def wants(self, symbol: str, asset_class: AssetClass) -> bool:
        """Whether the instance may be assigned `symbol`."""
        return asset_class is self.asset_class and (self.symbols == "*" or symbol in self.symbols)

    def _refuse(self, problem: str) -> None:
        raise ValueError(f"instance {self.instance_id}: {problem}")
