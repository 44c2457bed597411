"""`qm order inspect` and `list`: four steps as one command, on a closed book, a cut-off one and a running platform."""

from collections.abc import Sequence
from pathlib import Path

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.domain.events.orders import OrderIntended
from qmworkbench.domain.execution import BrokerOrder
from qmworkbench.service import config as configuration
from qmworkbench.service.offline import open_offline
from qmworkbench.storage.journal_reader import JournalReader
from tests.cli.books import answer, book_in, platform_running, qm


def first_entry(home: Path) -> OrderIntended:
    with JournalReader(book_in(home).journal) as reader:
        return next(e for _, e in reader.events(["order.intended"]) if isinstance(e, OrderIntended) and e.request.legs)


def orders_at_venue(home: Path) -> Sequence[BrokerOrder]:
    with open_offline(configuration.load(cwd=home, environ={}), "a test") as opened:
        return opened.broker.open_orders()


def test_inspect_on_a_closed_book_agrees_and_prints_the_four_steps(closed_home: Path) -> None:
    name = first_entry(closed_home).request.cl_ord_id
    told = qm(closed_home, "order", "inspect", name)
    assert told.returncode == Exit.OK, told.stdout + told.stderr
    for words in ("1 idempotency key", "2 broker order history", "3 internal state", "4 comparison", "AGREE"):
        assert words in told.stdout
    found = answer(qm(closed_home, "order", "inspect", name, "--json"))
    assert (found["finding"], found["asked"]) == ("agree", name)
    assert all(step["sound"] for step in found["steps"])


def test_every_order_of_a_day_agrees_with_the_broker(closed_home: Path) -> None:
    rows = answer(qm(closed_home, "order", "list", "--all", "--json"))["orders"]
    assert rows
    for row in rows[:12]:
        done = qm(closed_home, "order", "inspect", row["cl_ord_id"], "--json")
        assert done.returncode == Exit.OK, done.stdout
    assert answer(qm(closed_home, "order", "list", "--json"))["orders"] == [], "all of them have ended"


def test_inspect_of_an_id_nobody_knows_says_where_ids_are(closed_home: Path) -> None:
    done = qm(closed_home, "order", "inspect", "never-sent")
    assert done.returncode == Exit.FAILED
    assert "qm order list --all" in done.stderr


def test_an_order_at_the_broker_that_nobody_here_sent_differs(cut_off_home: Path) -> None:
    symbol = first_entry(cut_off_home).request.symbol
    planted = qm(cut_off_home, "drill", "break", "--kind", "order", "--symbol", symbol, "--qty", "10", "--px", "1.00")
    assert planted.returncode == Exit.OK, planted.stderr
    name = next(o.cl_ord_id for o in orders_at_venue(cut_off_home) if o.cl_ord_id.startswith("DRILL"))
    done = qm(cut_off_home, "order", "inspect", name, "--json")
    assert done.returncode == Exit.NO_GO
    found = answer(done)
    assert found["finding"] == "differ"
    assert "nobody here sent it" in found["reason"]


def test_inspect_while_a_platform_runs_asks_the_platform(tmp_path: Path) -> None:
    with platform_running(tmp_path):
        name = first_entry(tmp_path).request.cl_ord_id
        done = qm(tmp_path, "order", "inspect", name, "--json")
        found = answer(done)
        assert found["finding"] in ("agree", "ambiguous", "differ"), found
        assert found["steps"][1]["lines"], "the broker was asked, through the platform that holds it"
        missing = qm(tmp_path, "order", "inspect", "never-sent")
        assert missing.returncode != Exit.OK
        assert "never-sent" in missing.stderr
