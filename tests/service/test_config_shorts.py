"""The settings of selling short: what they become at the venue, and what is refused."""

from decimal import Decimal
from pathlib import Path

import pytest

from qmworkbench.venue.borrowing import NO_BORROWING, REG_T_SHORTS, Locate
from tests.service.test_config import loaded, problems


def test_nothing_is_charged_and_all_is_allowed_unless_it_is_set(tmp_path: Path) -> None:
    model = loaded(tmp_path).venue_model()
    assert (model.borrowing, model.short_margin, model.shorting_enabled) == (NO_BORROWING, None, True)


def test_what_is_set_reaches_the_venue(tmp_path: Path) -> None:
    text = '[venue.shorts]\nenabled = false\nmargin = "reg_t"\nborrow_pct = 0.25\nborrow_pct_by_symbol = { GME = 30 }'
    model = loaded(tmp_path, text).venue_model()
    assert (model.short_margin, model.shorting_enabled) == (REG_T_SHORTS, False)
    assert model.borrowing.rate("GME") == 30
    assert model.borrowing.rate("AAPL") == Decimal("0.25")


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("borrow_pct = -1", "venue.shorts.borrow_pct"),
        ("borrow_pct_by_symbol = { GME = 2000 }", "venue.shorts.borrow_pct_by_symbol"),
        ('margin = "none"', "venue.shorts.margin"),
        ("rate = 1", "venue.shorts.rate"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(tmp_path: Path, line: str, key: str) -> None:
    told = problems(tmp_path, f"[venue.shorts]\n{line}\n")
    assert any(name.startswith(key) for name in told), told


def test_it_is_part_of_what_a_decision_depends_on(tmp_path: Path) -> None:
    plain = loaded(tmp_path).config_hash
    assert loaded(tmp_path, "venue.shorts.borrow_pct = 0").config_hash == plain
    assert loaded(tmp_path, "venue.shorts.borrow_pct = 1").config_hash != plain


def test_locates_and_the_day_traders_equity_reach_the_venue(tmp_path: Path) -> None:
    plain = loaded(tmp_path)
    assert (plain.venue_model().locates, plain.venue_model().day_trading_equity) == ({}, None)
    text = "[venue]\nday_trading_equity = 25000\n[venue.shorts.locates.GME]\navailable = 500\nfee_per_share = 0.02\n"
    config = loaded(tmp_path, text)
    model = config.venue_model()
    assert model.day_trading_equity == 25000
    assert model.locates == {"GME": Locate(available=Decimal(500), fee_per_share=Decimal("0.02"))}
    assert config.config_hash != plain.config_hash


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[venue]\nday_trading_equity = 0", "venue.day_trading_equity"),
        ("[venue.shorts.locates.GME]\navailable = -1", "venue.shorts.locates.GME.available"),
        ("[venue.shorts.locates.GME]\nfee_per_share = 1", "venue.shorts.locates.GME.available"),
        ("[venue.shorts.locates.GME]\navailable = 1\nfee_per_share = -1", "venue.shorts.locates.GME.fee_per_share"),
    ],
)
def test_locates_that_make_no_sense_are_refused_by_name(tmp_path: Path, text: str, key: str) -> None:
    assert any(name.startswith(key) for name in problems(tmp_path, f"{text}\n")), problems(tmp_path, f"{text}\n")
