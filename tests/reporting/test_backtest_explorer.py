"""The explorer runs any strategy over any bars, varies it, judges it, and draws it with widgets."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from qmworkbench.domain.checks import CheckStatus, Verdict
from qmworkbench.reporting import backtest_explorer as explorer
from qmworkbench.reporting.explored import Explored, checks, conclusion, load, named
from qmworkbench.reporting.parameters import BacktestParameters
from tests.reporting.test_tables import balanced, plain

ASKED = BacktestParameters(first=date(2008, 1, 2), last=date(2010, 12, 31))


@pytest.fixture(scope="module")
def found() -> Explored:
    return load(ASKED)


def test_its_pieces_say_what_came_of_it(found: Explored) -> None:
    for piece, says in (
        (explorer.summary(found), "buy and hold"),
        (explorer.prices(found), "GOOG with entries and exits"),
        (explorer.trades(found), "Ended by"),
        (explorer.neighbourhood(found), "sets of values"),
        (explorer.figures(found), "closed round trips"),
    ):
        assert says in plain(piece)
        assert balanced(piece)


def test_the_neighbours_hold_the_run_itself(found: Explored) -> None:
    around = found.around
    assert around.columns[:2] == ["entry_bars", "exit_bars"]
    own = around.filter((around["entry_bars"] == 55) & (around["exit_bars"] == 20))
    assert own["total_return"].item() == found.run.metrics["total_return"]
    assert 9 <= around.height <= 25


def test_it_is_go_where_the_simulation_is_sound(found: Explored) -> None:
    made = checks(found)
    assert made[0].status is CheckStatus.PASS
    assert made[1].status is CheckStatus.WARN, "a handful of trades says nothing"
    assert conclusion(found).verdict is Verdict.GO
    assert any("too few" in reason for reason in conclusion(found).reasons)


def test_a_simulation_that_looks_ahead_is_no_go(found: Explored) -> None:
    tape = found.run.tapes[0]
    other = replace(found.run, tapes=(replace(tape, open=np.roll(tape.open, 1)),))
    assert conclusion(replace(found, run=other)).verdict is Verdict.NO_GO


def test_a_parameter_that_there_is_not_is_left_out(found: Explored) -> None:
    asked = ASKED.model_copy(update={"vary": "entry_bars,colour"})
    other = replace(found, asked=asked)
    assert other.varied == ("entry_bars",)
    assert "name two parameters" in plain(explorer.neighbourhood(other))


def test_symbols_by_name_or_all() -> None:
    assert named("aapl, GOOG,aapl") == ("AAPL", "GOOG")
    assert named("all") == named("") == ()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The inplace keyword")  # bokeh asks pandas for what its next version drops
def test_the_widgets_answer_and_tell_what_cannot_be_run(found: Explored) -> None:
    from qmworkbench.reporting import backtest_widgets as widgets

    widgets.load_extensions()
    whole = widgets.interactive(found)
    controls = [*whole[0], *whole[1]]
    strategy, symbols, period, params = controls[:4]
    assert "GOOG" in symbols.options
    assert strategy.value == "donchian"
    answered = whole[2][0]

    def now() -> object:
        return answered._pane if hasattr(answered, "_pane") else answered[0]

    assert [type(piece).__name__ for piece in now()] == ["HoloViews", "HoloViews", "HoloViews", "Tabulator"]
    assert len(now()[3].value) == found.run.trades.height
    params.value = "flat=carry,short=false,entry_bars=20"
    assert len(now()[3].value) > found.run.trades.height
    params.value = "entry_bars=0"
    assert "entry_bars = 0 is out of range" in now().object
    assert period.value == (found.run.bars.first, found.run.bars.last)
