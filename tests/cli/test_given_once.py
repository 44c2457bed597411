"""An option given twice: refused by its name before anything is read, but where a list is meant."""

from pathlib import Path

import pytest

from qmworkbench.cli.exit_codes import Exit
from tests.cli.books import qm


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("day --date 2018-03-02 --date 2018-03-05", "--date"),
        ("day --one-pass --incremental", "--one-pass"),
        ("sweep sma-cross --symbols A --grid fast_bars=1 --symbols B", "--symbols"),
        ("order replace x --qty 5 --qty 50 --reason r", "--qty"),
        ("journal tail --book a --book=b", "--book"),
    ],
)
def test_of_two_values_none_is_silently_left_out(tmp_path: Path, typed: str, named: str) -> None:
    done = qm(tmp_path, *typed.split())
    assert done.returncode == Exit.FAILED
    assert f"{named} was given 2 times and can have one value" in done.stderr
    assert not list(tmp_path.iterdir())


def test_what_may_be_repeated_adds_up_and_a_flag_said_twice_is_said(tmp_path: Path) -> None:
    """Found by hand: of two --grid the first was dropped, and the sweep looked like a smaller one."""
    asked = "sweep sma-cross --grid fast_bars=5 --grid fast_bars=9 --json --json --as-printed --as-printed"
    done = qm(tmp_path, *asked.split())
    assert done.returncode == Exit.NO_GO
    assert "parameter fast_bars is given twice in the grid" in done.stderr + done.stdout
