"""How an instance's orders are made, as configured: read, refused with value and remedy, and carried into the run."""

from datetime import date
from pathlib import Path

import pytest

from qmworkbench.domain.instruments import AssetClass
from qmworkbench.domain.orders import OrderStyle, OrdType, TimeInForce
from qmworkbench.service import config as configuration
from qmworkbench.service.config import Config
from qmworkbench.service.config_problems import ConfigRefused
from qmworkbench.service.runs import schedule

INSTANCE = '[[strategies]]\nid = "orb"\nstrategy = "opening-range"\n'


def loaded(home: Path, text: str) -> Config:
    (home / "qm.toml").write_text(text, encoding="utf-8")
    return configuration.load(cwd=home, environ={})


def style(config: Config) -> OrderStyle:
    (run,) = schedule(config, AssetClass.EQUITY, ("AAA",), date(2026, 3, 2)).runs
    return run.order_style


def test_an_instance_that_says_nothing_orders_at_the_market(tmp_path: Path) -> None:
    assert style(loaded(tmp_path, INSTANCE)) == OrderStyle()


def test_what_is_configured_is_what_the_run_has(tmp_path: Path) -> None:
    orders = (
        'orders = { entry_type = "limit", entry_offset_bps = 5, entry_time_in_force = "day", entry_timeout_s = 120, '
        'exit_type = "limit", exit_offset_bps = 2, exit_timeout_s = 30 }'
    )
    assert style(loaded(tmp_path, INSTANCE + orders)) == OrderStyle(
        entry_type=OrdType.LIMIT,
        entry_offset_bps=5,
        entry_time_in_force=TimeInForce.DAY,
        entry_timeout_s=120,
        exit_type=OrdType.LIMIT,
        exit_offset_bps=2,
        exit_timeout_s=30,
    )


@pytest.mark.parametrize(
    ("orders", "key", "words"),
    [
        ('{ entry_type = "limmit" }', "orders.entry_type", "market"),
        ("{ entry_offset_bps = 5 }", "orders.entry_offset_bps", "market entry"),
        ('{ exit_type = "limit" }', "orders.exit_timeout_s", "for ever"),
        ('{ entry_type = "stop", entry_offset_bps = 5 }', "orders.entry_time_in_force", "day"),
        ("{ entry_timeout = 5 }", "orders.entry_timeout", "is not a setting"),
        ("{ entry_timeout_s = 0 }", "orders.entry_timeout_s", "seconds"),
    ],
)
def test_a_style_that_makes_no_sense_is_refused_by_key_with_its_remedy(
    tmp_path: Path, orders: str, key: str, words: str
) -> None:
    with pytest.raises(ConfigRefused) as refused:
        loaded(tmp_path, f"{INSTANCE}orders = {orders}\n")
    (problem,) = refused.value.problems
    assert problem.key == f"strategies[0].{key}"
    assert words in str(problem)
