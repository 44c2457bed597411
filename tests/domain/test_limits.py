"""Limits: refused where they make no sense, doubted where they are hardly meant, one hash for equal limits (§5)."""

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from qmworkbench.domain.limits import Limits, LimitsInvalid


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("max_daily_loss", D(0), "give an amount above zero"),
        ("max_daily_loss", D("-0.01"), "give an amount above zero"),
        ("max_daily_loss", D("NaN"), "give an amount above zero"),
        ("max_daily_loss", D("Infinity"), "give an amount above zero"),
        ("max_position_notional", D(0), "give an amount above zero"),
        ("max_position_qty", D(0), "give a quantity above zero"),
        ("max_daily_loss_pct", D(0), "give a share above zero"),
        ("max_daily_loss_pct", D("100.01"), "give at most 100 percent"),
        ("max_position_equity_pct", D(0), "give a share above zero"),
        ("max_symbol_equity_pct", D(0), "give a share above zero"),
        ("max_symbol_equity_pct", D("100.01"), "give at most 100 percent"),
        ("max_strategy_equity_pct", D("100.01"), "give at most 100 percent"),
        ("max_strategy_equity_pct", D(0), "give a share above zero"),
        ("max_position_equity_pct", D("100.01"), "give at most 100 percent"),
        ("max_position_equity_pct", D("60.01"), "a single position cannot exceed what a strategy may hold (60 %)"),
        ("max_trades_per_day", -1, "give 0 (no entries) or more"),
        ("max_open_positions", -1, "give 0 (no entries) or more"),
        ("max_submits_per_minute", -1, "give 0 (no entries) or more"),
        ("price_collar_bps", 0, "give a whole number above zero"),
        ("stale_quote_s", 0, "give a whole number above zero"),
        ("max_clock_skew_ms", 0, "give a whole number above zero"),
        ("max_rejections_per_strategy", 0, "give a whole number above zero"),
        ("version", 0, "give a whole number above zero"),
        ("entry_delay_min", -1, "give 0 or more minutes"),
        ("entry_cutoff_min", -1, "give 0 or more minutes"),
        ("blocked_symbols", ("aapl",), "'aapl' matches nothing, write symbols in capital letters"),
        ("blocked_symbols", ("",), "'' matches nothing, write symbols in capital letters"),
        ("blocked_symbols", (" AAPL",), "' AAPL' matches nothing, write symbols in capital letters"),
        ("blocked_symbols", ("AAPL", "AAPL"), "name each symbol once"),
        ("approved_by", "ann", "a signature is a name and the hash that was signed (approved_hash = '')"),
    ],
)
def test_a_limit_without_sense_is_refused_by_name_value_and_remedy(name: str, value: Any, remedy: str) -> None:
    with pytest.raises(LimitsInvalid) as refused:
        Limits(**{name: value})
    assert str(refused.value) == f"limits.{name} = {value} makes no sense: {remedy}"


def test_a_hash_without_a_name_is_no_signature() -> None:
    with pytest.raises(LimitsInvalid, match="approved_by"):
        Limits(approved_hash="ab")


@pytest.mark.parametrize(
    "limits",
    [
        {"max_daily_loss": D("0.01")},
        {"max_daily_loss_pct": D("0.01")},
        {"max_daily_loss_pct": D(100)},
        {"max_position_qty": None},
        {"max_position_qty": D("0.001")},
        {"max_symbol_equity_pct": D(100)},
        {"max_position_equity_pct": D(60)},
        {"max_strategy_equity_pct": D(15)},
        {"max_strategy_equity_pct": D(100), "max_position_equity_pct": D(100)},
        {"max_trades_per_day": 0, "max_open_positions": 0, "max_submits_per_minute": 0},
        {"price_collar_bps": 1, "stale_quote_s": 1, "max_clock_skew_ms": 1, "max_rejections_per_strategy": 1},
        {"entry_delay_min": 0, "entry_cutoff_min": 0, "version": 1},
        {"blocked_symbols": ("AAPL", "BRK.B")},
    ],
)
def test_limits_may_stand_at_their_own_ends(limits: dict[str, Any]) -> None:
    assert Limits(**limits)


def test_equal_limits_have_one_hash_and_any_other_limit_another() -> None:
    same = Limits(max_daily_loss=D("1000.00"), max_position_equity_pct=D("15.0"))
    assert same.content_hash == Limits().content_hash
    assert len(Limits().content_hash) == 16
    hashes = {Limits().content_hash}
    other: dict[str, Any] = {"max_daily_loss_pct": D(1), "max_position_qty": None, "max_symbol_equity_pct": D(20)}
    other |= {"blocked_symbols": ("AAPL",), "max_position_equity_pct": D(14), "max_strategy_equity_pct": D(61)}
    names = [n for n in Limits.__struct_fields__ if n not in ("owner", "approved_by", "approved_hash")]
    for name in names:
        value = other.get(name, getattr(Limits(), name))
        hashes.add(Limits(**{name: value if name in other else value + 1}).content_hash)
    assert len(hashes) == len(names) + 1


