"""What a series gives away: each wrinkle found and named, on made bars and on every file of recorded ones (§5)."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from qmworkbench.market.bars import inspect
from qmworkbench.market.calendars import SessionCalendar
from qmworkbench.market.findings import Finding


def daily(closes: dict[str, list[float]], **changes: float) -> pl.DataFrame:
    """Daily bars of New York from 2024-01-02 on, opening where the symbol's list says and closing there."""
    calendar = SessionCalendar("XNYS")
    days = calendar.sessions_between(datetime(2024, 1, 2, tzinfo=UTC).date(), datetime(2024, 12, 30, tzinfo=UTC).date())
    rows = [
        {
            "symbol": symbol,
            "ts": calendar.session_window(day).opens_at,
            "open": px,
            "high": px,
            "low": px,
            "close": px,
            "volume": changes.get("volume", 1000.0),
        }
        for symbol, path in closes.items()
        for day, px in zip(days, path, strict=False)
    ]
    return pl.DataFrame(rows, schema_overrides={"ts": pl.Datetime("us", "UTC")})


def findings(bars: pl.DataFrame, tmp_path: Path) -> dict[str, Finding]:
    file = tmp_path / "bars.parquet"
    bars.write_parquet(file)
    found = inspect(file)
    assert not found.refused, found.findings
    return {finding.code: finding for finding in found.findings}


def test_a_split_is_told_from_news(tmp_path: Path) -> None:
    found = findings(daily({"SPL": [100.0, 100.0, 50.2, 50.0], "NEW": [100.0, 100.0, 54.0, 54.0]}), tmp_path)
    assert "SPL ×0.502 on 2024-01-04 (looks like 2 for 1)" in found["split_suspect"].sample
    assert found["price_jump"].sample == ("NEW ×0.54 on 2024-01-04",)


@pytest.mark.parametrize(
    ("ratio", "name"), [(1 / 7, "7 for 1"), (2 / 3, "3 for 2"), (10.0, "1 for 10"), (4.04, "1 for 4")]
)
def test_splits_of_every_kind_have_their_name(ratio: float, name: str, tmp_path: Path) -> None:
    found = findings(daily({"SPL": [70.0, 70.0, 70.0 * ratio]}), tmp_path)
    assert found["split_suspect"].sample[0].endswith(f"(looks like {name})")


def test_prices_that_leave_and_come_back_belong_to_something_else(tmp_path: Path) -> None:
    found = findings(daily({"NEE": [120.0] * 3 + [25.0] * 5 + [121.0] * 3}), tmp_path)
    assert found["foreign_prices"].sample == ("NEE ×0.208 from 2024-01-05 until 2024-01-12",)
    assert "split_suspect" not in found


def test_a_quiet_series_gives_nothing_away(tmp_path: Path) -> None:
    found = findings(daily({"AAA": [100.0, 101.0, 99.0, 100.0, 140.0]}), tmp_path)
    assert not {"split_suspect", "price_jump", "foreign_prices", "price_shock", "no_volume"} & set(found)


def test_missing_volume_and_quotes_are_named(tmp_path: Path) -> None:
    found = findings(daily({"AAA": [100.0, 101.0, 99.0]}, volume=0.0), tmp_path)
    assert {"no_volume", "no_quotes"} <= set(found)
    quoted = daily({"AAA": [100.0, 101.0, 99.0]}).with_columns(spread=pl.lit(0.01))
    assert "no_quotes" not in findings(quoted, tmp_path)


def minutes(closes: list[float], *, day: int = 5, early: bool = False) -> pl.DataFrame:
    """Minutes of one symbol from the open of 2024-03-0`day`, and with `early` one bar in the minute before."""
    opened = datetime(2024, 3, day, 14, 30, tzinfo=UTC)
    first = -1 if early else 0
    path = [closes[0], *closes] if early else closes
    rows = [
        {
            "symbol": "AAA",
            "ts": opened + timedelta(minutes=first + k),
            "open": px,
            "high": px,
            "low": px,
            "close": px,
            "volume": 10.0,
        }
        for k, px in enumerate(path)
    ]
    return pl.DataFrame(rows, schema_overrides={"ts": pl.Datetime("us", "UTC")})


