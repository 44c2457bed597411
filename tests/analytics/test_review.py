"""§18's eight items, the stores, what was missed and what is recommended, on tables written by hand."""

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from qmworkbench.analytics import review, stores
from qmworkbench.analytics.missed import kept_out_by, missed
from qmworkbench.analytics.recommendations import RULES, Looked, recommend, summary
from qmworkbench.analytics.session_record import SessionRecord
from qmworkbench.analytics.tables import TABLES
from qmworkbench.domain.candidates import FilterVerdict
from qmworkbench.domain.events import Event, market
from tests.analytics.frames import MINUTE, OPEN, ZONE, bars, reviewed, table
from tests.analytics.session_events import denied, fill
from tests.service.samples import sample


def over(record: SessionRecord, **tables: pl.DataFrame) -> SessionRecord:
    empty = {name: table(name) for name in TABLES}
    return replace(record, tables={**empty, **tables})


def rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return frame.to_dicts()


# --- the eight ------------------------------------------------------------------------------


def test_winners_and_losers_are_summed_by_outcome() -> None:
    done = reviewed(
        {"net_pnl": 30.0, "r_multiple": 3.0, "outcome": "winner"},
        {"net_pnl": -10.0, "r_multiple": -1.0, "outcome": "loser"},
        {"net_pnl": -20.0, "r_multiple": -2.0, "outcome": "loser"},
    )
    found = rows(review.winners_and_losers(done))
    assert [(row["outcome"], row["trades"], row["net_pnl"]) for row in found] == [
        ("winner", 1, 30.0),
        ("loser", 2, -30.0),
    ]
    assert (found[1]["worst"], found[1]["best"], found[1]["average_r"]) == (-20.0, -10.0, -1.5)


def test_rejections_are_the_brokers_alone(blank: SessionRecord) -> None:
    orders = table(
        "orders",
        {"cl_ord_id": "a", "status": "rejected", "symbol": "OPK", "reason": "halted", "intended_at": OPEN},
        {"cl_ord_id": "b", "status": "denied", "symbol": "GME", "reason": "ours", "intended_at": OPEN},
    )
    assert review.rejected_orders(over(blank, orders=orders))["cl_ord_id"].to_list() == ["a"]


def test_partial_fills_include_orders_that_ended_short(blank: SessionRecord) -> None:
    ended = OPEN + 3 * MINUTE
    orders = table(
        "orders",
        {
            "cl_ord_id": "once",
            "order_qty": 9.0,
            "cum_qty": 9.0,
            "partial": True,
            "intended_at": OPEN,
            "ended_at": ended,
        },
        {"cl_ord_id": "short", "order_qty": 9.0, "cum_qty": 3.0, "intended_at": OPEN, "ended_at": ended},
        {"cl_ord_id": "whole", "order_qty": 9.0, "cum_qty": 9.0, "intended_at": OPEN, "ended_at": ended},
        {"cl_ord_id": "none", "order_qty": 9.0, "cum_qty": 0.0, "intended_at": OPEN, "ended_at": ended},
    )
    found = review.partial_fills(over(blank, orders=orders))
    assert found["cl_ord_id"].to_list() == ["once", "short"]
    assert found["filled_share"].to_list() == pytest.approx([1.0, 1 / 3])
    assert found["open_min"].to_list() == [3.0, 3.0]


def test_slippage_outliers_stand_out_from_this_sessions_own_fills() -> None:
    usual = [{"cl_ord_id": f"u{n}", "at": OPEN, "slippage_bps": 2.0 + n % 3} for n in range(20)]
    fills = table("fills", *usual, {"cl_ord_id": "odd", "at": OPEN, "slippage_bps": 40.0})
    assert review.slippage_outliers(fills)["cl_ord_id"].to_list() == ["odd"]
    assert review.slippage_bound(table("fills")) == review.DEFAULTS.outlier_floor_bps
    alike = table("fills", *[{"cl_ord_id": f"a{n}", "at": OPEN, "slippage_bps": 4.0} for n in range(9)])
    assert review.slippage_outliers(alike).is_empty()


def test_a_strategy_is_poor_only_with_trades_enough() -> None:
    losing = [{"strategy_id": "bad", "net_pnl": -10.0, "r_multiple": -1.0, "outcome": "loser"}] * 5
    few = [{"strategy_id": "young", "net_pnl": -10.0, "r_multiple": -1.0, "outcome": "loser"}] * 4
    good = [{"strategy_id": "good", "net_pnl": 10.0, "r_multiple": 1.0}] * 6
    done = reviewed(*losing, *few, *good)
    assert review.poor_strategies(done)["strategy_id"].to_list() == ["bad"]
    assert "expectancy -1.0 R" in review.poor_strategies(done)["poor"][0]
    assert review.strategies(done)["strategy_id"].to_list() == ["bad", "good", "young"]