def test_a_signature_is_of_what_was_signed_and_changes_none_of_it() -> None:
    assert Limits().is_approved is None
    signed = Limits(approved_by="ann", approved_hash=Limits().content_hash, owner="desk")
    assert signed.content_hash == Limits().content_hash
    assert signed.is_approved is True
    edited = msgspec.structs.replace(signed, max_trades_per_day=31)
    assert edited.is_approved is False
    assert msgspec.structs.replace(signed, version=2).is_approved is False
    either = msgspec.structs.replace(edited, approved_hash=f"{edited.content_hash}, {signed.content_hash}")
    assert either.is_approved is True
    assert msgspec.structs.replace(either, max_trades_per_day=30).is_approved is True
    assert msgspec.structs.replace(either, max_trades_per_day=29).is_approved is False


def test_limits_keep_what_they_are_through_the_journal() -> None:
    limits = Limits(max_daily_loss_pct=D("1.5"), blocked_symbols=("A",), version=4, owner="desk")
    assert limits.content_hash
    again = msgspec.json.decode(msgspec.json.encode(limits), type=Limits)
    assert again == limits
    assert again.content_hash == limits.content_hash
    assert msgspec.json.decode(b"{}", type=Limits) == Limits(), "a record from before a limit has its default"


def test_the_texts_of_limits_are_their_values() -> None:
    texts = Limits(max_position_qty=None).texts
    assert texts["max_position_qty"] == "none"
    assert texts["max_daily_loss"] == "1000"
    assert texts["max_submits_per_minute"] == "60"


@pytest.mark.parametrize(
    ("limits", "equity", "most"),
    [({}, 100_000, 1000), ({"max_daily_loss_pct": D("0.5")}, 100_000, 500), ({"max_daily_loss_pct": D(2)}, 1, "0.02")],
)
def test_the_stricter_of_amount_and_share_is_the_days_loss(limits: dict[str, Any], equity: int, most: Any) -> None:
    assert Limits(**limits).max_loss(D(equity)) == D(most)


def test_the_usual_limits_in_the_usual_account_raise_no_doubt() -> None:
    assert Limits().doubts(D(100_000)) == []
    assert Limits().doubts(None) == []


@pytest.mark.parametrize(
    ("limits", "equity", "doubted"),
    [
        ({"max_position_notional": D(15_000)}, 100_000, []),
        (
            {"max_position_notional": D("15000.01")},
            100_000,
            [
                "limits.max_position_notional = 15000.01: never binds: 15 % of an equity of 100,000.00 is 15,000.00; "
                "lower it, or raise max_position_equity_pct"
            ],
        ),
        ({"max_position_notional": D(15_001)}, None, []),
        ({"max_position_notional": D(15_001)}, 0, []),
        ({"max_daily_loss": D(99_999)}, 100_000, []),
        (
            {"max_daily_loss": D(100_000)},
            100_000,
            [
                "limits.max_daily_loss = 100000: could never stop anything: equity is 100,000.00; "
                "give an amount well below equity"
            ],
        ),
        ({"max_daily_loss_pct": D(1)}, 100_000, []),
        (
            {"max_daily_loss_pct": D("0.5")},
            100_000,
            [
                "limits.max_daily_loss = 1000: never binds: 0.5 % of 100,000.00 is 500.00; "
                "lower it, or raise max_daily_loss_pct"
            ],
        ),
        ({"max_symbol_equity_pct": D(15)}, 100_000, []),
        (
            {"max_symbol_equity_pct": D(14)},
            None,
            [
                "limits.max_position_equity_pct = 15: max_symbol_equity_pct = 14 always binds first; "
                "lower it, or raise the other"
            ],
        ),
    ],
)
def test_what_is_allowed_and_probably_not_meant_is_said(
    limits: dict[str, Any], equity: int | None, doubted: list[str]
) -> None:
    found = Limits(**limits).doubts(None if equity is None else D(equity))
    assert [str(doubt) for doubt in found] == doubted


def test_the_usual_limits_are_these() -> None:
    """A change of one is told in the changelog, with what to do about it."""
    assert Limits().texts == {
        "max_daily_loss": "1000",
        "max_daily_loss_pct": "none",
        "max_position_qty": "5000",
        "max_position_notional": "10000",
        "max_position_equity_pct": "15",
        "max_symbol_equity_pct": "none",
        "max_trades_per_day": "30",
        "max_open_positions": "10",
        "max_strategy_equity_pct": "60",
        "price_collar_bps": "2000",
        "stale_quote_s": "180",
        "max_clock_skew_ms": "500",
        "max_submits_per_minute": "60",
        "max_rejections_per_strategy": "3",
        "entry_delay_min": "0",
        "entry_cutoff_min": "15",
        "blocked_symbols": "()",
        "version": "1",
        "owner": "",
        "approved_by": "",
        "approved_hash": "",
    }


def test_a_small_account_is_one() -> None:
    assert [doubt.name for doubt in Limits().doubts(D(1))] == ["max_position_notional", "max_daily_loss"]
