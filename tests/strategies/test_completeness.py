"""A catalog entry is complete or it is none: each omission is refused at import, naming strategy and field."""

from typing import Any

import msgspec
import pytest

from qmworkbench.strategies.catalog import catalog
from qmworkbench.strategies.completeness import entry_faults
from qmworkbench.strategies.definition import (
    EntryWindow,
    ExitRules,
    LookaheadPassed,
    StrategyDefinition,
    StrategyStatus,
    Validation,
)
from qmworkbench.strategies.parameters import bounded
from tests.strategies.bar_cases import changed
from tests.strategies.planted import planted

GOOD = planted()
PAPER, LIVE = StrategyStatus.PAPER_APPROVED, StrategyStatus.LIVE_APPROVED


def evidence(**fields: Any) -> Validation:
    return Validation(**({"data": "bars", "method": "looked", "result": "clean"} | fields))


def test_every_entry_of_the_catalog_is_complete() -> None:
    assert [fault for entry in catalog().values() for fault in entry_faults(entry)] == []


TEXTS = ("title", "objective", "entry", "confirming", "disqualifying", "invalidation", "sizing", "version")
EXITS = {"stop": "a", "target": "b", "signal": "c"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"owner": " "}, "strategy planted has no owner"),
        *[({name: "  "}, f"strategy planted says nothing under {name};") for name in TEXTS],
        *[({"exits": ExitRules(**(EXITS | {name: ""}))}, f"nothing under exits.{name};") for name in EXITS],
        ({"features": {"f_close": ""}}, "nothing under features.f_close"),
        ({"assumptions": ()}, "states no assumption"),
        ({"assumptions": ("It holds.", " ")}, r"nothing under assumptions\[1\]"),
        ({"asset_classes": ()}, "names no instruments"),
        ({"strategy_id": "Planted One"}, "has the id 'Planted One'"),
        ({"parameter_specs": (bounded("n", 1, 0, 9, "", " "),)}, "gives parameter n no meaning"),
        ({"parameter_specs": (bounded("n", 1, 0, 9, "", "it"),) * 2}, "has two parameters called n"),
        ({"entry_window": EntryWindow(from_bar="frm")}, "names parameter 'frm' under entry_window.from_bar"),
        ({"exits": ExitRules(**EXITS, trail_bps="trial")}, r"'trial' under exits.trail_bps, .* \(unused\)"),
        ({"exits": ExitRules(**EXITS, flat="flt")}, "'flt' under exits.flat"),
        ({"validation": (evidence(result=""),)}, r"nothing under validation\[0\].result"),
        ({"validation": (evidence(on="last May"),)}, r"dates validation\[0\] 'last May'"),
    ],
)
def test_what_is_missing_is_refused_by_name(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        changed(GOOD, **fields)


def test_every_omission_is_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"no owner.*under entry.*no assumption"):
        changed(GOOD, owner="", entry="", assumptions=())


def test_a_parameter_without_a_range_cannot_even_be_written_down() -> None:
    with pytest.raises(ValueError, match="parameter n is a number: give its minimum and its maximum"):
        bounded("n", 1, 0, None, "", "it")  # type: ignore[arg-type]


def approval(status: StrategyStatus, **fields: Any) -> Validation:
    return evidence(approves=status, **({"by": "ada", "on": "2024-03-08"} | fields))


def examined(**fields: Any) -> Validation:
    passed = {"data_hash": "d1", "params_hash": GOOD.hash({}), "code_hash": "c1"}
    return evidence(lookahead=LookaheadPassed(**(passed | {"sessions": 1, "symbols": 3, "entries": 9} | fields)))


@pytest.mark.parametrize(
    ("status", "history", "said"),
    [
        (PAPER, (), "is paper-approved, yet no entry of its validation history approves paper-approved"),
        (PAPER, (evidence(),), "approves paper-approved"),
        (LIVE, (approval(LIVE),), "is live-approved, yet .* approves paper-approved"),
        (LIVE, (approval(PAPER),), "approves live-approved"),
        (PAPER, (approval(PAPER, by=""),), r"validation\[0\] that approves paper-approved without saying by whom"),
        (PAPER, (approval(PAPER, on=""),), "without saying by whom"),
        (
            PAPER,
            (approval(PAPER),),
            f"holds no passed look-ahead examination .* parameters {GOOD.hash({})}: run `qm lo",
        ),
        (LIVE, (approval(PAPER), approval(LIVE)), "is live-approved, yet .* no passed look-ahead examination"),
        (PAPER, (approval(PAPER), examined(params_hash="p1")), r"\(there is one of parameters p1\)"),
        (PAPER, (approval(PAPER), examined(entries=0)), "look-ahead examination lacks any entry to look at"),
        (
            PAPER,
            (approval(PAPER), examined(analyses=("truncation",))),
            "lacks shuffled future, recursive warm-up, next",
        ),
    ],
)
def test_a_status_its_history_does_not_bear_out_is_refused(
    status: StrategyStatus, history: tuple[Validation, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        changed(GOOD, status=status, validation=history)


@pytest.mark.parametrize(
    ("status", "history"),
    [
        (StrategyStatus.EXPERIMENTAL, ()),
        (StrategyStatus.RETIRED, ()),
        (PAPER, (evidence(), approval(PAPER), examined())),
        (LIVE, (approval(PAPER), approval(LIVE), examined(params_hash="p1"), examined())),
    ],
)
def test_a_status_with_its_evidence_stands(status: StrategyStatus, history: tuple[Validation, ...]) -> None:
    entry: StrategyDefinition = changed(GOOD, status=status, validation=history)
    assert entry.status is status
    assert len(entry.as_data()["validation"]) == len(msgspec.to_builtins(history))
