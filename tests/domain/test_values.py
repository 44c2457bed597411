"""Numbers, instruments, ids, limits, checks and the chain: small values that everything rests on."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.domain import ids
from qmworkbench.domain.chain import GENESIS, ChainBroken, Record, link, proven, verify
from qmworkbench.domain.checks import Check, CheckStatus, Verdict, verdict_of
from qmworkbench.domain.instruments import AssetClass, forex_pair, instrument_for, us_equity
from qmworkbench.domain.limits import Limits, LimitsInvalid
from qmworkbench.domain.numbers import ceil_to, cents, decimal_of, floor_to, nearest_to, toward_zero
from qmworkbench.domain.sessions import TradingState, worse

prices = st.decimals(min_value="0.0001", max_value="99999", places=4)
steps = st.sampled_from([Decimal("0.0001"), Decimal("0.01"), Decimal("0.25"), Decimal(1)])


@given(prices, steps)
def test_rounding_lands_on_the_grid_on_its_own_side(px: Decimal, step: Decimal) -> None:
    down, up, near = floor_to(px, step), ceil_to(px, step), nearest_to(px, step)
    assert down <= px <= up
    assert up - down in (0, step)
    assert all(value % step == 0 for value in (down, up, near))
    assert abs(near - px) * 2 <= step
    assert toward_zero(-px, step) == -down


@given(st.integers(1, 10**9), st.integers(0, 6))
def test_a_float_becomes_the_decimal_it_was_meant_to_be(units: int, places: int) -> None:
    meant = Decimal(units).scaleb(-places)
    assert decimal_of(float(meant)) == meant


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_a_number_never_becomes_a_price(bad: float) -> None:
    with pytest.raises(ValueError, match="is not a price"):
        decimal_of(bad)


def test_cents_round_half_to_even() -> None:
    assert cents(Decimal("0.125")) == Decimal("0.12")
    assert cents(Decimal("0.135")) == Decimal("0.14")


def test_us_shares_quote_in_cents_and_below_a_dollar_in_hundredths_of_a_cent() -> None:
    share = us_equity("AAA")
    assert share.tick_at(Decimal("1.00")) == Decimal("0.01")
    assert share.tick_at(Decimal("0.9999")) == Decimal("0.0001")
    assert share.lot_down(Decimal("12.7")) == 12
    assert share.lot_down(Decimal("0.7")) == 0


def test_pairs_are_recognised_and_quoted_to_a_tenth_of_a_pip() -> None:
    assert instrument_for("USDJPY") == forex_pair("USDJPY")
    assert instrument_for("USDJPY").tick_size == Decimal("0.001")
    assert instrument_for("EURGBP").currency == "GBP"
    assert instrument_for("GOOGL").asset_class is AssetClass.EQUITY
    assert instrument_for("BRK.B").asset_class is AssetClass.EQUITY


def test_the_same_decision_always_has_the_same_id() -> None:
    given_ = {
        "book": "b",
        "session": "b-2018-03-02",
        "strategy_id": "s",
        "symbol": "BRK.B",
        "signal_id": "x",
        "leg": "entry",
    }
    first = ids.cl_ord_id(**given_, attempt=1)
    assert first == ids.cl_ord_id(**given_, attempt=1)
    assert first != ids.cl_ord_id(**given_, attempt=2)
    assert len(first) <= 48
    assert first.startswith("qm-180302-BRKB-entry-")


@given(st.lists(st.text(max_size=5), min_size=2, max_size=2), st.lists(st.text(max_size=5), min_size=2, max_size=2))
def test_ids_do_not_confuse_where_one_part_ends(a: list[str], b: list[str]) -> None:
    if a != b and "\x1f" not in "".join(a + b):
        assert ids.content_id(*a) != ids.content_id(*b)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"max_daily_loss": Decimal(0)}, "max_daily_loss = 0"),
        ({"max_daily_loss": Decimal(-5)}, "max_daily_loss = -5"),
        ({"max_position_qty": Decimal(0)}, "max_position_qty = 0"),
        ({"max_trades_per_day": -1}, "max_trades_per_day = -1"),
        ({"price_collar_bps": 0}, "price_collar_bps = 0"),
        ({"entry_cutoff_min": -1}, "entry_cutoff_min = -1"),
        ({"max_strategy_equity_pct": Decimal(101)}, "max_strategy_equity_pct = 101"),
        ({"max_position_equity_pct": Decimal(70)}, "max_position_equity_pct = 70"),
    ],
)
def test_limits_that_make_no_sense_are_refused_by_name(change: dict[str, object], names: str) -> None:
    with pytest.raises(LimitsInvalid, match=names):
        Limits(**change)  # type: ignore[arg-type]


def test_every_limit_is_in_the_hash() -> None:
    hashes = {
        Limits().content_hash,
        Limits(max_trades_per_day=29).content_hash,
        Limits(blocked_symbols=("X",)).content_hash,
    }
    assert len(hashes) == 3


def check(status: CheckStatus) -> Check:
    return Check(check_id="x", section="§5", title="t", status=status, looked_at="", value="", expectation="")


@given(st.lists(st.sampled_from(CheckStatus), max_size=8))
def test_a_failure_is_never_outvoted_and_nothing_seen_is_not_green(statuses: list[CheckStatus]) -> None:
    verdict = verdict_of(check(s) for s in statuses)
    if not statuses:
        assert verdict is Verdict.INCOMPLETE
    else:
        assert (verdict is Verdict.NO_GO) == (CheckStatus.FAIL in statuses)
    assert verdict.exit_code == {"GO": 0, "NO-GO": 1, "INCOMPLETE": 2}[verdict]


def test_the_worse_state_counts_and_is_never_a_bare_halted() -> None:
    assert worse(TradingState.ACTIVE, TradingState.REDUCING) is TradingState.REDUCING
    assert worse(TradingState.HALTED, TradingState.REDUCING) is TradingState.HALTED
    assert all(state.shown.strip() != "HALTED" for state in TradingState)


def chain(payloads: list[bytes]) -> list[Record]:
    records, head = [], GENESIS
    for seq, payload in enumerate(payloads, start=1):
        digest = link(head, seq, payload)
        records.append(Record(seq, "t", payload, head, digest))
        head = digest
    return records


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=12), st.data())
def test_any_change_to_a_chain_is_found(payloads: list[bytes], data: st.DataObject) -> None:
    records = chain(payloads)
    assert verify(records) == (len(records), records[-1].hash)
    spot = data.draw(st.integers(0, len(records) - 1))
    old = records[spot]
    changed = Record(old.seq, old.type, old.payload + b"!", old.prev_hash, old.hash)
    with pytest.raises(ChainBroken, match=f"record {old.seq}"):
        verify([*records[:spot], changed, *records[spot + 1 :]])
    if spot < len(records) - 1:
        with pytest.raises(ChainBroken, match="missing"):
            verify([*records[:spot], *records[spot + 1 :]])


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 600])
def test_what_is_proven_is_handed_on_whole_and_in_order(count: int) -> None:
    records = chain([b"x"] * count)
    assert [record for found in proven(records) for record in found] == records
    later = proven(records[300:], prev_seq=300, prev_hash=records[299].hash) if count > 300 else iter(())
    assert [record for found in later for record in found] == records[300:]


@pytest.mark.parametrize("spot", [0, 1, 255, 256, 511, 599])
def test_nothing_is_handed_on_together_with_a_record_that_does_not_follow(spot: int) -> None:
    records = chain([b"x"] * 600)
    for field, value in (("payload", b"y"), ("hash", GENESIS), ("prev_hash", "1" * 64), ("seq", spot + 3)):
        bad = msgspec.structs.replace(records[spot], **{field: value})
        handed_on: list[Record] = []
        with pytest.raises(ChainBroken, match=f"record {bad.seq} "):
            handed_on.extend(r for found in proven([*records[:spot], bad, *records[spot + 1 :]]) for r in found)
        assert handed_on == records[: len(handed_on)]
        assert len(handed_on) <= spot
