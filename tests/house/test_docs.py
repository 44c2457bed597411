"""The documents say what the code does: checks named, files there, links that lead somewhere (§22)."""

import re
from pathlib import Path

import pytest

from qmworkbench.operations.checklist import RUNBOOK_LINES

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md")])


def test_the_runbook_page_names_every_line_and_its_checks() -> None:
    text = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
    for line in RUNBOOK_LINES:
        row = f"| {line.asks} | {', '.join(f'`{check}`' for check in line.check_ids)} |"
        assert row in text, f"{line.section}: {row}"
    named = set(re.findall(r"`([a-z_]+\.[a-z_]+)`", "\n".join(r for r in text.splitlines() if r.startswith("| "))))
    known = {check for line in RUNBOOK_LINES for check in line.check_ids}
    assert named <= known, "the page names checks that nobody makes"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_files_named_in_the_documents_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
    for named in re.findall(r"`((?:qmworkbench|tests|dashboards|notebooks|bench|docs)/[\w./]+)`", text):
        assert (ROOT / named).exists(), f"{page.name} names {named}"


def test_every_decision_is_listed() -> None:
    listed = (ROOT / "docs/decisions/README.md").read_text(encoding="utf-8")
    for page in ROOT.glob("docs/decisions/0*.md"):
        assert page.name in listed
