"""docs/halting.md against the code: every code that halts the book, its state, and every state of the feed."""

import ast
import re
from pathlib import Path

import pytest

from qmworkbench.domain.events.market import FeedState
from qmworkbench.domain.safety import MUST_HALT, HaltSettings, MustHalt
from qmworkbench.domain.sessions import TradingState
from qmworkbench.service.config_halt import CONDITIONS
from qmworkbench.trading import emergency, resuming

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "halting.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, cell by cell."""
    below = PAGE.split(f"## {heading}", 1)[1]
    lines = [line for line in below.split("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def halts_in_the_code() -> set[tuple[str, str]]:
    """(code, state) of every place that restricts the book."""
    found: set[tuple[str, str]] = set()
    for path in sorted((ROOT / "qmworkbench" / "trading").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr == "restrict" and ast.unparse(node.args[0]) in ("'book'", "scope"):
                found |= {(code, ast.unparse(node.args[1]).lower()) for code in codes_of(node.args[2])}
    return found


def codes_of(given: ast.expr) -> list[str]:
    text = ast.unparse(given)
    if isinstance(given, ast.Constant):
        return [str(given.value)]
    if text.startswith("MustHalt."):
        return [MustHalt[text.split(".")[1]].value]
    if text == "CODE":
        return [emergency.CODE]
    if text == "condition":
        return list(MUST_HALT)
    assert text.startswith("f'contradiction."), f"a code this test cannot read: {text}"
    return ["contradiction.…"]


def test_every_code_that_halts_the_book_is_on_the_page_and_no_other() -> None:
    told = {code.strip("`") for code, *_ in table("What halts the book")}
    assert told == {code for code, _ in halts_in_the_code()}


def test_the_page_tells_the_state_that_each_code_brings() -> None:
    told = {(row[0].strip("`"), row[2].lower()) for row in table("What halts the book")}
    for code, state in halts_in_the_code():
        if not state.startswith("tradingstate."):
            # must_halt chooses: exits go on unless the prices they are judged by cannot be believed.
            assert (code, "reducing") in told
            continue
        assert (code, state.removeprefix("tradingstate.")) in told, f"{code} brings {state}"
    untrusted = [row for row in table("What halts the book") if row[2] == "HALTED"]
    assert {row[0].strip("`") for row in untrusted} == {MustHalt.DATA_DEGRADED, emergency.CODE}


def test_the_states_are_shown_as_the_page_says() -> None:
    rows = [line.strip("|").split("|") for line in PAGE.split("## ")[0].splitlines() if line.startswith("|")][2:]
    shown = {cells[0].strip().lower(): cells[1].strip() for cells in rows}
    assert shown == {state.value: state.shown for state in TradingState}


def test_every_state_of_the_feed_is_on_the_page() -> None:
    assert [row[0] for row in table("The quality of market data")] == [
        *(state.value for state in (FeedState.GOOD, FeedState.GAPPED, FeedState.STALE, FeedState.MUTE)),
        FeedState.DISCONNECTED.value,
        FeedState.CROSSED.value,
    ]
    assert len(FeedState) == 6


def test_the_five_lines_are_the_codes_and_say_who_answers() -> None:
    rows = table("Resume: §23's five lines")
    assert tuple(row[0] for row in rows) == resuming.LINES
    assert tuple(row[0] for row in rows if row[1] == "answers") == resuming.ASKED


@pytest.mark.parametrize("name", HaltSettings.__struct_fields__)
def test_the_example_shows_each_setting_with_its_default(name: str) -> None:
    found = re.search(rf"^{name} = (\d+)", PAGE, re.MULTILINE)
    assert found is not None
    assert int(found[1]) == getattr(HaltSettings(), name)


def test_the_example_names_every_condition() -> None:
    line = next(line for line in PAGE.splitlines() if line.startswith("condition ="))
    assert set(re.findall(r"[a-z]+_[a-z_]+", line)) == set(CONDITIONS)
