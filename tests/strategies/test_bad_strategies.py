"""Each bad strategy is caught by the lint before any bar, and by contract, truncation or isolation with bars."""

import numpy as np
import pytest

from qmworkbench.strategies.catalog import Catalog
from qmworkbench.strategies.contract import StrategyFault, evaluate
from qmworkbench.strategies.lint import lint
from qmworkbench.strategies.truncation import isolation, truncation
from tests.strategies.bad_strategies import BAD, BROKEN, LEAKS, NEIGHBOURS, Bad
from tests.strategies.bar_cases import made
from tests.strategies.planted import planted
from tests.strategies.test_frames import incremental, instance, one_pass

WAVE = (100 + 10 * np.sin(np.arange(120) / 7) + np.arange(120) / 31).round(2).tolist()
MARKET = made({"A": WAVE, "B": WAVE[::-1]})
ALONE = made({"A": WAVE})


def named(chosen: dict[str, Bad]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bad", [pytest.param(bad, id=name) for name, bad in chosen.items()])


@named({name: bad for name, bad in BAD.items() if bad.rule is not None})
def test_the_lint_names_strategy_column_rule_place_and_remedy(bad: Bad) -> None:
    found = lint(bad.definition, {})
    finding = next(one for one in found if one.column == bad.column and one.rule is bad.rule)
    assert finding.strategy_id == bad.definition.strategy_id
    assert finding.where
    assert finding.remedy
    sentence = finding.sentence()
    assert sentence.startswith(f"strategy {bad.definition.strategy_id}, column {bad.column!r}: {bad.rule}: ")
    assert sentence.endswith(finding.remedy)


@named(BROKEN)
def test_the_contract_names_strategy_and_fault(bad: Bad) -> None:
    with pytest.raises(StrategyFault) as caught:
        evaluate(bad.definition, MARKET.bars, {})
    assert str(caught.value).startswith(f"strategy {bad.definition.strategy_id}: ")
    assert bad.says in str(caught.value)


@named(LEAKS)
def test_truncation_names_the_column_that_knew_the_future(bad: Bad) -> None:
    found = truncation(bad.definition, ALONE.bars, {})
    assert found.strategy_id == bad.definition.strategy_id
    assert found.findings[0].column == bad.column
    assert found.findings[0].before != found.findings[0].after
    assert found.findings[0].bars.startswith(bad.says)


@named(NEIGHBOURS)
def test_isolation_names_the_column_that_saw_the_neighbour(bad: Bad) -> None:
    assert truncation(bad.definition, ALONE.bars, {}).clean  # alone there is nothing wrong with it
    found = isolation(bad.definition, MARKET.bars, {})
    assert [finding.column for finding in found.findings] == [bad.column]
    assert found.findings[0].bars == bad.says


def test_the_lint_has_nothing_against_the_honest_one() -> None:
    assert lint(planted(), {}) == ()
    assert truncation(planted(), ALONE.bars, {}).clean
    assert isolation(planted(), MARKET.bars, {}).clean


@named(BROKEN)
def test_a_broken_strategy_ends_its_own_run_alone(bad: Bad) -> None:
    definitions = Catalog(bad.definition, planted())
    instances = [instance("bad", bad.definition.strategy_id), instance("good", "planted")]
    for way in (incremental, one_pass):
        source, faults = way(MARKET, instances, definitions=definitions), 0
        for frame in MARKET.frames()[:3]:
            source.append(frame)
            batch = source.signals([("bad", ["A", "B"]), ("good", ["A", "B"])])
            assert "good" in {run.instance_id for run in batch.runs}
            for fault in batch.faults:
                assert (fault.instance_id, fault.strategy_id) == ("bad", bad.definition.strategy_id)
                assert bad.says.split(" has ")[0] in fault.problem
            faults += len(batch.faults)
        assert faults
