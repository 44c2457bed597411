"""Every checklist line of the runbook and each item of the manifest is answered by a check that is really made."""

import re
from pathlib import Path

import pytest

from qmworkbench.operations.checklist import RUNBOOK_LINES
from qmworkbench.operations.post_session import post_session
from qmworkbench.operations.preflight import PreflightPhase, preflight
from tests.operations.evidence_cases import ended, pre_market, pre_start

SPEC = Path(__file__).resolve().parents[2] / ".." / "shared" / "spec"


@pytest.fixture
def runbook() -> str:
    file = SPEC / "quantmatrix-runbook.txt"
    if not file.exists():
        pytest.skip("the runbook (../shared/spec) is not beside this checkout")
    return file.read_text()


def boxes(runbook: str, number: int) -> list[str]:
    """The boxes to tick in one numbered section."""
    section = re.split(rf"^{number}\. ", runbook, flags=re.M)[1].split(f"\n{number + 1}. ")[0]
    return [line.partition("\n")[0].strip(" -") for line in section.split("[ ]")[1:]]


def made() -> set[str]:
    checks = [
        *preflight(PreflightPhase.PRE_START, pre_start()),
        *preflight(PreflightPhase.PRE_MARKET, pre_market()),
        *post_session(ended()),
    ]
    return {check.check_id for check in checks}


def test_every_check_named_is_made() -> None:
    named = {check_id for line in RUNBOOK_LINES for check_id in line.check_ids}
    assert named - made() == set()
    assert all(line.check_ids for line in RUNBOOK_LINES)


def test_every_check_made_before_the_market_answers_a_line() -> None:
    named = {check_id for line in RUNBOOK_LINES for check_id in line.check_ids}
    beyond = {name for name in made() - named if not name.startswith("post_session.")}
    assert beyond == set()


@pytest.mark.parametrize(("number", "count"), [(5, 19), (6, 9), (8, 9), (17, 7)])
def test_every_box_of_a_section_has_its_line(runbook: str, number: int, count: int) -> None:
    asked = boxes(runbook, number)
    assert len(asked) == count
    lines = [line for line in RUNBOOK_LINES if line.section == f"§{number}"]
    for box in asked:
        fitting = [line for line in lines if line.key.lower() in box.lower()]
        assert len(fitting) == 1, f"{box!r} is answered by {fitting}"
    beyond = [line for line in lines if not any(line.key.lower() in box.lower() for box in asked)]
    assert [line.key for line in beyond] == (["intended time window"] if number == 8 else [])


def test_safe_to_start_is_covered(runbook: str) -> None:
    asked = boxes(runbook.split("Must Halt Trading", maxsplit=1)[0], 23)
    lines = [line for line in RUNBOOK_LINES if line.section == "§23"]
    assert len(asked) == len(lines) == 7
    assert all(any(line.key.lower() in box.lower() for line in lines) for box in asked)


def test_the_critical_conditions_are_covered(runbook: str) -> None:
    conditions = runbook.split("Do not allow trading if:")[1].split("\n8. ", maxsplit=1)[0]
    lines = [line for line in RUNBOOK_LINES if line.section == "§7"]
    assert len(lines) == len(re.findall(r"^ ?- ", conditions.replace(" - ", "\n- "), flags=re.M)) == 5
    assert all(line.key.lower() in conditions.lower() for line in lines)


def test_the_manifests_five_items_are_covered() -> None:
    file = SPEC / "operations-manifest.txt"
    if not file.exists():
        pytest.skip("the manifest (../shared/spec) is not beside this checkout")
    items = re.findall(
        r"^  [1-5]\. (.*)$", file.read_text().split("five-item checklist")[1].split("Items 1-3")[0], re.M
    )
    lines = [line for line in RUNBOOK_LINES if line.section == "M: Pre-Flight"]
    assert len(items) == len(lines) == 5
    assert all(line.key.lower() in item.lower() for line, item in zip(lines, items, strict=True))
