"""The tables: what each row says, in which order, and what an empty one says."""

from typing import Any
from zoneinfo import ZoneInfo

from dashboards.reading import Reading
from dashboards.view_models import desk, market_tables, platform_tables, trading_tables
from dashboards.view_models.page import page_view
from dashboards.view_models.tables import cell
from dashboards.view_models.verdict import judge
from qmworkbench.domain.events.reconciliation import MONEY_KINDS
from qmworkbench.service.chronicle import DENIALS_KEPT, FILLS_KEPT, VIOLATIONS_KEPT
from qmworkbench.service.view_rows import ORDERS_KEPT
from tests.dashboards import scenarios
from tests.dashboards.readings import reading

NEW_YORK = ZoneInfo("America/New_York")


def texts(row: dict[str, Any]) -> list[str]:
    return [each if isinstance(each, str) else each["text"] for each in row["cells"]]


def cell_of(table: dict[str, Any], row: int, label: str) -> Any:
    labels = [column["label"] for column in table["columns"]]
    return table["rows"][row]["cells"][labels.index(label)]


def positions(given: Reading) -> dict[str, Any]:
    return trading_tables.positions(given, judge(given), NEW_YORK)


def orders(given: Reading) -> dict[str, Any]:
    return trading_tables.orders(given, judge(given), NEW_YORK)


def test_a_position_says_how_far_stop_and_target_are() -> None:
    table = positions(reading())
    assert texts(table["rows"][0]) == [
        "NVDA", "orb-1", "42", "234.90", "236.54", "+68.88", "233.10 · 1.5%", "238.50 · 0.8%", "10:17",
    ]  # fmt: skip
    assert texts(table["rows"][2])[7] == "–"
    assert table["note"] == "3 open positions"
    snapshot = scenarios.day()
    snapshot["positions"].append(snapshot["positions"][0] | {"strategy_id": "donchian-1"})
    assert positions(reading(snapshot))["note"] == "4 open positions in 3 symbols", "the limit counts symbols"


def test_distances_of_a_short_position_run_the_other_way() -> None:
    snapshot = scenarios.day()
    snapshot["positions"] = [
        snapshot["positions"][0] | {"qty": "-42", "mark_px": "100", "stop_px": "102", "target_px": "95"}
    ]
    row = texts(positions(reading(snapshot))["rows"][0])
    assert (row[2], row[6], row[7]) == ("−42", "102.00 · 2.0%", "95.00 · 5.0%")


def test_a_level_that_is_reached_is_told() -> None:
    snapshot = scenarios.day()
    snapshot["positions"][0]["mark_px"] = "233.00"
    stop = cell_of(positions(reading(snapshot)), 0, "Stop")
    assert (stop["text"], stop["tone"]) == ("233.10 · reached", "warn")


def test_a_position_without_a_mark_has_levels_and_no_distances() -> None:
    snapshot = scenarios.day()
    snapshot["positions"][0] |= {"mark_px": None, "unrealized_pnl": None, "exit_wanted": "stop"}
    row = texts(positions(reading(snapshot))["rows"][0])
    assert row[1] == "leaving: stop"
    assert row[4:8] == ["–", "–", "233.10", "238.50"]


def test_a_position_that_was_carried_says_since_which_day() -> None:
    snapshot = scenarios.day()
    snapshot["positions"][0] |= {"opened_at": "2018-03-01T15:00:00Z", "pips": "-0.5"}
    table = positions(reading(snapshot))
    assert texts(table["rows"][0])[-1] == "Thu 10:00"
    assert cell_of(table, 0, "Unrealized")["text"] == "+68.88 · −0.5 pips"


def test_of_more_than_the_platform_tells_the_rest_is_at_least() -> None:
    """What it keeps of a long day is no count of the day."""
    kept = (trading_tables.ENDED_ORDERS_TOLD, trading_tables.FILLS_TOLD)
    assert kept == (ORDERS_KEPT, FILLS_KEPT)
    kept = (platform_tables.DENIALS_TOLD, platform_tables.VIOLATIONS_TOLD)
    assert kept == (DENIALS_KEPT, VIOLATIONS_KEPT)
    snapshot = scenarios.day()
    ended = next(order for order in snapshot["orders"] if order["status"] == "filled")
    snapshot["orders"] = [ended | {"cl_ord_id": f"qm-{n}"} for n in range(ORDERS_KEPT)]
    snapshot["fills"] = [snapshot["fills"][0] | {"exec_id": f"x{n}"} for n in range(FILLS_KEPT)]
    snapshot["risk"]["denials"] = [{"symbol": f"S{n}"} for n in range(DENIALS_KEPT)]
    snapshot["risk"]["violations"] = [{"code": "max_daily_loss"} for _ in range(VIOLATIONS_KEPT)]
    long, short = page_view(reading(snapshot), NEW_YORK), page_view(reading(), NEW_YORK)
    for name in ("orders", "fills", "denials", "risk"):
        assert long[name]["at_least"] is True, name
        assert long[name]["more"] > 0, name
        assert short[name]["at_least"] is False, name


