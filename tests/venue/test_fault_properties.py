"""Whatever goes wrong at the venue: no share and no money from nowhere, and the same again over restarts."""

from collections import defaultdict
from decimal import Decimal as D
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qmworkbench.domain.execution import ExecType
from qmworkbench.domain.orders import OrdStatus
from qmworkbench.venue.faults import FaultKind, FaultPlan, PlannedFault
from tests.venue.test_properties import CASH, MODEL, MOVES, ORDINARY, Step, play_with_memory, steps_of
from tests.venue.worlds import World

NEVER: frozenset[int] = frozenset()
plans = st.lists(
    st.builds(
        PlannedFault,
        kind=st.sampled_from(FaultKind),
        nth=st.integers(1, 12),
        frames=st.integers(1, 4),
        qty=st.none() | st.integers(1, 60).map(D),
    ),
    min_size=1,
    max_size=12,
).map(lambda planned: FaultPlan(planned=tuple(planned)))
steps = steps_of([*ORDINARY, "cancel", "cancel", "bust", "correct"])


def play(steps_: list[Step], plan: FaultPlan, path: Path | str = ":memory:", cuts: frozenset[int] = NEVER) -> World:
    model = msgspec.structs.replace(MODEL, faults=plan)
    return play_with_memory(steps_, path, cuts, model, checked=False)


@given(steps_=steps, plan=plans)
@settings(max_examples=100)
def test_quantity_and_cash_are_conserved(steps_: list[Step], plan: FaultPlan) -> None:
    world = play(steps_, plan)
    said = world.said()
    cursors = [report.cursor for report in said]
    assert cursors == sorted(set(cursors))
    once = {report.exec_id: report for report in said}
    held: defaultdict[str, D] = defaultdict(D)
    filled: defaultdict[str, D] = defaultdict(D)
    for report in once.values():
        if report.exec_type in MOVES:
            held[report.symbol] += MOVES[report.exec_type] * report.side.sign * report.last_qty
            filled[report.order_id] += MOVES[report.exec_type] * report.last_qty
            assert report.last_qty > 0
            assert report.last_px > 0
    assert {p.symbol: p.qty for p in world.exchange.positions()} == {s: qty for s, qty in held.items() if qty}
    account = world.exchange.account()
    lines = world.exchange.statement()
    assert len({line.ref for line in lines}) == len(lines)
    assert account.cash == D(CASH) + sum((line.cash_delta for line in lines), D(0))
    assert account.equity == account.cash + sum(
        (p.market_value if p.symbol == "AAA" else p.unrealized_pnl for p in world.exchange.positions()), D(0)
    )
    for order in world.exchange.open_orders():
        assert order.leaves_qty == order.order_qty - order.cum_qty > 0
        assert order.ord_status in (OrdStatus.ACCEPTED, OrdStatus.PARTIALLY_FILLED)
    for name in {report.cl_ord_id for report in said if report.exec_type is not ExecType.REPLACE_REJECTED}:
        found, _ = world.exchange.order(name)
        assert found is not None
        assert found.cum_qty == filled[found.order_id] >= 0


@given(steps_=steps, plan=plans, cuts=st.frozensets(st.integers(0, 40), min_size=1, max_size=12))
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_the_same_goes_wrong_over_restarts(steps_: list[Step], plan: FaultPlan, cuts: frozenset[int]) -> None:
    with TemporaryDirectory() as folder:
        whole = play(steps_, plan)
        cut = play(steps_, plan, Path(folder) / "venue.db", cuts)
        assert cut.said() == whole.said()
        assert cut.exchange.account() == whole.exchange.account()
        assert list(cut.exchange.open_orders()) == list(whole.exchange.open_orders())
        assert cut.exchange.statement() == whole.exchange.statement()
        cut.exchange.close()
