"""`qm parity`: a recorded session against its backtest, kept beside it; over many, each strategy's drift."""

import json
from pathlib import Path

import msgspec
import pytest

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.research.parity.parity import Parity
from qmworkbench.service.parity_book import file_of, keep, kept
from tests.cli.books import SESSION, book_in, qm


def test_a_session_is_compared_and_the_result_kept(closed_home: Path) -> None:
    done = qm(closed_home, "parity")
    assert done.returncode == Exit.OK, done.stdout
    for part in (SESSION, "signal", "order", "trade", "unexplained share 0.00%", "P&L: backtest"):
        assert part in done.stdout
    found = kept(book_in(closed_home), SESSION)
    assert found is not None
    assert found.unexplained_share == 0
    assert sum(level.compared for level in found.levels) > 20
    assert {"slippage", "fees"} <= set(found.pnl_by_cause)
    told = qm(closed_home, "parity", "2024-03-08", "--json")
    content = json.loads(told.stdout)
    assert content["unexplained_share"] == 0
    assert content["by_cause"] == found.by_cause
    assert len(content["pairs"]) == len(found.pairs)
    _drifts(closed_home)
    _an_unexplained_difference_is_a_no(closed_home, found)


def _drifts(home: Path) -> None:
    done = qm(home, "parity", "--drift")
    assert done.returncode == Exit.OK
    assert "too few trades" in done.stdout
    file_of(book_in(home), SESSION).write_bytes(b"{damaged")
    again = json.loads(qm(home, "parity", "--drift", "--cost-bps", "1", "--json").stdout)
    assert again["compared_now"] == [SESSION]
    assert again["tolerance"]["cost_bps"] == 1
    assert again["within"] is True
    none = json.loads(qm(home, "parity", "--drift", "--from", "2030-01-01", "--json").stdout)
    assert (none["sessions"], none["strategies"]) == (0, [])


def _an_unexplained_difference_is_a_no(home: Path, found: Parity) -> None:
    """Drift reads what was kept: sixty trades that lost a percent each without a reason."""
    pair = next(pair for pair in found.pairs if pair.recorded_pnl is not None and pair.expected_pnl is not None)
    assert pair.notional is not None
    assert pair.expected_pnl is not None
    bad = msgspec.structs.replace(pair, recorded_pnl=pair.expected_pnl - pair.notional / 100, causes=("unexplained",))
    keep(book_in(home), msgspec.structs.replace(found, pairs=(bad,) * 60))
    done = qm(home, "parity", "--drift")
    assert done.returncode == Exit.NO_GO
    assert "outside" in done.stdout
    assert "100.0% of its trades are unexplained" in done.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("2031-01-01",), "no session '2031-01-01'"),
        (("--from", "2024-03-01"), "are for --drift"),
        (("2024-03-08", "--drift"), "one is named"),
        (("--drift", "--tolerance-bps", "0"), "tolerance bps is 0"),
        (("--drift", "--to", "later"), "--to 'later' is not a date"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(closed_home: Path, args: tuple[str, ...], said: str) -> None:
    done = qm(closed_home, "parity", *args)
    assert done.returncode == Exit.FAILED
    assert said in done.stderr