def test_a_shock_within_a_session_is_named(tmp_path: Path) -> None:
    calm = [100.0 + 0.01 * (k % 2) for k in range(60)]
    found = findings(minutes([*calm, 90.0, *[90.0 + 0.01 * (k % 2) for k in range(60)]]), tmp_path)
    assert found["price_shock"].sample == ("AAA -10.0% at 2024-03-05 15:30 UTC",)


def test_the_opening_cross_is_told_from_extended_hours(tmp_path: Path) -> None:
    cross = pl.concat([minutes([100.0] * 60, day=day, early=True) for day in (4, 5, 6)])
    assert findings(cross, tmp_path)["opening_cross"].rows == 3
    ahead = cross.head(10).with_columns(ts=pl.col("ts") - timedelta(hours=1))
    assert "opening_cross" not in findings(pl.concat([ahead, cross]), tmp_path)


def test_how_much_did_not_trade_is_told(tmp_path: Path) -> None:
    found = findings(minutes([100.0] * 39), tmp_path)
    assert found["missing_bars"].rows == 390 - 39
    assert "AAA 10%" in found["missing_bars"].sample


# --- the recorded files: every wrinkle that their own page tells of ---------------------------------------------


WRINKLES = [
    ("us_equity_minute_2018", "opening_cross", "opening cross"),
    ("us_equity_minute_2018", "missing_bars", "no trade"),
    ("us_equity_minute_2018", "symbol_ends", "CPN after 2018-03-08, JUNO after 2018-03-05"),
    ("us_equity_daily_pystock_2015_2017", "split_suspect", "CHD ×0.501 on 2016-09-02"),
    ("us_equity_daily_pystock_2015_2017", "split_suspect", "NKE ×0.502 on 2015-12-24"),
    ("us_equity_daily_pystock_2015_2017", "split_suspect", "CMCSA ×0.505 on 2017-02-21"),
    ("us_equity_daily_pystock_2015_2017", "price_jump", "EBAY ×0.406 on 2015-07-20"),
    ("us_equity_daily_pystock_2015_2017", "price_jump", "HPQ ×0.463 on 2015-11-02"),
    ("us_equity_daily_pystock_2015_2017", "foreign_prices", "NEE ×0.203 from 2016-06-09 until 2016-11-21"),
    ("us_equity_daily_pystock_2015_2017", "foreign_prices", "NEE ×0.2 from 2016-11-28 until 2017-01-30"),
    ("forex_minute_fxcm_gbpusd_201202", "crossed_quote", "347 rows"),
    ("forex_hourly_9pairs_2015_2018", "price_shock", "USDCHF -16.6% at 2015-01-15 09:00"),
    ("forex_minute_eurusd_histdata_2017_jan_feb", "no_volume", "every volume is zero"),
    ("forex_minute_eurusd_histdata_2017_jan_feb", "no_quotes", "no quotes"),
    ("us_equity_daily_lean_raw", "split_suspect", "AAPL ×0.144 on 2014-06-09 (looks like 7 for 1)"),
]


@pytest.fixture(scope="module")
def looked_at(shared_data: Path) -> dict[str, dict[str, Finding]]:
    """Each recorded file's findings by code."""
    told: dict[str, dict[str, Finding]] = {}
    for name in sorted({name for name, _, _ in WRINKLES}):
        file = shared_data / f"{name}.parquet"
        if file.is_file():
            told[name] = {finding.code: finding for finding in inspect(file).findings}
    return told


@pytest.mark.parametrize(("name", "code", "said"), WRINKLES)
def test_every_known_wrinkle_is_found_and_named(
    looked_at: dict[str, dict[str, Finding]], name: str, code: str, said: str
) -> None:
    if name not in looked_at:
        pytest.skip(f"{name} is not among the shared market data")
    finding = looked_at[name][code]
    assert said in f"{finding} {' '.join(finding.sample)}"
