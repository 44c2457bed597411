"""The exchange as a whole: its file, its locks, restarts, other people's edits, and the order of what it says."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from decimal import Decimal as D
from pathlib import Path

import pytest

from qmworkbench.domain.execution import ExecType
from qmworkbench.domain.instruments import us_equity
from qmworkbench.domain.orders import TimeInForce
from qmworkbench.venue.bars import BadBar
from qmworkbench.venue.costs import ideal
from qmworkbench.venue.exchange import Exchange
from qmworkbench.venue.records import VenueError
from tests.venue.worlds import OPEN, World, at, bracket, frame

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(path=tmp_path / "venue" / "venue.db", cash="100000")
    world.feed({"AAA": (100, 100, 100, 100), "BBB": (50, 50, 50, 50)})
    return world


def books(world: World) -> tuple[object, ...]:
    """Everything one can ask."""
    return world.said(), world.exchange.account(), list(world.exchange.positions()), list(world.exchange.open_orders())


class TestReports:
    def test_cursors_rise_by_one_and_ids_come_from_name_and_cursor(self, world: World) -> None:
        world.buy("in", legs=bracket("in", stop=95))
        world.bars((100, 100, 94, 95))
        said = world.said()
        assert [report.cursor for report in said] == list(range(1, len(said) + 1))
        assert [report.exec_id for report in said] == [f"sim-{report.cursor:08d}" for report in said]
        assert world.exchange.account().cursor == len(said)

    def test_only_what_is_new_is_read(self, world: World) -> None:
        world.buy("in")
        world.bars((100, 100, 100, 100))
        said = world.said()
        assert list(world.exchange.reports(said[0].cursor)) == said[1:]
        assert list(world.exchange.reports(said[-1].cursor)) == []

    def test_quantities_and_averages_add_up(self, world: World) -> None:
        world.buy("in")
        world.bars((100, 100, 100, 100))
        new, trade = world.said("in")
        assert (new.exec_type, new.cum_qty, new.avg_px, new.last_qty) == (ExecType.NEW, 0, 0, 0)
        assert (trade.exec_type, trade.cum_qty, trade.avg_px, trade.last_px) == (ExecType.TRADE, D(100), D(100), D(100))
        assert trade.transact_time == at(1)

    def test_an_order_unknown_is_absent_at_an_exact_cursor(self, world: World) -> None:
        world.buy("in")
        assert world.exchange.order("nobody") == (None, 1)


class TestPositionsAndMoney:
    def test_a_long_at_its_mark(self, world: World) -> None:
        world.buy("in", 100)
        world.bars((101, 103, 101, 103))
        (held,) = world.exchange.positions()
        assert (held.symbol, held.qty, held.avg_px, held.market_px) == ("AAA", D(100), D(101), D(103))
        assert (held.market_value, held.unrealized_pnl) == (D(10300), D(200))
        account = world.exchange.account()
        assert (account.cash, account.equity) == (D(89900), D(100200))
        assert (account.positions_value, account.unrealized_pnl) == (D(10300), D(200))
        assert account.as_of == at(1)

    def test_a_short_at_its_mark(self, world: World) -> None:
        world.sell("in", 100)
        world.bars((101, 103, 101, 103))
        account = world.exchange.account()
        assert (account.cash, account.equity) == (D(110100), D(99800))
        assert (account.positions_value, account.unrealized_pnl) == (D(-10300), D(-200))

    def test_the_mark_moves_without_trades(self, world: World) -> None:
        world.buy("in", 100)
        world.bars((100, 100, 100, 100), (100, 105, 100, 105))
        assert world.exchange.account().equity == D(100500)
        world.feed({"BBB": (50, 50, 50, 50)})
        assert world.exchange.account().equity == D(100500)

    def test_average_prices_of_two_fills(self, world: World) -> None:
        world.buy("one", 100)
        world.bars((100, 100, 100, 100))
        world.buy("two", 50)
        world.bars((103, 103, 103, 103))
        (held,) = world.exchange.positions()
        assert held.avg_px == D(101)


class TestItsFile:
    def test_it_forgets_nothing(self, world: World) -> None:
        world.buy("in", legs=bracket("in", trail=500, target=130))
        world.buy("rest", limit=20, symbol="BBB", tif=TimeInForce.GTC)
        world.bars((100, 110, 100, 108))
        before = books(world)
        world.restart()
        assert books(world) == before
        world.bars((108, 109, 104, 105))
        assert world.fills()[-1] == (2, "-100", "104.5")

    def test_a_trailing_stop_keeps_the_peak_of_a_quiet_bar(self, world: World) -> None:
        world.buy("in", legs=bracket("in", trail=500))
        world.bars((100, 101, 100, 101), (101, 120, 101, 119))
        world.restart()
        world.bars((119, 119, 114, 115))
        assert world.fills()[-1] == (3, "-100", "114")

    def test_what_was_answered_survives_a_kill(self, tmp_path: Path) -> None:
        """A process that is killed without warning has on disk what it said."""
        path = tmp_path / "venue.db"
        program = f"""
            import sys
            sys.path.insert(0, {str(ROOT)!r})
            from tests.venue.worlds import World, bracket
            world = World(path={str(path)!r}, cash="100000000")
            world.feed({{"AAA": (100, 100, 100, 100)}})
            for number in range(10_000):
                world.buy(f"n{{number}}", 1, legs=bracket(f"n{{number}}", stop=50))
                print(number, flush=True)
                if number % 10 == 9:
                    world.bars((100, 101, 99, 100))
                    print(f"qty {{world.qty()}}", flush=True)
        """
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        told: list[str] = []
        while len(told) < 57:
            told.append(process.stdout.readline().strip())
        time.sleep(0.003)
        os.kill(process.pid, signal.SIGKILL)
        told += [line.strip() for line in process.stdout.read().splitlines()]
        process.wait()
        process.stdout.close()
        with Exchange(path, [us_equity("AAA"), us_equity("BBB")], ideal(), "USD", D(1)) as again:
            orders = [int(line) for line in told if line.isdigit()]
            assert all(again.order(f"n{number}")[0] is not None for number in orders)
            quantities = [int(line.removeprefix("qty ")) for line in told if line.startswith("qty")]
            fills = [report for report in again.reports(0) if report.exec_type is ExecType.TRADE]
            assert len(fills) >= quantities[-1] >= 50
            assert sum(held.qty for held in again.positions()) == len(fills)

    def test_two_processes_cannot_play_one_venue(self, world: World) -> None:
        with pytest.raises(VenueError, match="in use: another process plays this venue"):
            Exchange(world.path, world.instruments, world.model, "USD", D(1))
        world.exchange.close()
        Exchange(world.path, world.instruments, world.model, "USD", D(1)).close()

    def test_closing_twice_is_harmless(self, world: World) -> None:
        world.exchange.close()
        world.exchange.close()

    def test_a_closed_venue_says_so(self, world: World) -> None:
        world.exchange.close()
        with pytest.raises(VenueError, match="cannot be read"):
            world.exchange.account()

    def test_what_binds_is_synced_and_a_bar_that_only_moves_marks_is_not(self, world: World) -> None:
        db = world.exchange._store._db

        def synced() -> bool:
            """Whether the last write waited for the disk."""
            return bool(db.execute("PRAGMA synchronous").fetchone()[0] == 2)

        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert synced()
        world.buy("in", legs=bracket("in", trail=500, stop=90))
        assert synced()
        world.bars((100, 100, 100, 100))
        assert synced()
        world.bars((100, 101, 100, 101))
        assert not synced()
        world.exchange.cancel("in/stop")
        assert synced()
        world.bars((100, 101, 100, 101))
        for act in (
            lambda: world.exchange.halt("AAA"),
            lambda: world.exchange.resume("AAA"),
            lambda: world.exchange.plant_break("AAA", cash_delta=D(1)),
            lambda: world.exchange.plant_break("AAA", qty_delta=D(1)),
            lambda: world.exchange.set_rates({"EUR": D(1)}, at(2)),
            world.end,
            lambda: world.exchange.open_session("next", at(100)),
        ):
            db.execute("PRAGMA synchronous = NORMAL")
            act()
            assert synced()

    def test_another_venues_file_is_refused(self, world: World) -> None:
        world.exchange.close()
        with pytest.raises(VenueError, match=r"holds the books of 'sim' in USD, not of 'other' in USD"):
            Exchange(world.path, world.instruments, world.model, "USD", D(1), name="other")
        with pytest.raises(VenueError, match="not of 'sim' in EUR"):
            Exchange(world.path, world.instruments, world.model, "EUR", D(1))
        Exchange(world.path, world.instruments, world.model, "USD", D(1)).close()

    def test_a_file_that_is_no_database_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "venue.db"
        path.write_text("these are not books, " * 100)
        with pytest.raises(VenueError, match="is not a venue's file"):
            Exchange(path, [us_equity("AAA")], ideal(), "USD", D(1))

    def test_a_database_of_something_else_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "venue.db"
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE other (x)")
        db.close()
        with pytest.raises(VenueError, match="has books of version 0, this program keeps version 4"):
            Exchange(path, [us_equity("AAA")], ideal(), "USD", D(1))

    def test_what_is_held_goes_on_under_its_terms_though_it_trades_no_more(self, world: World) -> None:
        world.buy("in")
        world.bars((100, 100, 100, 100))
        world.exchange.close()
        with Exchange(world.path, [us_equity("BBB")], world.model, "USD", D(1)) as again:
            assert [held.symbol for held in again.positions()] == ["AAA"]

    def test_books_of_a_symbol_without_terms_are_refused(self, world: World) -> None:
        world.buy("in")
        world.bars((100, 100, 100, 100))
        world.exchange.close()
        with sqlite3.connect(world.path) as db:
            db.execute("DELETE FROM listings")
        db.close()
        with pytest.raises(VenueError, match="holds AAA, not among the instruments: add them"):
            Exchange(world.path, [us_equity("BBB")], world.model, "USD", D(1))

    @pytest.mark.parametrize("cash", ["0", "-1", "NaN"])
    def test_an_account_needs_money(self, cash: str) -> None:
        with pytest.raises(VenueError, match=f"initial_cash = {cash}"):
            Exchange(":memory:", [us_equity("AAA")], ideal(), "USD", D(cash))

    def test_the_books_count_not_the_initial_cash_of_a_reopening(self, world: World) -> None:
        world.exchange.close()
        with Exchange(world.path, world.instruments, world.model, "USD", D(5)) as again:
            assert again.account().cash == D(100000)


class TestOtherPeoplesEdits:
    def test_an_edit_from_outside_is_believed_at_once(self, world: World) -> None:
        world.buy("in", 100)
        world.bars((100, 100, 100, 100))
        with sqlite3.connect(world.path) as db:
            db.execute("UPDATE positions SET qty = '70', cost = '7000' WHERE symbol = 'AAA'")
        db.close()
        assert world.qty() == D(70)
        world.close_long("out", 100)
        world.bars((100, 100, 100, 100))
        assert world.fills()[-1] == (2, "-70", "100")

    def test_a_write_that_finds_the_file_locked_takes_no_effect(self, world: World) -> None:
        world.exchange._store._db.execute("PRAGMA busy_timeout = 10")
        blocker = sqlite3.connect(world.path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        before = books(world)
        with pytest.raises(VenueError, match="would not take a write"):
            world.buy("in")
        with pytest.raises(VenueError, match="would not take a write"):
            world.exchange.plant_break("AAA", cash_delta=D(1))
        blocker.execute("ROLLBACK")
        blocker.close()
        assert books(world) == before
        world.buy("in")
        world.bars((101, 101, 101, 101))
        assert world.fills() == [(1, "+100", "101")]

    def test_a_frame_that_could_not_be_written_can_be_fed_again(self, world: World) -> None:
        world.buy("in")
        world.exchange._store._db.execute("PRAGMA busy_timeout = 10")
        blocker = sqlite3.connect(world.path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(VenueError, match="would not take a write"):
            world.bars((101, 101, 101, 101))
        blocker.execute("ROLLBACK")
        blocker.close()
        assert world.exchange.last_as_of == at(0)
        world.minute -= 1
        world.bars((101, 101, 101, 101))
        assert world.fills() == [(1, "+100", "101")]


class TestFrames:
    def test_a_bar_that_cannot_be_is_refused_whole(self, world: World) -> None:
        world.buy("in", legs=bracket("in", stop=40, target=60), symbol="BBB")
        world.buy("other")
        before = books(world)
        for bad in ((50, 49, 51, 50), (50, 51, 49, 52), (float("nan"), 51, 49, 50), (50, 51, -1, 50), (0, 0, 0, 0)):
            broken = frame(world.universe, 1, {"AAA": (100, 100, 100, 100), "BBB": bad})
            with pytest.raises(BadBar, match=r"BBB at 2018-03-02 14:32.*quarantine the row"):
                world.exchange.on_frame(broken, world.universe)
            assert books(world) == before

    def test_a_bad_bar_nobody_depends_on_is_not_looked_at(self, world: World) -> None:
        world.buy("in")
        world.feed({"AAA": (100, 100, 100, 100), "BBB": (50, 49, 51, float("nan"))})
        assert world.fills() == [(1, "+100", "100")]

    def test_an_empty_frame_is_legal(self, world: World) -> None:
        world.buy("in")
        world.feed({})
        assert world.exchange.last_as_of == at(1)

    def test_old_frames_teach_a_restarted_venue_its_prices(self, world: World) -> None:
        """Nothing was held or worked when it ended: the marks were in memory alone."""
        world.restart()
        world.exchange.on_frame(frame(world.universe, 0, {"AAA": (100, 100, 100, 100)}), world.universe)
        world.buy("in")
        assert world.exchange.account().buying_power == D(90000)

    def test_a_session_may_change_its_universe(self, world: World) -> None:
        world.buy("in")
        world.bars((100, 100, 100, 100))
        smaller = type(world.universe)(["AAA"])
        world.exchange.on_frame(frame(smaller, 2, {"AAA": (107, 107, 107, 107)}), smaller)
        assert world.exchange.account().equity == D(100700)

    def test_a_quiet_frame_writes_nothing(self, world: World) -> None:
        (marks,) = world.exchange._store._db.execute("SELECT count(*) FROM marks").fetchone()
        assert marks == 0
        assert world.exchange._store.account().last_as_of is None  # type: ignore[union-attr]


def test_a_request_may_come_from_another_thread(world: World) -> None:
    import threading

    thread = threading.Thread(target=lambda: world.buy("in"))
    thread.start()
    thread.join()
    assert world.exchange.order("in")[0] is not None


def test_the_session_must_have_a_name() -> None:
    world = World(open_now=False)
    with pytest.raises(VenueError, match="a session needs an id"):
        world.exchange.open_session("", OPEN)