def test_open_orders_come_first_and_ended_ones_are_cut() -> None:
    table = orders(reading())
    statuses = [texts(row)[5] for row in table["rows"]]
    assert statuses[:6] == ["Accepted", "Accepted", "Accepted", "Partially filled", "Accepted", "Submitted"]
    assert len(statuses) == 6 + trading_tables.ENDED_ORDERS_SHOWN
    assert table["more"] == 3
    assert table["note"] == "6 open"
    assert [row["tone"] for row in table["rows"]] == [""] * 6 + ["dim"] * 6


def test_an_order_in_doubt_is_red_and_counted() -> None:
    snapshot = scenarios.day()
    snapshot["orders"][5]["status"] = "unknown"
    table = orders(reading(snapshot))
    assert table["note"] == "6 open, 1 in doubt"
    assert cell_of(table, 5, "Status") == {"text": "Unknown", "tone": "bad", "chip": True}


def test_every_open_order_is_shown_however_many() -> None:
    snapshot = scenarios.day()
    live = [snapshot["orders"][0] | {"cl_ord_id": f"o{n}"} for n in range(60)]
    table = orders(reading(snapshot | {"orders": [*live, *snapshot["orders"][6:]]}))
    assert sum(texts(row)[5] == "Accepted" for row in table["rows"]) == 60


def test_what_an_order_asked_and_got() -> None:
    table = orders(reading())
    assert [texts(row)[4] for row in table["rows"]][:4] == [
        "stop 233.10",
        "limit 238.50",
        "stop 11.98",
        "limit 12.52 @ 12.52",
    ]
    assert cell_of(table, 7, "Price") == "market @ 184.30"
    assert cell_of(table, 6, "Reason") == "position_notional: 12002.00 (limit 10000)"


def test_fills_and_trades() -> None:
    given = reading()
    fills = trading_tables.fills(given, judge(given), NEW_YORK)
    assert texts(fills["rows"][0]) == ["12:48:01", "AMD", "sell", "80", "12.52", "0.42", "−1.2 bps", "+28.80"]
    assert texts(fills["rows"][1])[-1] == "–"
    trades = trading_tables.trades(given, judge(given), NEW_YORK)
    assert texts(trades["rows"][0]) == ["12:38", "TWTR", "300", "32.80", "33.21", "+121.60", "+1.42R", "Target"]
    assert trades["note"] == "8 trades, 5 won"


def test_the_radar_shows_25_with_candidates_marked() -> None:
    given = reading()
    table = market_tables.radar(given, judge(given))
    assert len(table["rows"]) == 25
    assert texts(table["rows"][0]) == [
        "1",
        "▼3",
        "NVDA ●",
        "236.54",
        "+4.80%",
        "+1.20%",
        "3.4×",
        "+1.1%",
        "",
        "2.40B",
        "2.61",
    ]
    assert cell_of(table, 0, "Range") == {"text": "", "hint": "97% of the range", "pct": 97.0}
    assert table["note"] == "4 candidates"
    unknown = next(row for row in table["rows"] if row["key"] == "JD")
    assert texts(unknown)[6] == "–"


def test_the_watchlist_keeps_its_times_and_sinks_what_is_over() -> None:
    given = reading()
    table = market_tables.watchlist(given, judge(given), NEW_YORK)
    states = [texts(row)[1] for row in table["rows"]]
    assert states == ["Entered", "Entered", "Entered", "Assigned", "Found", "Closed", "Blocked", "Expired"]
    assert texts(table["rows"][5]) == ["QCOM", "Closed", "09:52", "09:52", "10:01", "10:28", "10:28", "orb-1: stop"]
    assert table["note"] == "5 active, 3 ended"


def test_only_what_is_alive_can_be_dropped() -> None:
    given = reading()
    table = market_tables.watchlist(given, judge(given), NEW_YORK)
    offered = {row["key"]: [action["form"] for action in row["actions"]] for row in table["rows"]}
    assert offered["TWTR"] == ["drop", "block"]
    assert offered["QCOM"] == []


