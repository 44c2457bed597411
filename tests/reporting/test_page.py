"""The page around a report: verdict first, everything escaped, nothing loaded from anywhere."""

import re

import pytest

from qmworkbench.domain.checks import Verdict
from qmworkbench.reporting.page import Failure, banner, page
from tests.reporting.test_tables import balanced, plain

EVIL = '<img src=x onerror="alert(1)">'


def made(**given: object) -> str:
    told: dict[str, object] = {
        "title": "Trade review",
        "where": "book main",
        "verdict": Verdict.GO,
        "headline": "14 trades",
        "reasons": (),
        "body": "<p>body</p>",
        "facts": {"made": "now"},
        **given,
    }
    return page(**told)  # type: ignore[arg-type]


def test_the_verdict_is_the_first_thing_to_read() -> None:
    words = plain(made(verdict=Verdict.NO_GO, headline="one check failed", reasons=("mend it",)).split("</style>")[1])
    assert words.index("NO-GO") < words.index("one check failed") < words.index("mend it") < words.index("body")


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_its_word_sign_and_class(verdict: Verdict) -> None:
    shown = banner(verdict, "why")
    assert verdict.value in plain(shown)
    assert f'class="verdict {verdict.value.lower()}"' in shown
    assert balanced(shown)


def test_nothing_told_becomes_markup() -> None:
    failure = Failure(title=EVIL, text=EVIL, where=(EVIL,))
    shown = made(title=EVIL, where=EVIL, headline=EVIL, reasons=(EVIL,), facts={EVIL: EVIL}, failure=failure)
    assert "<img" not in shown
    assert shown.count("&lt;img") >= 9
    assert balanced(shown)


def test_a_page_loads_nothing_and_runs_nothing() -> None:
    shown = made()
    assert "default-src 'none'" in shown
    assert not re.search(r"https?://", shown)
    assert "<script" not in shown
    assert '<meta name="viewport"' in shown
    assert "@page { size: A4" in shown
