"""The table of corporate actions: files of it, LEAN's own, and what it makes of a session's history (§5)."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.domain.corporate_actions import CorporateAction, exact_ratio, restated_px, restated_qty
from qmworkbench.domain.execution import ActivityKind
from qmworkbench.domain.instruments import us_equity
from qmworkbench.domain.orders import OrdType, Side
from qmworkbench.market.bars import load_session, session_from_frame
from qmworkbench.market.corporate_actions import ACTION_SCHEMA, actions_of, load_actions, table_of
from qmworkbench.market.corporate_actions_lean import from_lean
from qmworkbench.market.findings import DataRefused
from qmworkbench.market.period import BarPeriod
from qmworkbench.market.schema import open_frame

MONDAY = date(2018, 3, 5)
HEADER = "symbol,ex_date,kind,ratio,amount,new_symbol,source\n"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "actions.csv"
    path.write_text(HEADER + "\n".join(lines) + "\n")
    return path


class TestFiles:
    def test_a_csv_is_read_as_a_person_writes_it(self, tmp_path: Path) -> None:
        path = write(
            tmp_path,
            "AAPL,2014-06-09,split,7:1,,,issuer",
            "TWX,2009-03-30,split,1:3,,,",
            "AAPL,2014-05-08,dividend,,3.29,,",
            "GOOG,2014-04-03,symbol_change,,,GOOGL,",
            "JUNO,2018-03-06,delisting,,87,,",
            "CPN,2018-03-09,delisting,,,,",
        )
        actions = load_actions(path)
        assert [(a.symbol, a.kind) for a in actions] == [
            ("TWX", "split"),
            ("GOOG", "symbol_change"),
            ("AAPL", "dividend"),
            ("AAPL", "split"),
            ("JUNO", "delisting"),
            ("CPN", "delisting"),
        ]
        assert restated_qty(D(300), actions[0].ratio) == D(100)
        assert (actions[2].amount, actions[3].ratio, actions[3].source) == (D("3.29"), D(7), "issuer")
        assert (actions[4].amount, actions[5].amount) == (D(87), D(0))

    def test_a_parquet_of_the_schema_says_the_same(self, tmp_path: Path) -> None:
        path = write(
            tmp_path, "A,2014-06-09,split,1:3,,,x", "A,2014-06-09,dividend,,0.125,,", "A,2015-01-02,delisting,,,,"
        )
        actions = load_actions(path)
        table = table_of(actions)
        assert table.schema == ACTION_SCHEMA
        table.write_parquet(tmp_path / "actions.parquet")
        assert load_actions(tmp_path / "actions.parquet") == actions

    def test_columns_that_no_row_needs_may_be_missing(self) -> None:
        table = pl.DataFrame({"symbol": ["A"], "ex_date": [MONDAY], "kind": ["delisting"]})
        (action,) = actions_of(table)
        assert (action.symbol, action.kind) == ("A", ActivityKind.DELISTING)

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ("A B,2018-03-05,split,2,,,", "row 1, column symbol: 'A B' makes no sense. Remedy: Name the ticker"),
            (",2018-03-05,split,2,,,", "row 1, column symbol: None"),
            (
                "A,05.03.2018,split,2,,,",
                "row 1, column ex_date: '05.03.2018' makes no sense. Remedy: Write the date",
            ),
            ("A,2018-03-05,merger,2,,,", "row 1, column kind: 'merger' makes no sense. Remedy: Give one of delisting,"),
            ("A,2018-03-05,financing,,2,,", "row 1, column kind: 'financing'"),
            ("A,2018-03-05,split,,,,", "row 1, column ratio: None makes no sense. Remedy: A split has new shares"),
            ("A,2018-03-05,split,-2,,,", "row 1, column ratio: '-2'"),
            ("A,2018-03-05,split,two,,,", "row 1, column ratio: 'two' makes no sense. Remedy: Give new shares"),
            ("A,2018-03-05,split,2:0,,,", "row 1, column ratio: '2:0'"),
            ("A,2018-03-05,split,nan,,,", "row 1, column ratio: 'nan'"),
            ("A,2018-03-05,dividend,,,,", "row 1, column amount: None makes no sense. Remedy: A dividend has cash"),
            ("A,2018-03-05,dividend,,-1,,", "row 1, column amount: '-1'"),
            ("A,2018-03-05,dividend,,inf,,", "row 1, column amount: 'inf'"),
            ("A,2018-03-05,dividend,2,1,,", "row 1, column ratio: '2'"),
            (
                "A,2018-03-05,symbol_change,,,,",
                "row 1, column new_symbol: None makes no sense. Remedy: A symbol",
            ),
            ("A,2018-03-05,symbol_change,,,A,", "row 1, column new_symbol: 'A'"),
            ("A,2018-03-05,split,2,,B,", "row 1, column new_symbol: 'B'"),
        ],
    )
    def test_a_row_that_makes_no_sense_is_named(self, tmp_path: Path, line: str, says: str) -> None:
        with pytest.raises(DataRefused) as refused:
            load_actions(write(tmp_path, line))
        assert says in str(refused.value)
        assert "actions.csv" in str(refused.value)
        assert all(finding.remedy for finding in refused.value.findings)

    def test_every_fault_is_told_and_many_are_counted(self, tmp_path: Path) -> None:
        with pytest.raises(DataRefused) as refused:
            load_actions(write(tmp_path, *["A,2018-03-05,what,,,,"] * 9))
        assert "row 5," in str(refused.value)
        assert "4 more rows make no sense" in str(refused.value)

    def test_the_same_told_twice_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataRefused, match=r"row 2, column kind: 'split'.*Row 1 tells of it already"):
            load_actions(write(tmp_path, "A,2018-03-05,split,2,,,", "A,2018-03-05,split,3,,,"))

    def test_names_in_a_circle_are_refused_and_handed_on_are_not(self, tmp_path: Path) -> None:
        assert (
            len(load_actions(write(tmp_path, "A,2018-03-05,symbol_change,,,B,", "B,2018-03-05,symbol_change,,,C,")))
            == 2
        )
        with pytest.raises(DataRefused, match="go in a circle: A to B, B to A"):
            load_actions(write(tmp_path, "A,2018-03-05,symbol_change,,,B,", "B,2018-03-05,symbol_change,,,A,"))

    @pytest.mark.parametrize(
        ("name", "content", "says"),
        [
            ("actions.csv", None, "cannot be read"),
            ("actions.parquet", b"no parquet", "cannot be read"),
            ("actions.xlsx", b"", "does not end in .csv or .parquet"),
            ("actions.csv", b"symbol,when\nA,1\n", "has no column ex_date, kind; there are symbol, when"),
        ],
    )
    def test_a_file_that_is_none_is_refused(self, tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(DataRefused, match=says):
            load_actions(tmp_path / name)

    def test_an_action_made_by_hand_is_held_to_the_same(self) -> None:
        with pytest.raises(ValueError, match="split of A on 2018-03-05: ratio is 0; a split has new shares"):
            CorporateAction(symbol="A", ex_date=MONDAY, kind=ActivityKind.SPLIT)


class TestArithmetic:
    @given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 10**6))
    def test_a_ratio_survives_a_float(self, above: int, below: int, lots: int) -> None:
        ratio = exact_ratio(above / below)
        assert ratio == exact_ratio(f"{above}:{below}")
        assert restated_qty(D(lots * below), ratio) == lots * above

    @given(
        st.decimals("0.5", "9999", places=2),
        st.sampled_from(["2", "7", "1:8", "3:2", "1:3"]),
        st.sampled_from(Side),
        st.sampled_from([OrdType.STOP, OrdType.LIMIT]),
    )
    def test_a_restated_price_is_on_tick_and_never_nearer_to_the_market(
        self, px: D, ratio: str, side: Side, kind: OrdType
    ) -> None:
        share, told = us_equity("A"), exact_ratio(ratio)
        level = restated_px(px, told, side, kind, share)
        assert level > 0
        assert level % share.tick_at(level) == 0
        away = -1 if (side is Side.SELL) == (kind is OrdType.STOP) else 1
        assert (level - px / told) * away > D("-1e-20") or level == share.tick_at(level)
        assert abs(level - px / told) <= D("0.01")


@pytest.fixture(scope="module")
def table(shared_data: Path) -> pl.DataFrame:
    return from_lean(shared_data / "lean_factor_files", shared_data / "lean_map_files")


class TestLean:
    def test_apple_is_told_as_it_was(self, table: pl.DataFrame) -> None:
        mine = table.filter(pl.col("symbol") == "AAPL")
        splits = mine.filter(pl.col("kind") == "split").select("ex_date", "ratio").rows()
        assert splits == [
            (date(2000, 6, 21), 2.0),
            (date(2005, 2, 28), 2.0),
            (date(2014, 6, 9), 7.0),
            (date(2020, 8, 31), 4.0),
        ]
        paid = dict(mine.filter(pl.col("kind") == "dividend").select("ex_date", "amount").rows())
        assert [paid[day] for day in (date(2012, 8, 9), date(2014, 5, 8), date(2020, 11, 6))] == [2.65, 3.29, 0.205]

    def test_names_of_the_time_and_delistings(self, table: pl.DataFrame) -> None:
        renames = table.filter(pl.col("kind") == "symbol_change").select("symbol", "new_symbol", "ex_date").rows()
        assert ("GOOG", "GOOGL", date(2014, 4, 3)) in renames
        assert ("GOOCV", "GOOG", date(2014, 4, 3)) in renames
        assert ("QQQQ", "QQQ", date(2011, 3, 23)) in renames
        gone = table.filter(pl.col("kind") == "delisting").select("symbol", "ex_date").rows()
        assert ("TWX", date(2018, 6, 18)) in gone
        split = table.filter((pl.col("symbol") == "GOOG") & (pl.col("kind") == "split") & (pl.col("ratio") == 2.0))
        assert split["ex_date"].to_list() == [date(2014, 4, 3)]

    def test_all_of_it_is_a_sound_table(self, table: pl.DataFrame) -> None:
        assert table.schema == ACTION_SCHEMA
        assert table_of(actions_of(table)).equals(table)

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ("2014-06-06,1,1,600", "line 2: '2014-06-06' makes no sense. Remedy: Write the date as 20140606"),
            ("20140606,1,1", "line 2: '20140606,1,1' makes no sense. Remedy: Give the date and 3 more columns"),
            ("19970101,1,1,600", "line 2: '19970101' makes no sense. Remedy: Put the rows in order"),
            ("20140606,one,1,600", "'one' makes no sense. Remedy: Give factors and prices as numbers"),
            ("20140606,0,1,600", "makes no sense. Remedy: Factors lie above 0"),
        ],
    )
    def test_a_line_that_makes_no_sense_is_named(self, tmp_path: Path, line: str, says: str) -> None:
        for name in ("factors", "maps"):
            (tmp_path / name).mkdir()
        (tmp_path / "factors" / "x.csv").write_text(f"19980102,1,1,1\n{line}\n")
        with pytest.raises(DataRefused, match=r"x\.csv") as refused:
            from_lean(tmp_path / "factors", tmp_path / "maps")
        assert says in str(refused.value)

    def test_nothing_there_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(DataRefused, match="Name LEAN's factor_files and map_files"):
            from_lean(tmp_path, tmp_path)


def bars(rows: list[tuple[str, date, float]]) -> pl.DataFrame:
    """Half-hourly bars of whole sessions, all at one price, a thousand shares each."""
    out = []
    for symbol, day, px in rows:
        opened = datetime(day.year, day.month, day.day, 14, 30, tzinfo=UTC)
        for k in range(13):
            out.append((symbol, opened + timedelta(minutes=30 * k), px, px, px, px, 1000.0))
    frame = pl.DataFrame(out, schema=["symbol", "ts", "open", "high", "low", "close", "volume"], orient="row")
    return frame.with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC"))).sort("symbol", "ts")


WEDNESDAY, THURSDAY, FRIDAY = date(2018, 2, 28), date(2018, 3, 1), date(2018, 3, 2)


class TestHistory:
    def test_a_split_is_no_gap(self) -> None:
        frame = bars([("A", THURSDAY, 700.0), ("A", FRIDAY, 714.0), ("A", MONDAY, 102.0), ("B", MONDAY, 5.0)])
        split = CorporateAction(symbol="A", ex_date=MONDAY, kind=ActivityKind.SPLIT, ratio=D(7))
        raw = session_from_frame(frame, MONDAY, history_days=3)
        told = session_from_frame(frame, MONDAY, history_days=3, actions=[split])
        assert raw.reference.prev_close[0] == 714.0
        assert told.reference.prev_close[0] == 102.0
        assert told.warmup["close"].unique().sort().to_list() == [100.0, 102.0]
        assert told.warmup["volume"].unique().to_list() == [7000.0]
        assert told.reference.volume_profile is not None
        assert told.reference.volume_profile[-1, 0] == 91_000.0
        assert "price_jump" in {finding.code for finding in raw.findings}
        assert "price_jump" not in {finding.code for finding in told.findings}
        assert told.data_hash != raw.data_hash
        assert told.actions == (split,)

    def test_the_session_before_the_split_knows_nothing_of_it(self) -> None:
        frame = bars([("A", THURSDAY, 700.0), ("A", FRIDAY, 714.0), ("A", MONDAY, 102.0)])
        split = CorporateAction(symbol="A", ex_date=MONDAY, kind=ActivityKind.SPLIT, ratio=D(7))
        told = session_from_frame(frame, FRIDAY, history_days=3, actions=[split])
        assert told.reference.prev_close[0] == 700.0
        assert told.actions == ()
        assert told.data_hash == session_from_frame(frame, FRIDAY, history_days=3).data_hash

    def test_a_later_day_has_the_split_in_its_history(self) -> None:
        frame = bars([("A", WEDNESDAY, 700.0), ("A", THURSDAY, 101.0), ("A", FRIDAY, 102.0), ("A", MONDAY, 103.0)])
        split = CorporateAction(symbol="A", ex_date=THURSDAY, kind=ActivityKind.SPLIT, ratio=D(7))
        told = session_from_frame(frame, MONDAY, history_days=4, actions=[split])
        assert sorted(told.warmup["close"].unique().to_list()) == [100.0, 101.0, 102.0]

    def test_history_follows_a_name_and_leaves_the_one_who_had_it(self) -> None:
        frame = bars(
            [("A", FRIDAY, 10.0), ("B", FRIDAY, 20.0), ("C", FRIDAY, 30.0), ("B", MONDAY, 11.0), ("C", MONDAY, 21.0)]
        )
        handed_on = [
            CorporateAction(symbol="A", ex_date=MONDAY, kind=ActivityKind.SYMBOL_CHANGE, new_symbol="B"),
            CorporateAction(symbol="B", ex_date=MONDAY, kind=ActivityKind.SYMBOL_CHANGE, new_symbol="C"),
        ]
        told = session_from_frame(frame, MONDAY, history_days=1, actions=handed_on)
        assert told.universe.symbols == ("B", "C")
        assert told.reference.prev_close.tolist() == [10.0, 20.0]  # what C was on Friday is another company

    def test_a_name_without_a_bar_of_its_own_has_an_instrument(self) -> None:
        frame = bars([("A", FRIDAY, 10.0), ("B", FRIDAY, 20.0), ("B", MONDAY, 11.0)])
        rename = CorporateAction(symbol="A", ex_date=MONDAY, kind=ActivityKind.SYMBOL_CHANGE, new_symbol="NEW")
        told = session_from_frame(frame, MONDAY, history_days=1, actions=[rename])
        assert told.universe.symbols == ("B", "NEW")
        assert told.instruments["NEW"] == us_equity("NEW")

    def test_many_days_say_what_one_does(self) -> None:
        frame = bars([("A", WEDNESDAY, 700.0), ("A", THURSDAY, 101.0), ("A", FRIDAY, 102.0), ("A", MONDAY, 51.0)])
        splits = [
            CorporateAction(symbol="A", ex_date=THURSDAY, kind=ActivityKind.SPLIT, ratio=D(7)),
            CorporateAction(symbol="A", ex_date=MONDAY, kind=ActivityKind.SPLIT, ratio=D(2)),
        ]
        period = BarPeriod(open_frame(frame, "frame"), "frame", history_days=2, actions=splits)
        for day in (THURSDAY, FRIDAY, MONDAY):
            alone = session_from_frame(frame, day, history_days=2, actions=splits)
            assert period.session(day).data_hash == alone.data_hash
            assert np.array_equal(period.session(day).reference.prev_close, alone.reference.prev_close)

    def test_apple_in_june_2014_is_no_fall_of_86_percent(
        self, shared_data: Path, tmp_path: Path, lean_daily: Callable[[str], Path]
    ) -> None:
        actions = actions_of(from_lean(shared_data / "lean_factor_files", shared_data / "lean_map_files"))
        path, day = lean_daily("AAPL"), date(2014, 6, 9)
        raw = load_session(path, day, history_days=5)
        told = load_session(path, day, history_days=5, actions=actions)
        opened = told.regular_frames[0].open[0]
        assert opened / raw.reference.prev_close[0] - 1 == pytest.approx(-0.8564, abs=1e-4)
        assert opened / told.reference.prev_close[0] - 1 == pytest.approx(0.00506, abs=1e-4)
        assert told.warmup["close"].max() == pytest.approx(647.35 / 7)


@pytest.fixture
def lean_daily(shared_data: Path, tmp_path: Path) -> Callable[[str], Path]:
    """One symbol of the raw daily bars as a file of its own."""

    def write_one(symbol: str) -> Path:
        path = tmp_path / f"{symbol}.parquet"
        whole = pl.scan_parquet(shared_data / "us_equity_daily_lean_raw.parquet")
        whole.filter(pl.col("symbol") == symbol).collect(engine="in-memory").write_parquet(path)
        return path

    return write_one
