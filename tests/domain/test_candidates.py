"""Filter verdicts, candidates and near misses: what they say, and that the journal keeps them."""

import msgspec
import pytest

from qmworkbench.domain.candidates import Candidate, FilterVerdict, NearMiss


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        (
            FilterVerdict(code="rel_volume", passed=False, value=0.84, limit=1.5, unit="x usual"),
            "relative volume 0.84 x usual is under 1.5 x usual",
        ),
        (
            FilterVerdict(code="change", passed=True, value=6.12, limit=3.0, unit="%", basis="from open"),
            "change (from open) +6.12 % is at least +3 %",
        ),
        (
            FilterVerdict(code="change", passed=False, value=-0.5, limit=0.0, unit="%"),
            "change -0.5 % is under +0 %",
        ),
        (
            FilterVerdict(code="dollar_volume", passed=True, value=12345678.5, limit=1e6),
            "dollar volume 12,345,678.5 is at least 1,000,000",
        ),
        (
            FilterVerdict(code="price_max", passed=False, value=1200.0, limit=1000.0),
            "price 1,200 is over 1,000",
        ),
        (
            FilterVerdict(code="window_open", passed=False, value=2.0, limit=5.0, unit="min"),
            "time since the open 2 min has not reached 5 min",
        ),
        (
            FilterVerdict(code="spread", passed=True, limit=50.0, unit="bps"),
            "spread is unknown, which the settings allow",
        ),
        (
            FilterVerdict(code="rel_volume", passed=False, limit=1.5, unit="x usual"),
            "relative volume is unknown, needed to judge against 1.5 x usual",
        ),
        (FilterVerdict(code="blocked", passed=False, basis="permanent"), "on the blocked list: permanent"),
        (FilterVerdict(code="blocked", passed=True), "not on the blocked list"),
        (
            FilterVerdict(code="feed", passed=False, basis="no bar for 95 s"),
            "market data is not trusted: no bar for 95 s",
        ),
        (
            FilterVerdict(code="sector_count", passed=False, value=3.0, limit=2.0),
            "sector count 3 does not meet 2",
        ),
        (FilterVerdict(code="short_sale", passed=False, value=1.0, limit="uptick only"), None),
        (FilterVerdict(code="bars", passed=True, value=7.0), "bars seen 7, no limit set"),
        (FilterVerdict(code="bars", passed=True), "bars seen is unknown and not required"),
    ],
)
def test_a_verdict_reads_as_a_sentence(verdict: FilterVerdict, sentence: str | None) -> None:
    assert verdict.sentence() == (sentence or "short sale 1 does not meet uptick only")


def test_candidates_and_near_misses_come_back_whole_from_json() -> None:
    passed = FilterVerdict(code="change", passed=True, value=6.12, limit=3.0, unit="%", basis="from open")
    failed = FilterVerdict(code="spread", passed=False, limit="quoted", unit="bps")
    candidate = Candidate(
        symbol="OPK",
        rank=1,
        score=71.5,
        last=3.9,
        change=0.0612,
        change_basis="from open",
        rel_volume=None,
        dollar_volume=1e7,
        verdicts=(passed,),
    )
    near_miss = NearMiss(symbol="XON", rank=2, score=70.0, failed=(failed,))
    assert msgspec.json.decode(msgspec.json.encode(candidate), type=Candidate) == candidate
    assert msgspec.json.decode(msgspec.json.encode(near_miss), type=NearMiss) == near_miss


def test_candidates_and_near_misses_say_why_on_one_line() -> None:
    fast = FilterVerdict(code="change", passed=True, value=6.0, limit=3.0, unit="%")
    cheap = FilterVerdict(code="price_min", passed=False, value=1.5, limit=2.0)
    blocked = FilterVerdict(code="blocked", passed=False)
    candidate = Candidate(
        symbol="OPK",
        rank=1,
        score=71.5,
        last=3.9,
        change=0.06,
        change_basis="",
        rel_volume=2.0,
        dollar_volume=1e7,
        verdicts=(fast,),
    )
    assert candidate.sentence() == "OPK (rank 1): change +6 % is at least +3 %"
    near_miss = NearMiss(symbol="XON", rank=2, score=70.0, failed=(cheap, blocked))
    assert near_miss.sentence() == "XON (rank 2): price 1.5 is under 2; on the blocked list"
