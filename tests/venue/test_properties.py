"""What must hold of the venue whatever is sent to it, in any order, with restarts anywhere."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal as D
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qmworkbench.domain.execution import ExecType, ExecutionReport
from qmworkbench.domain.instruments import AssetClass, forex_pair, us_equity
from qmworkbench.domain.orders import TERMINAL, Arc, OrdStatus, Side, TimeInForce, next_status
from qmworkbench.venue.costs import IBKR_FIXED, CostSchedule, VenueModel
from qmworkbench.venue.exchange import VenueError
from qmworkbench.venue.orders import OrderRefused
from tests.venue.worlds import World, at, bracket

CASH = "60000"
SYMBOLS = ("AAA", "USDJPY")
PX = {"AAA": 100.0, "USDJPY": 110.0}
TICK = {"AAA": 0.05, "USDJPY": 0.05}
MODEL = VenueModel(
    name="hard",
    schedules={
        AssetClass.EQUITY: CostSchedule(
            slippage_bps=D(3), round_to_tick=True, fees=IBKR_FIXED, participation=D("0.1"), closing_print_max_age_s=120
        ),
        AssetClass.FOREX: CostSchedule(half_spread_bps=D("0.7"), closing_print_max_age_s=120),
    },
)


MOVES = {ExecType.TRADE: 1, ExecType.TRADE_CANCEL: -1}


class Step(msgspec.Struct, frozen=True):
    """One thing that happens to the venue."""

    kind: str
    numbers: tuple[int, ...]


small = st.integers(0, 999)
ORDINARY = ["bars"] * 6 + ["enter"] * 4 + ["exit", "exit", "cancel", "replace", "replace", "halt", "session"]


def steps_of(kinds: Sequence[str]) -> st.SearchStrategy[list[Step]]:
    return st.lists(st.builds(Step, st.sampled_from(kinds), st.tuples(*[small] * 8)), min_size=3, max_size=40)


steps = steps_of(ORDINARY)
corrected_steps = steps_of([*ORDINARY, "bust", "bust", "correct"])


class Player:
    """Acts the steps out on a world, the same way every time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.px = dict(PX)
        self.sent: list[str] = []
        self.sessions = 1

    def act(self, step: Step) -> None:
        getattr(self, f"_{step.kind}")(*step.numbers)

    def _bars(self, *n: int) -> None:
        rows = {}
        for k, symbol in enumerate(SYMBOLS):
            gap, up, down, end, volume = (n[(k * 3 + i) % 8] for i in range(5))
            if gap % 7 == 6:
                continue  # no trade this minute
            tick = TICK[symbol]
            o = self.px[symbol] + (gap % 7 - 3) * tick * (10 if gap > 900 else 1)
            h, low = o + (up % 6) * tick, o - (down % 6) * tick
            c = low + (h - low) * (end % 3) / 2
            o, h, low, c = (round(px, 2) for px in (o, h, low, min(max(c, low), h)))
            rows[symbol] = (o, max(o, h, c), min(o, low, c), c, volume * 3)
            self.px[symbol] = c
        self.world.feed(rows)

    def _enter(self, *n: int) -> None:
        symbol = SYMBOLS[n[0] % 2]
        side = Side.BUY if n[1] % 2 else Side.SELL
        px, step = self.px[symbol], TICK[symbol] * side.sign
        levels: dict[str, object] = {}
        if n[2] % 3:
            levels["stop"] = round(px - step * (n[3] % 8), 2)
        if n[2] % 4 == 1:
            levels["trail"] = 5 + n[3] % 30
        if n[4] % 3:
            levels["target"] = round(px + step * (n[4] % 8), 2)
        if n[5] % 2:
            levels["close"] = True
        above, below = round(px + step * 2, 2), round(px - step * 2, 2)
        beyond = round(px + step * (2 + n[0] % 3), 2)
        kinds = {1: {"limit": below}, 2: {"stop": above}, 3: {"stop": above, "limit": beyond}}
        kind = kinds.get(n[6] % 6, {})
        if "stop" in levels and "trail" not in levels and n[2] % 5 == 0:
            levels["stop_limit"] = round(levels["stop"] - step * (n[6] % 4), 2)  # type: ignore[operator]
        tif = (TimeInForce.IOC, TimeInForce.DAY, TimeInForce.GTC)[n[7] % 3]
        name = f"e{len(self.sent)}"
        legs = bracket(name, **levels)  # type: ignore[arg-type]
        self._try(name, lambda: self.world.send(name, side, 1 + n[3] % 150, symbol=symbol, tif=tif, legs=legs, **kind))
        self.sent += [leg.cl_ord_id for leg in legs]

    def _exit(self, *n: int) -> None:
        symbol = SYMBOLS[n[0] % 2]
        held = self.world.qty(symbol)
        close = self.world.close_long if held > 0 else self.world.close_short
        kind: dict[str, object] = {}
        if n[1] % 4 == 1:
            kind = {"stop": round(self.px[symbol] - TICK[symbol] * 3 * (1 if held > 0 else -1), 2)}
        elif n[1] % 4 == 2:
            kind = {"tif": TimeInForce.AT_CLOSE}
        name = f"x{len(self.sent)}"
        self._try(name, lambda: close(name, 1 + n[2] % 150, symbol=symbol, **kind))

    def _try(self, name: str, send: object) -> None:
        self.sent.append(name)
        with suppress(OrderRefused):
            send()  # type: ignore[operator]

    def _cancel(self, *n: int) -> None:
        if self.sent:
            with suppress(OrderRefused):
                self.world.exchange.cancel(self.sent[n[0] % len(self.sent)])

    def _replace(self, *n: int) -> None:
        """Of the orders that were ever sent: another quantity (mostly), and another price for what has one."""
        if not self.sent:
            return
        old = self.sent[n[0] % len(self.sent)]
        order, _ = self.world.exchange.order(old)
        if order is None:
            return
        new, tick = f"{old}~{len(self.sent)}", D(str(TICK[order.symbol]))
        qty = order.order_qty if n[1] % 3 else D(1 + n[2] % 150)
        moved = {
            name: max(px + tick * (n[3] % 7 - 3), tick)
            for name, px in (("limit", order.limit_px), ("stop", order.stop_px))
            if px is not None and n[4] % 2
        }
        said = self.world.replace(new, order.cl_ord_id if n[5] % 5 else old, qty, **moved)  # type: ignore[arg-type]
        if said.exec_type is ExecType.REPLACED:
            self.sent.append(new)

    def _bust(self, *n: int) -> None:
        trades = [report.exec_id for report in self.world.said() if report.exec_type is ExecType.TRADE]
        if trades:
            with suppress(VenueError):
                self.world.exchange.bust(trades[n[0] % len(trades)])

    def _correct(self, *n: int) -> None:
        trades = [report for report in self.world.said() if report.exec_type is ExecType.TRADE]
        if trades:
            was = trades[n[0] % len(trades)]
            px = was.last_px + D(str(TICK[was.symbol])) * (n[1] % 5 - 2)
            with suppress(VenueError):
                self.world.exchange.correct(was.exec_id, px=px, qty=D(1 + n[2] % 150) if n[3] % 2 else None)

    def _halt(self, *n: int) -> None:
        symbol = SYMBOLS[n[0] % 2]
        (self.world.exchange.halt if n[1] % 3 == 0 else self.world.exchange.resume)(symbol)

    def _session(self, *_: int) -> None:
        self.world.end()
        self.sessions += 1
        self.world.minute += 100
        self.world.exchange.open_session(f"session {self.sessions}", at(self.world.minute))
        self.px = dict(PX)


