"""docs/risk.md lists the rules there are, in their order, and limits that exist."""

import re
from pathlib import Path

from qmworkbench.domain.limits import Limits
from qmworkbench.trading.denials import sentence
from qmworkbench.trading.risk import ENTRY_RULES, EXIT_RULES, RULE_FAILED
from tests.trading.risk_cases import a_state, an_entry, verdicts

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "risk.md").read_text(encoding="utf-8")


def rows(section: str) -> list[tuple[str, str, str]]:
    """Code, question and limit of each row of a section's table."""
    text = PAGE.split(f"## {section}\n")[1].split("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| `"]
    return [(row[0].strip("`"), row[1], row[2]) for row in cells]


def test_every_entry_rule_is_on_the_page_in_its_order() -> None:
    assert [code for code, _, _ in rows("Entries")] == [rule.code for rule in ENTRY_RULES]


def test_what_exits_face_is_on_the_page() -> None:
    listed = [code for code, _, _ in rows("Exits, and what cannot be judged")]
    assert listed == [*(rule.code for rule in EXIT_RULES), "reduce_only_broker", RULE_FAILED]


def test_each_row_says_what_is_asked_and_every_limit_it_names_exists() -> None:
    known = {*Limits.__struct_fields__, "lot_size", "min_qty", "min_notional", "shortable", "easy_to_borrow"}
    for code, asks, limit in rows("Entries"):
        assert asks, code
        assert limit, code
        assert set(re.findall(r"`(\w+)`", limit)) <= known


def test_every_limit_that_rules_read_is_on_the_page() -> None:
    named = set(re.findall(r"\w+", PAGE))
    assert set(Limits.__struct_fields__) - {"max_rejections_per_strategy"} <= named


def test_each_code_on_the_page_has_its_sentence() -> None:
    told = verdicts(a_state(), an_entry())
    assert {code for code, _, _ in rows("Entries")} == set(told)
    assert all(sentence(verdict).startswith(code) for code, verdict in told.items())


def test_the_example_of_a_signed_file_is_one() -> None:
    example = PAGE.split("```toml")[1].split("```")[0]
    keys = re.findall(r"^(\w+) =", example, re.MULTILINE)
    assert set(keys) <= set(Limits.__struct_fields__)
