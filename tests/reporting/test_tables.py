"""How values, tables and chips are written: signed, escaped, and nothing shown as a bare null."""

from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmworkbench.domain.checks import Check, CheckStatus
from qmworkbench.reporting import tables as t
from qmworkbench.reporting.matrix import counted, status_matrix


class Tags(HTMLParser):
    """Whether tags close in the order in which they opened."""

    VOID = frozenset({"br", "meta", "link", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def balanced(html: str) -> bool:
    tags = Tags()
    tags.feed(html)
    return not tags.open and not tags.wrong


def plain(html: str) -> str:
    """The words of a piece of HTML."""
    parts: list[str] = []

    class Words(HTMLParser):
        def handle_data(self, data: str) -> None:
            parts.append(data)

    Words().feed(html)
    return "".join(parts)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234.5, "+1,234.50"),
        (-0.004, "0.00"),
        (0, "0.00"),
        (Decimal("-7.005"), "−7.00"),
        (None, "–"),
    ],
)
def test_money_has_its_sign_and_nothing_has_none(value: float | Decimal | None, shown: str) -> None:
    assert plain(t.signed_money(value)) == shown


@given(st.floats(-1e9, 1e9))
def test_a_signed_amount_never_says_minus_nothing(value: float) -> None:
    shown = plain(t.signed_money(value))
    assert shown[0] in "+−0"
    assert (shown == "0.00") == (abs(round(value, 2)) < 0.005)
    assert ("gain" in t.signed_money(value)) == shown.startswith("+")


@pytest.mark.parametrize(
    ("write", "value", "shown"),
    [
        (t.price, 3.0, "3.00"),
        (t.price, 17.8275, "17.8275"),
        (t.price, 1.234567, "1.23457"),
        (t.money, -12.5, "−12.50"),
        (t.share, 0.286, "29\N{NO-BREAK SPACE}%"),
        (t.r_multiple, -0.001, "0.00\N{NO-BREAK SPACE}R"),
        (t.r_multiple, 1.5, "+1.50\N{NO-BREAK SPACE}R"),
        (t.number(1, "bps"), 5.84, "5.8\N{NO-BREAK SPACE}bps"),
        (t.number(0, sign=True), -0.2, "0"),
        (t.features, "channel_high 14.2, atr 0.123456", "channel high 14.20 · atr 0.1235"),
        (t.features, "turnover 6.09211e+06, change_pct -3.5", "turnover 6.1 million · change pct −3.5"),
        (t.features, "held 180 bars, the limit is 180", "held 180 bars, the limit is 180"),
        (t.text, "-0.23 R on 2018-03-02, main-2018, a -b", "−0.23 R on 2018-03-02, main-2018, a -b"),
        (t.clock("America/New_York"), datetime(2018, 3, 2, 14, 46, tzinfo=UTC), "09:46"),
    ],
)
def test_values_are_written_for_people(write: t.Format, value: object, shown: str) -> None:
    assert plain(write(value)) == shown
    assert plain(write(None)) == "–"


def test_whatever_stands_in_a_cell_is_text() -> None:
    rows = pl.DataFrame({"what": ["<script>alert(1)</script>", 'a "quoted" & odd one'], "n": [1.0, None]})
    made = t.table(rows, [t.Column("what", "<What>"), t.Column("n", "N", t.number(0), "num")], empty="none")
    assert "<script>" not in made
    assert "&lt;What&gt;" in made
    assert 'class="num"' in made
    assert balanced(made)


def test_an_empty_table_says_so_in_a_sentence() -> None:
    assert plain(t.table([], [t.Column("a", "A")], empty="Nothing was sent.")) == "Nothing was sent."


def test_a_row_that_wants_attention_is_marked() -> None:
    made = t.table([{"a": 1}, {"a": 2}], [t.Column("a", "A")], empty="", flag=lambda row: row["a"] == 2)
    assert made.count('class="flag"') == 1


def _check(status: CheckStatus, **given: str) -> Check:
    told = {"check_id": "x.y", "section": "§5 Data Check", "title": "A line", "looked_at": "there", "value": "v"}
    return Check(status=status, expectation="e", **{**told, **given})


def test_a_checklist_shows_the_worst_first_with_its_way_out() -> None:
    checks = [
        _check(CheckStatus.PASS, title="fine", confirmed_by="policy:unattended"),
        _check(CheckStatus.FAIL, title="broken", remedy="mend it", threshold="5", threshold_source="limits"),
        _check(CheckStatus.NOT_APPLICABLE, title="elsewhere"),
    ]
    words = plain(t.checks_table(checks, empty=""))
    assert words.index("broken") < words.index("fine") < words.index("elsewhere")
    for told in ("mend it", "limit 5 (limits)", "nobody looked", "✕ fail", "✓ pass", "– n/a"):
        assert told in words
    assert balanced(t.checks_table(checks, empty=""))


def test_status_is_never_told_by_colour_alone() -> None:
    checks = [_check(status) for status in CheckStatus]
    drawn = status_matrix(checks, label="All")
    assert all(sign in plain(drawn) for sign in "✓!✕–")
    assert counted(checks) == "1 passed, 1 warned, 1 failed, 1 not applicable here"
    assert "1 failed" in drawn.split("aria-label")[1].split(">")[0]


def test_a_finished_piece_shows_itself_in_a_notebook_and_stays_short_as_text() -> None:
    piece = t.Html("<b>x</b>" * 100)
    assert piece._repr_html_() == f'<div class="qm">{"<b>x</b>" * 100}</div>'
    assert len(repr(piece)) < 40