def play(steps_: Sequence[Step], path: Path | str = ":memory:", restart_after: frozenset[int] = frozenset()) -> World:
    world = World(instruments=[us_equity("AAA"), forex_pair("USDJPY")], model=MODEL, cash=CASH, path=path)
    player = Player(world)
    player._bars(3, 1, 1, 1, 3, 1, 1, 900)
    for number, step in enumerate(steps_):
        if number in restart_after:
            world.restart()
        player.act(step)
        check(world)
    world.end()
    check(world)
    return world


def check(world: World) -> None:
    """The invariants, after every step."""
    said = world.said()
    assert [report.cursor for report in said] == list(range(1, len(said) + 1))
    held = positions(said)
    assert {p.symbol: p.qty for p in world.exchange.positions()} == held
    working = world.exchange.open_orders()
    for order in working:
        assert order.ord_status in (OrdStatus.ACCEPTED, OrdStatus.PARTIALLY_FILLED)
        assert 0 < order.leaves_qty == order.order_qty - order.cum_qty
    for parent in {order.parent_id for order in working if order.parent_id}:
        legs = [order for order in working if order.parent_id == parent]
        assert len({leg.leaves_qty for leg in legs}) == 1
        assert legs[0].leaves_qty <= abs(held.get(legs[0].symbol, D(0)))
    for symbol in SYMBOLS:
        for side in Side:
            groups = {
                o.parent_id: o.leaves_qty for o in working if o.parent_id and (o.symbol, o.side) == (symbol, side)
            }
            assert sum(groups.values()) <= max(-side.sign * held.get(symbol, D(0)), D(0))