def test_risk_blocks_are_counted_by_rule(blank: SessionRecord) -> None:
    def block(rule: str, symbol: str, minute: int, value: str) -> dict[str, Any]:
        return {
            "rule": rule,
            "symbol": symbol,
            "at": OPEN + minute * MINUTE,
            "value": value,
            "limit": "3",
            "cl_ord_id": "x",
        }

    blocks = table(
        "risk_blocks", block("max_trades", "B", 2, "5"), block("max_trades", "A", 1, "4"), block("collar", "A", 1, "9")
    )
    found = rows(review.risk_blocks(over(blank, risk_blocks=blocks)))
    assert [(row["rule"], row["blocks"], row["symbols"]) for row in found] == [
        ("max_trades", 2, "A, B"),
        ("collar", 1, "A"),
    ]
    assert (found[0]["last_value"], found[0]["first_at"]) == ("5", OPEN + MINUTE)


def test_a_symbol_is_often_stopped_out_from_the_second_time_on() -> None:
    stop = {"exit_leg": "stop", "net_pnl": -5.0, "outcome": "loser"}
    done = reviewed({**stop, "symbol": "A"}, {**stop, "symbol": "A"}, {**stop, "symbol": "B"}, {"symbol": "C"})
    assert rows(review.stopped_out(done).select("symbol", "stops", "net_pnl")) == [
        {"symbol": "A", "stops": 2, "net_pnl": -10.0}
    ]


def test_a_time_of_day_is_weak_only_with_trades_enough() -> None:
    lost = {"net_pnl": -5.0, "outcome": "loser"}
    done = reviewed(*[{**lost, "bucket": "10:00"}] * 3, *[{**lost, "bucket": "11:00"}] * 2, {"bucket": "09:30"})
    found = review.time_of_day(done)
    assert found["bucket"].to_list() == ["09:30", "10:00", "11:00"]
    assert found["weak"].to_list() == [False, True, False]


def test_nothing_at_all_is_reviewed_without_complaint(blank: SessionRecord) -> None:
    none = over(blank)
    done = reviewed()
    looked = [
        review.winners_and_losers(done), review.rejected_orders(none), review.partial_fills(none),
        review.slippage_outliers(none["fills"]), review.poor_strategies(done), review.risk_blocks(none),
        review.stopped_out(done), review.time_of_day(done),
    ]  # fmt: skip
    assert len(looked) == 8
    assert all(frame.is_empty() for frame in looked)


# --- missed ------------------------------------------------------------------------------

RAN = bars("RUN", (10.0, 10.0, 10.0, 10.0), (10.0, 10.5, 9.5, 10.4), (10.4, 13.0, 10.4, 12.0), (12.0, 12.0, 11.0, 11.0))


def near_miss(after_min: int = 1, *codes: str) -> market.NearMissSeen:
    failed = tuple(
        FilterVerdict(code=code, passed=False, value=1.0, limit=3.0) for code in codes or ("change", "rel_volume")
    )
    made: market.NearMissSeen = sample(
        market.NearMissSeen, symbol="RUN", at=OPEN + after_min * MINUTE, failed=failed, rank=4
    )
    return made


def passed_over(record: SessionRecord, *events: Event, **more: Any) -> pl.DataFrame:
    return missed(replace(record, events=events), RAN, interval_s=60, zone=ZONE, **more)


def test_a_near_miss_that_ran_is_told_with_what_kept_it_out(blank: SessionRecord) -> None:
    found = passed_over(blank, near_miss())
    row = rows(found)[0]
    assert (row["symbol"], row["stage"], row["condition"]) == ("RUN", "kept out", "change")
    assert row["why"] == (
        "The scan never let RUN through; nearest at 09:31, rank 4: change 1 is under 3; relative volume 1 is under 3."
    )
    assert (row["seen_px"], row["best_px"], row["best_at"]) == (10.0, 13.0, OPEN + 3 * MINUTE)
    assert (row["run_pct"], row["fall_pct"], row["close_pct"]) == pytest.approx((30.0, -5.0, 10.0))
    assert rows(kept_out_by(found)) == [
        {"filter": "change", "symbols": 1, "average_run_pct": pytest.approx(30.0), "which": "RUN"}
    ]


def test_how_far_it_went_counts_from_where_it_came_nearest(blank: SessionRecord) -> None:
    row = rows(passed_over(blank, near_miss(1), near_miss(2, "change"), near_miss(3)))[0]
    assert (row["seen_at"], row["seen_px"], row["fall_pct"]) == (OPEN + 2 * MINUTE, 10.4, 0.0)
    assert row["run_pct"] == pytest.approx(25.0)
    assert row["why"].endswith("nearest at 09:32, rank 4: change 1 is under 3.")


def test_what_was_traded_or_did_not_run_is_not_missed(blank: SessionRecord) -> None:
    assert passed_over(blank, near_miss(), fill("10", "1", symbol="RUN")).is_empty()
    assert passed_over(blank, near_miss(), least_run_pct=31.0).is_empty()
    assert passed_over(blank, near_miss(9)).is_empty()