def test_health_is_worst_first_with_what_is_wrong() -> None:
    table = platform_tables.health(reading(*scenarios.red_platform()))
    assert [row["key"] for row in table["rows"]][:3] == ["execution_broker", "analytics", "api"]
    assert table["rows"][0]["below"] == "connection refused"
    assert table["rows"][2]["below"] == ""
    assert table["note"] == "2 of 10 not healthy"
    assert texts(table["rows"][0]) == ["Execution broker", "failed", "1.1 ms", "1 min ago"]


def test_a_component_that_never_worked() -> None:
    report = scenarios.health()
    report["components"][0] |= {"status": "failed", "last_success": None, "latency_ms": None, "detail": "not started"}
    table = platform_tables.health(reading(health=report))
    assert texts(table["rows"][0]) == ["API", "failed", "–", "never"]


def test_a_status_nobody_knows_comes_first() -> None:
    report = scenarios.health()
    report["components"][5]["status"] = "confused"
    table = platform_tables.health(reading(health=report))
    assert table["rows"][0]["key"] == "scanner"
    assert cell_of(table, 0, "Status")["tone"] == "bad"


def test_risk_limits_and_denials() -> None:
    given = reading(scenarios.daily_loss())
    table = platform_tables.risk(given, judge(given))
    assert [texts(row)[:3] for row in table["rows"]] == [
        ["Daily loss", "1,012.40", "1,000.00"],
        ["Trades today", "11", "30"],
        ["Open positions", "3", "10"],
        ["Submits, last minute", "2", "60"],
    ]
    assert table["rows"][0]["cells"][3] == {"text": "", "tone": "bad", "hint": "101%", "pct": 100.0}
    denials = platform_tables.denials(given, NEW_YORK)
    assert texts(denials["rows"][0]) == ["12:21:00", "AMZN", "orb-1", "position_notional: 12002.00 (limit 10000)"]


def test_a_block_from_the_limits_file_cannot_be_lifted_here() -> None:
    snapshot = scenarios.day()
    snapshot["risk"]["blocked"].append(
        {"symbol": "GME", "scope": "permanent", "by": "limits", "reason": "", "at": None}
    )
    rows = platform_tables.blocked(reading(snapshot))["rows"]
    assert [(row["key"], [action["form"] for action in row["actions"]]) for row in rows] == [
        ("TSLA", ["unblock"]),
        ("GME", []),
    ]


def test_runs_phases_and_reconciliation() -> None:
    given = reading(scenarios.daily_loss())
    runs = platform_tables.runs(given, NEW_YORK, judge(given))
    assert texts(runs["rows"][0]) == ["orb-1", "HALTED – entries blocked, exits running", "6", "13:02"]
    assert runs["rows"][0]["actions"] == []
    phases = platform_tables.phases(given, NEW_YORK)
    assert texts(phases["rows"][4])[:2] == ["Market session", "09:29:12"]
    assert phases["rows"][4]["cells"][0]["tone"] == "mark"
    assert (texts(phases["rows"][5])[1], phases["rows"][5]["tone"]) == ("–", "dim")
    agreed = platform_tables.reconciliation(given, NEW_YORK)
    assert (agreed["note"], agreed["note_tone"]) == ("clean at 13:00:00 (continuous)", "ok")
    assert agreed["empty"] == "Our books and the broker's agree: no break."


def test_the_worse_of_book_and_strategy_is_shown() -> None:
    snapshot = scenarios.emergency()
    snapshot["runs"][0] |= {"state": "active", "shown": "ACTIVE"}
    given = reading(snapshot)
    state = platform_tables.runs(given, NEW_YORK, judge(given))["rows"][0]["cells"][1]
    assert (state["text"], state["hint"]) == (scenarios.HALTED, "the book; by itself ACTIVE")


def test_an_unresolved_break_shows_both_sides() -> None:
    table = platform_tables.reconciliation(reading(scenarios.mismatch()), NEW_YORK)
    assert texts(table["rows"][0])[:5] == ["P0", "AMD", "Position quantity", "820", "900"]
    assert table["note_tone"] == "bad"
    assert table["rows"][0]["actions"] == [], "a position follows the broker's books: nobody accepts one"


def test_a_difference_in_money_may_be_accepted_and_no_other() -> None:
    assert set(MONEY_KINDS) == platform_tables.MONEY_BREAKS, "what the platform would refuse is not offered"
    snapshot = scenarios.mismatch()
    cash = snapshot["reconciliation"]["unresolved"][0] | {"kind": "cash", "symbol": "", "break_id": "b-cash"}
    snapshot["reconciliation"]["unresolved"].append(cash)
    given = reading(snapshot)
    (button,) = platform_tables.reconciliation(given, NEW_YORK)["rows"][1]["actions"]
    assert (button["form"], button["label"], button["value"]) == ("accept", "Accept", "b-cash")
    shown = desk.desk(given, NEW_YORK)
    assert shown["money"] == [{"value": "b-cash", "label": "Cash: ours 820, the broker's 900"}]
    assert shown["offers"]["accept"] == ""
    assert desk.desk(reading(), NEW_YORK)["offers"]["accept"] == "no difference in money is open"