def positions(said: Sequence[ExecutionReport]) -> dict[str, D]:
    total: defaultdict[str, D] = defaultdict(D)
    for report in said:
        if report.exec_type in MOVES:
            total[report.symbol] += MOVES[report.exec_type] * report.side.sign * report.last_qty
    return {symbol: qty for symbol, qty in total.items() if qty}


@given(steps_=corrected_steps)
@settings(max_examples=80)
def test_orders_positions_and_cash_add_up(steps_: list[Step]) -> None:
    """Under any sequence, replacements, busts and corrections included: no money and no share comes from nowhere."""
    world = play(steps_)
    rows = world.exchange._store._db.execute("SELECT cash_delta, realized_pnl, fee FROM executions").fetchall()
    assert world.exchange.account().cash == D(CASH) + sum((D(cash) for cash, _, _ in rows), D(0))
    account = world.exchange.account()
    assert account.equity == account.cash + sum(
        (p.market_value if p.symbol == "AAA" else p.unrealized_pnl for p in world.exchange.positions()), D(0)
    )
    moved = [(MOVES[r.exec_type], r) for r in world.said() if r.exec_type in MOVES]
    paid = sum((way * r.side.sign * r.last_qty * r.last_px for way, r in moved if r.symbol == "AAA"), D(0))
    fees = sum((way * report.fee for way, report in moved), D(0))
    yen = sum((D(realized) for _, realized, _ in world.exchange._store._db.execute(
        "SELECT symbol, realized_pnl, 0 FROM executions WHERE symbol = 'USDJPY'"
    ).fetchall()), D(0))  # fmt: skip
    assert account.cash == D(CASH) - paid - fees + yen


@given(steps_=steps)
@settings(max_examples=80)
def test_every_order_walks_the_table_and_never_overfills(steps_: list[Step]) -> None:
    """What the venue says of an order, fed to the platform's own table of arcs, is legal from first to last."""
    world = play(steps_)
    first: dict[str, str] = {}
    arcs = {
        ExecType.NEW: Arc.ACK,
        ExecType.TRADE: Arc.FILL,
        ExecType.CANCELED: Arc.CANCEL,
        ExecType.EXPIRED: Arc.EXPIRE,
        ExecType.RESTATED: Arc.RESTATE,
        ExecType.CANCEL_REJECTED: Arc.CANCEL_REJECT,
        ExecType.REPLACED: Arc.REPLACE,
        ExecType.TRADE_CANCEL: Arc.BUST,
    }
    status: dict[str, OrdStatus] = {}
    filled: defaultdict[str, D] = defaultdict(D)
    for report in world.said():
        known_as = report.cl_ord_id if report.orig_cl_ord_id is None else report.orig_cl_ord_id
        name = first.get(known_as, known_as)
        if report.exec_type is ExecType.REPLACED:
            first[report.cl_ord_id] = name
        if report.exec_type in MOVES:
            filled[name] += MOVES[report.exec_type] * report.last_qty
            assert report.last_qty > 0
            assert report.last_px > 0
        assert report.cum_qty == filled[name] <= report.order_qty
        if report.exec_type is ExecType.REPLACE_REJECTED:
            continue
        status[name] = next_status(
            status.get(name, OrdStatus.SUBMITTED),
            arcs[report.exec_type],
            order_qty=report.order_qty,
            cum_qty=report.cum_qty,
        )
        assert status[name] is report.ord_status, name
    for name, last in status.items():
        found, _ = world.exchange.order(name)
        assert found is not None
        assert found.ord_status is last
        assert found.cum_qty == filled[name]
    carried = {first.get(order.cl_ord_id, order.cl_ord_id) for order in world.exchange.open_orders()}
    assert {name for name, last in status.items() if last not in TERMINAL} == carried


