"""A result cut by month, hour, weekday, symbol, exit and regime adds up to the whole."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from qmworkbench.research.backtests import result_tables as tables

ROWS = [
    ("A", datetime(2018, 3, 5, 14, 31, tzinfo=UTC), 10.0, "exit"),
    ("A", datetime(2018, 3, 5, 20, 15, tzinfo=UTC), -4.0, "stop"),
    ("B", datetime(2018, 3, 13, 13, 59, tzinfo=UTC), -1.0, "stop"),
    ("B", datetime(2018, 3, 13, 14, 1, tzinfo=UTC), 6.0, None),
]
TRADES = pl.DataFrame(
    [
        {
            "symbol": s,
            "entry_ts": at,
            "pnl": pnl,
            "return_pct": pnl / 10,
            "fees": 0.5,
            "reason": why,
            "open": why is None,
        }
        for s, at, pnl, why in ROWS
    ],
    schema_overrides={"entry_ts": pl.Datetime("us", "UTC")},
)


def test_hours_are_the_exchange_s_through_a_change_of_clocks() -> None:
    told = tables.by_hour(TRADES, "America/New_York")
    # 14:31 UTC is 9:31 before the second Sunday of March, 13:59 UTC is 9:59 after it.
    assert told["hour"].to_list() == [9, 15]
    assert told["trades"].to_list() == [2, 1]
    assert told["pnl"].to_list() == [9.0, -4.0]
    assert told["profit_factor"].to_list() == [10.0, 0.0]


def test_weekdays() -> None:
    told = tables.by_weekday(TRADES, "America/New_York")
    assert told["name"].to_list() == ["Monday", "Tuesday"]
    assert told["win_rate"].to_list() == [0.5, 0.0]
    assert told["profit_factor"].to_list() == [2.5, 0.0]


def test_every_symbol_has_a_row_and_open_trades_are_apart() -> None:
    told = tables.by_symbol(TRADES, ("A", "B", "C"))
    assert told.select("symbol", "trades", "open", "pnl").rows() == [
        ("A", 2, 0, 6.0),
        ("B", 1, 1, -1.0),
        ("C", 0, 0, 0.0),
    ]
    assert told["win_rate"].to_list()[2] is None


def test_reasons() -> None:
    assert tables.by_reason(TRADES).select("reason", "trades").rows() == [("exit", 1), ("stop", 2)]


def test_months_compound() -> None:
    days = [date(2018, 1, 30), date(2018, 1, 31), date(2018, 2, 1)]
    sessions = pl.DataFrame({"session": days, "return": [0.1, 0.1, -0.5], "benchmark_return": [0.0, 0.2, 0.0]})
    told = tables.by_month(sessions)
    assert told["return"].to_list() == pytest.approx([0.21, -0.5])
    assert told["benchmark"].to_list() == pytest.approx([0.2, 0.0])


def test_regimes_share_the_sessions_and_the_trades() -> None:
    days = [date(2018, 3, 5) + timedelta(days=k) for k in range(10)]
    sessions = pl.DataFrame(
        {
            "session": days,
            "return": [0.01, -0.01] * 5,
            "trend": ["rising"] * 4 + ["falling"] * 6,
            "volatility": ["calm"] * 5 + ["lively"] * 5,
        }
    )
    trades = TRADES.with_columns(session=pl.col("entry_ts").dt.date())
    told = tables.by_regime(sessions, trades)
    for split in ("trend", "volatility", "both"):
        part = told.filter(pl.col("split") == split)
        assert part["sessions"].sum() == 10
        assert part["trades"].sum() == 3
        assert part["pnl"].sum() == 5.0
    assert told.filter(pl.col("regime") == "rising, calm")["pnl"].item() == 6.0


def test_without_a_trade_every_table_is_empty_and_whole() -> None:
    none = TRADES.clear()
    assert tables.by_hour(none, "UTC").is_empty()
    assert tables.by_weekday(none, "UTC").is_empty()
    assert tables.by_reason(none).is_empty()
    assert tables.by_symbol(none, ("A",))["trades"].to_list() == [0]