def test_reconciliation_that_proves_nothing_does_not_say_clean() -> None:
    snapshot = scenarios.day()
    snapshot["reconciliation"]["result"] = "incomplete"
    table = platform_tables.reconciliation(reading(snapshot), NEW_YORK)
    assert "nothing was concluded" in table["empty"]
    assert (
        platform_tables.reconciliation(reading(scenarios.empty()), NEW_YORK)["empty"]
        == "Not compared with the broker yet."
    )


def test_every_table_says_something_when_it_is_empty() -> None:
    view = page_view(reading(scenarios.empty()), NEW_YORK)
    tables = [each for each in view.values() if isinstance(each, dict) and "columns" in each]
    assert len(tables) == 14
    assert all(table["rows"] or table["empty"] for table in tables)


def test_rows_have_as_many_cells_as_columns_and_keys_of_their_own() -> None:
    for snapshot in (scenarios.day(), scenarios.daily_loss(), scenarios.emergency(), scenarios.mismatch()):
        for name, table in page_view(reading(snapshot), NEW_YORK).items():
            if isinstance(table, dict) and "columns" in table:
                keys = [row["key"] for row in table["rows"]]
                assert len(keys) == len(set(keys)), name
                assert {len(row["cells"]) for row in table["rows"]} <= {len(table["columns"])}, name


def test_a_plain_cell_is_plain() -> None:
    assert cell("x") == "x"
    assert cell("", pct=140.0) == {"text": "", "pct": 100.0}


def test_a_pair_says_how_many_pips_it_is_ahead() -> None:
    snapshot = scenarios.day()
    snapshot["positions"][0] |= {"pips": "12.5"}
    assert texts(positions(reading(snapshot))["rows"][0])[5] == "+68.88 · +12.5 pips"


def test_rows_offer_what_may_be_done_with_them() -> None:
    table = trading_tables.orders(reading(), judge(reading()), NEW_YORK)
    stop = next(row for row in table["rows"] if row["key"] == "qm-nvda-stop-47")
    assert [(each["form"], each["value"]) for each in stop["actions"]] == [
        ("cancel", "qm-nvda-stop-47"), ("replace", "qm-nvda-stop-47"),
    ]  # fmt: skip
    sent = next(row for row in table["rows"] if any(cell_text(cell) == "Submitted" for cell in row["cells"]))
    assert [each["form"] for each in sent["actions"]] == ["cancel"], "nobody knows yet whether the broker has it"
    held = trading_tables.positions(reading(), judge(reading()), NEW_YORK)["rows"][0]
    assert [(each["form"], each["value"]) for each in held["actions"]] == [("close", "orb-1|NVDA")]
    given = reading(scenarios.stopped_strategy())
    runs = platform_tables.runs(given, NEW_YORK, judge(given))["rows"]
    assert [[each["form"] for each in row["actions"]] for row in runs] == [["stop"], ["restart"]]
    assert "stopped by oms at 12:58:00: BABA: filled 120 of 60" in runs[1]["below"]
    assert "1 order in doubt" in runs[1]["below"]


def cell_text(cell: Any) -> str:
    return cell if isinstance(cell, str) else str(cell["text"])


def test_a_day_of_thousands_of_trades_is_shown_no_slower() -> None:
    """frequi #517: a 10 s timeout with 160 trades. What is drawn does not grow with the day."""
    snapshot = scenarios.day()
    snapshot["trades"] = snapshot["trades"] * 800
    snapshot["orders"] = snapshot["orders"] + snapshot["orders"][-1:] * 5000
    given = reading(snapshot)
    assert len(trading_tables.trades(given, judge(given), NEW_YORK)["rows"]) == trading_tables.TRADES_SHOWN
    assert len(trading_tables.orders(given, judge(given), NEW_YORK)["rows"]) < 30


def test_a_breached_limit_stays_on_the_page() -> None:
    snapshot = scenarios.daily_loss()
    effect = "entries are blocked, exits go on"
    found = {"at": scenarios.minute(209), "code": "max_daily_loss", "scope": "book", "symbol": "", "effect": effect}
    snapshot["risk"]["violations"] = [found | {"value": "1012.40", "limit": "1000"}]
    given = reading(snapshot)
    last = platform_tables.risk(given, judge(given))["rows"][-1]
    assert texts(last)[:3] == ["Max daily loss", "1012.40", "1000"]
    assert last["below"] == effect