@given(steps_=steps)
@settings(max_examples=80)
def test_the_legs_of_an_entry_never_close_more_than_it_filled(steps_: list[Step]) -> None:
    world = play(steps_)
    opened: defaultdict[str, D] = defaultdict(D)
    closed: defaultdict[str, D] = defaultdict(D)
    for report in world.said():
        if report.exec_type is ExecType.TRADE:
            if report.parent_id is None:
                opened[report.cl_ord_id.partition("~")[0]] += report.last_qty
            else:
                closed[report.parent_id] += report.last_qty
                assert closed[report.parent_id] <= opened[report.parent_id]


@given(steps_=steps)
@settings(max_examples=40)
def test_no_exit_ever_turns_a_position_around(steps_: list[Step]) -> None:
    held: defaultdict[str, D] = defaultdict(D)
    for report in play(steps_).said():
        if report.exec_type is not ExecType.TRADE:
            continue
        before = held[report.symbol]
        held[report.symbol] += report.side.sign * report.last_qty
        closes = report.parent_id is not None or report.cl_ord_id.startswith("x")
        if closes:
            assert abs(held[report.symbol]) < abs(before)
            assert before * held[report.symbol] >= 0
        else:
            assert before * report.side.sign >= 0


@given(steps_=steps)
@settings(max_examples=80)
def test_no_fill_lies_outside_its_bar_but_for_costs(steps_: list[Step]) -> None:
    """Within the bar of its minute, or the last one before a close; costs add at most 3 bps and a tick."""
    world = play(steps_)
    for report in world.said():
        if report.exec_type is not ExecType.TRADE:
            continue
        minute = int((report.transact_time - at(0)).total_seconds()) // 60
        seen = max(m for m, symbol in world.seen if symbol == report.symbol and m <= minute)
        _, high, low, *_ = world.seen[seen, report.symbol]
        room = D(str(high)) * D("0.0003") + D("0.01")
        assert D(str(low)) - room <= report.last_px <= D(str(high)) + room


@given(steps_=corrected_steps)
@settings(max_examples=40)
def test_the_same_inputs_say_the_same(steps_: list[Step]) -> None:
    assert play(steps_).said() == play(steps_).said()


@given(steps_=corrected_steps, cuts=st.frozensets(st.integers(0, 40), min_size=1, max_size=12))
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_restarts_anywhere_change_nothing(steps_: list[Step], cuts: frozenset[int]) -> None:
    """But for prices nobody depended on when the venue ended: a market entry that needs one is refused without it."""
    with TemporaryDirectory() as folder:
        whole = play(steps_)
        cut = play_with_memory(steps_, Path(folder) / "venue.db", cuts)
        assert cut.said() == whole.said()
        assert cut.exchange.account() == whole.exchange.account()
        assert list(cut.exchange.open_orders()) == list(whole.exchange.open_orders())
        cut.exchange.close()


def play_with_memory(
    steps_: Sequence[Step], path: Path | str, cuts: frozenset[int], model: VenueModel = MODEL, *, checked: bool = True
) -> World:
    """As play, with restarts; the platform feeds its frames again after each, as it does on recovery."""
    world = World(instruments=[us_equity("AAA"), forex_pair("USDJPY")], model=model, cash=CASH, path=path)
    fed: list[object] = []
    plain_feed = world.exchange.on_frame

    def remember() -> None:
        nonlocal plain_feed
        plain_feed = world.exchange.on_frame
        world.exchange.on_frame = note  # type: ignore[method-assign, assignment]

    def note(frame: object, universe: object) -> None:
        fed.append(frame)
        plain_feed(frame, universe)  # type: ignore[arg-type]

    remember()
    player = Player(world)
    player._bars(3, 1, 1, 1, 3, 1, 1, 900)
    for number, step in enumerate(steps_):
        if number in cuts:
            world.restart()
            remember()
            for frame in fed:
                plain_feed(frame, world.universe)  # type: ignore[arg-type]
        player.act(step)
        if checked:
            check(world)
    world.end()
    return world