def test_what_no_scan_was_near_is_missed_only_where_it_ran_clearly(blank: SessionRecord) -> None:
    row = rows(passed_over(blank))[0]
    assert (row["stage"], row["seen_at"], row["seen_px"], row["run_pct"]) == (
        "unknown",
        OPEN,
        10.0,
        pytest.approx(30.0),
    )
    assert passed_over(blank, unseen_run_pct=31.0).is_empty()
    assert kept_out_by(passed_over(blank)).is_empty()


def test_the_furthest_stage_tells_why(blank: SessionRecord) -> None:
    owned = sample(market.AssignmentMade, symbol="RUN", strategy_id="orb-1", at=OPEN)
    row = rows(passed_over(blank, near_miss(), owned))[0]
    assert (row["stage"], row["why"].split(" from ")[0]) == ("owned", "orb-1 owned it")
    row = rows(passed_over(blank, near_miss(), owned, *denied("e1", "price_collar", symbol="RUN")))[0]
    assert (row["stage"], row["condition"]) == ("denied", "price_collar")


# --- recommendations and stores ------------------------------------------------------------------------------


def looked(record: SessionRecord, done: pl.DataFrame, found: pl.DataFrame | None = None) -> Looked:
    return Looked(
        record,
        done,
        found if found is not None else missed(over(record), RAN, interval_s=60, zone=ZONE, unseen_run_pct=99.0),
    )


def test_an_empty_day_recommends_nothing_and_says_how_it_looked(blank: SessionRecord) -> None:
    day = looked(over(blank), reviewed())
    assert recommend(day) == ()
    assert (
        summary((), day) == f"nothing to recommend: {len(RULES)} rules over 0 trades and 0 missed symbols found nothing"
    )


def test_each_recommendation_names_its_evidence_and_sample(blank: SessionRecord) -> None:
    stop = {
        "exit_leg": "stop",
        "net_pnl": -50.0,
        "r_multiple": -1.5,
        "outcome": "loser",
        "symbol": "A",
        "bucket": "10:00",
    }
    back = {"mfe_r": 2.0, "capture": 0.1, "net_pnl": 1.0, "symbol": "B", "bucket": "11:00"}
    done = reviewed(*[stop] * 5, *[back] * 3)
    fills = table(
        "fills",
        *[{"at": OPEN, "symbol": "A", "slippage_bps": 2.0}] * 9,
        {"at": OPEN, "symbol": "C", "slippage_bps": 90.0},
    )
    blocks = table("risk_blocks", *[{"rule": "collar", "symbol": "D", "at": OPEN, "cl_ord_id": "x"}] * 3)
    orders = table("orders", {"status": "rejected", "symbol": "E", "reason": "not shortable", "intended_at": OPEN})
    record = over(blank, fills=fills, risk_blocks=blocks, orders=orders)
    found = recommend(looked(record, done))
    assert {r.rule for r in found} == {
        "poor_strategy", "stopped_out", "stops_beyond_risk", "given_back", "time_of_day", "slippage", "rejections",
        "risk_blocks",
    }  # fmt: skip
    assert all(r.evidence and r.sample and r.action and r.title for r in found)
    assert found == recommend(looked(record, done))


def test_a_strategy_that_owns_and_never_asks_is_named(blank: SessionRecord) -> None:
    owned = table("assignments", *[{"symbol": s, "strategy_id": "test-1", "at": OPEN} for s in "ABC"])
    assert [r.rule for r in recommend(looked(over(blank, assignments=owned), reviewed()))] == ["idle_strategy"]


def test_the_four_stores_hold_notes_and_what_happened(blank: SessionRecord) -> None:
    notes = table(
        "notes",
        *[{"kind": k, "text": k, "by": "ada", "at": OPEN} for k in ("incident", "operator", "override", "improvement")],
    )
    halts = table(
        "halts",
        {"scope": "book", "what": "HALTED", "code": "max_daily_loss", "reason": "loss", "by": "risk", "at": OPEN},
    )
    commands = table(
        "commands",
        {"command": "pause", "accepted": True, "reason": "news", "operator": "ada", "at": OPEN},
        {"command": "pause", "accepted": False, "reason": "again", "operator": "ada", "at": OPEN},
        {"command": "add_note", "accepted": True, "reason": "note", "operator": "ada", "at": OPEN},
    )
    record = over(blank, notes=notes, halts=halts, commands=commands)
    assert stores.incidents(record)["what"].to_list() == ["incident", "book: HALTED (loss)"]
    assert stores.operator_notes(record)["what"].to_list() == ["operator"]
    assert stores.manual_overrides(record)["what"].to_list() == ["override", "pause: news"]
    assert stores.improvements(record, ())["what"].to_list() == ["improvement"]
    assert stores.unexplained(record) == 0
    assert stores.unexplained(over(blank, halts=halts)) == 1
