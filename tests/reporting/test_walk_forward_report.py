"""The walk-forward report: what it shows, that it holds the choice to the past, and that its notebook runs."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qmworkbench.domain.checks import CheckStatus, Verdict
from qmworkbench.reporting import walk_forward as report
from qmworkbench.reporting import walk_forward_run as runs
from qmworkbench.reporting.parameters import ReportRefused, WalkForwardParameters, report_named, validated
from qmworkbench.reporting.runner import run_report
from qmworkbench.reporting.walk_forward_sliders import again, interactive, load_extensions
from tests.reporting.test_tables import balanced, plain

SMALL: dict[str, Any] = {
    "symbols": "IBM", "first": "2009-01-02", "last": "2011-12-30", "grid": "entry_bars=20,60,exit_bars=10",
    "train": 200, "test": 60, "gap": 5,
}  # fmt: skip


@pytest.fixture(scope="module")
def found() -> runs.Walked:
    return report.load(WalkForwardParameters.model_validate(SMALL))


def test_it_shows_what_was_earned_chosen_and_what_that_is_worth(found: runs.Walked) -> None:
    pieces = [report.summary(found), report.choices(found), report.worth(found), report.held(found)]
    for piece in pieces:
        assert balanced(piece)
    words = [plain(piece) for piece in pieces]
    assert "Sharpe out of sample" in words[0]
    assert f"{found.walk.curve.height} sessions in {len(found.walk.windows)} windows" in words[0]
    assert "entry bars" in words[1]
    assert words[1].count(" to 20") == len(found.walk.windows)
    assert "2 combinations were tried" in words[2]
    assert "924 splits" in words[2]
    assert "No window knew what came after it" in words[3]


def test_a_grid_that_only_luck_favoured_is_no_go_although_nothing_looked_ahead(found: runs.Walked) -> None:
    made = report.conclusion(found)
    assert made.verdict is Verdict.NO_GO
    assert made.headline.startswith("no window looked ahead; donchian earned a Sharpe ratio of")
    assert any("not distinguishable from luck" in reason for reason in made.reasons)
    assert made.facts["bars"].startswith("package:bokeh-sampledata, IBM, 2009-01-02 to 2011-12-30")
    assert all(found.walk.windows[at].train.stop + 5 == found.walk.windows[at].test.start for at in range(3))


def with_returns(found: runs.Walked, added: float) -> runs.Walked:
    """The same trials with something added to what every combination earned in every session."""
    chance = np.random.default_rng(1)
    own = 0.2 * chance.normal(0, 0.01, found.trials.returns.shape)
    trials = replace(found.trials, returns=found.trials.returns * 0.2 + own + added)
    return runs.Walked(found.asked, trials, runs.walked(trials, found.asked))


def test_a_grid_with_an_edge_is_go_and_one_that_loses_is_not(found: runs.Walked) -> None:
    statuses = {check.check_id: check.status for check in runs.checks(with_returns(found, 0.003))}
    assert statuses["walk_forward.earned"] is CheckStatus.PASS
    assert statuses["walk_forward.luck"] is CheckStatus.PASS
    assert report.conclusion(with_returns(found, 0.003)).verdict is Verdict.GO
    losing = report.conclusion(with_returns(found, -0.003))
    assert losing.verdict is Verdict.NO_GO
    assert any(reason.startswith("What was chosen earned out of sample: Sharpe -") for reason in losing.reasons)


def test_a_choice_that_knew_its_test_sessions_is_no_go(found: runs.Walked) -> None:
    """The same trials, walked by somebody who took the best of each test."""
    choices = found.walk.choices
    tests = [found.trials.returns[window.test.start : window.test.stop].sum(axis=0) for window in found.walk.windows]
    best = [int(np.argmax(one)) for one in tests]
    assert best != choices["choice"].to_list(), "the sample has to tell them apart"
    peeked = replace(found, walk=replace(found.walk, choices=choices.with_columns(choice=np.array(best))))
    made = report.conclusion(peeked)
    assert made.verdict is Verdict.NO_GO
    assert made.headline.startswith("the choice looked ahead")
    assert runs.checks(peeked)[0].status is CheckStatus.FAIL


def test_sliders_cut_other_windows_over_the_same_trials(found: runs.Walked) -> None:
    load_extensions()
    whole = interactive(found)
    assert [widget.value for widget in whole[0]] == ["rolling", 200, 60, 5]
    drawn, listed = again(found, mode="expanding", train=100, test=60, gap=0, anchor=None)
    assert [curve.label for curve in drawn.object] == ["held throughout", "best in hindsight", "walked forward"]
    assert "Choices" in listed.object
    refused = again(found, mode="rolling", train=750, test=60, gap=0, anchor=None)
    assert "take a longer period" in refused.object


def test_anchored_windows_begin_at_their_day(found: runs.Walked) -> None:
    asked = validated(report_named("walk_forward"), SMALL | {"mode": "anchored", "anchor": "2009-07-04"})
    assert isinstance(asked, WalkForwardParameters)
    walk = runs.walked(found.trials, asked)
    assert {window.train.start for window in walk.windows} == {found.trials.sessions.index(date(2009, 7, 6))}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"mode": "anchored"}, "anchored windows have one"),
        ({"anchor": "2009-07-06"}, "anchored windows have one"),
        ({"train": 3}, "train = 3"),
        ({"mode": "sliding"}, "mode = 'sliding'"),
    ],
)
def test_parameters_that_contradict_themselves_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ReportRefused, match=words):
        validated(report_named("walk_forward"), SMALL | given)


def test_fixed_parameters_are_read_as_what_they_are() -> None:
    assert runs.values_of("flat=carry, short=false,stop_atr=1.5,atr_bars=20") == {
        "flat": "carry", "short": False, "stop_atr": 1.5, "atr_bars": 20,
    }  # fmt: skip
    assert runs.values_of("") == {}
    with pytest.raises(ValueError, match="'carry': give NAME=VALUE"):
        runs.values_of("carry")


@pytest.mark.slow
def test_the_notebook_runs_and_its_page_needs_nothing(tmp_path: Path) -> None:
    made = run_report("walk_forward", out_root=tmp_path, parameters=SMALL)
    content = made.path.read_text()
    assert made.verdict is Verdict.NO_GO, made.headline
    assert "<script" not in content
    assert balanced(content)
    words = plain(content.split("</style>", 1)[1])
    for told in ("Out of sample", "Choices", "What the best is worth", "Other histories", "Checks"):
        assert told in words
