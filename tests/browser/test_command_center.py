"""The command center in a real Chromium, over a scripted Core API: what an operator sees and does (§9, §10, §11, §15).

The ``page`` fixture fails every test whose page asks for anything outside this machine or logs an error.
"""

import re
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.dashboards import scenarios
from tests.dashboards.fake_core_api import FakeCoreApi
from tests.dashboards.page_process import PageProcess

pytestmark = pytest.mark.browser

PATIENCE_MS = 120_000
expect.set_options(timeout=PATIENCE_MS)


class Stage:
    """One running page process over one fake platform; `set` puts up a scenario."""

    def __init__(self, book: Path) -> None:
        self.book = book
        self.api = FakeCoreApi(scenarios.day(), scenarios.health())
        self.api.write_api_json(book)
        self.served = PageProcess("--book-dir", str(book))

    def reset(self) -> None:
        self.api.mode = "ok"
        self.api.answer.clear()
        self.api.commands.clear()
        self.set(scenarios.day())

    def set(self, snapshot: dict[str, Any], health: dict[str, Any] | None = None) -> None:
        self.api.health = health or scenarios.health()
        self.api.show(snapshot)

    def close(self) -> None:
        if self.served.process.poll() is None:
            self.served.stop()
        self.api.close()


@pytest.fixture(scope="module")
def whole_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("book"))
    yield stage
    stage.close()


@pytest.fixture
def stage(whole_stage: Stage) -> Stage:
    whole_stage.reset()
    return whole_stage


@pytest.fixture
def opened(page: Page, stage: Stage) -> Callable[[], Page]:
    """Opens the page and waits until it is drawn."""

    def go() -> Page:
        page.set_default_timeout(PATIENCE_MS)
        until(lambda: stage.api.known == stage.api.snapshot["version"])  # the page's server has what is to be shown
        page.goto(stage.served.url)
        expect(state(page)).to_be_visible()
        expect(page.locator(".em-button")).to_be_visible()
        expect(veil(page)).to_be_hidden()
        return page

    return go


def state(page: Page) -> Locator:
    return page.locator("#trading-state .shown")


def veil(page: Page) -> Locator:
    return page.locator("#qm-veil")


def shows(target: Locator, *texts: str) -> None:
    """These texts, in this order, with whatever lines between them."""
    expect(target).to_contain_text(re.compile(".*".join(map(re.escape, texts)), re.DOTALL))


def region(page: Page, label: str) -> Locator:
    return page.locator(f'section[aria-label="{label}"]')


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


# --- what is shown --------------------------------------------------------------------------------------------------


def test_the_signals_say_what_speaks_and_what_has_not_seen_enough(opened: Callable[[], Page], stage: Stage) -> None:
    panel = region(opened(), "Analytics signals")
    shows(panel, "1 speaks", "Repeated failed entries", "speaks", "2 stopped out at once", "too few", "4 of 5")
    snapshot = scenarios.day(version=41)
    scenarios.unseen(snapshot)
    stage.set(snapshot)
    shows(panel, "not looked at yet", "none yet", "no entry yet")


def test_a_condition_that_must_halt_stands_above_all_and_its_resume_says_what_is_missing(
    opened: Callable[[], Page], stage: Stage
) -> None:
    snapshot, report = scenarios.must_halt()
    stage.set(snapshot, report)
    page = opened()
    banner = page.locator(".notice.banner")
    shows(
        banner, "Must halt: data quality severely degraded", "market data is stale for 305 s", "Do:", "check the feed"
    )
    expect(state(page)).to_have_text(scenarios.REDUCING)
    region(page, "Commands").get_by_role("button", name="Resume", exact=True).click()
    form = page.locator('form[aria-label="Resume after a halt"]')
    shows(form, "Incident cause understood", "it still stands", "✗ Broker state reconciled", "no reconciliation has")
    form.locator("input[name=incident]").fill("a dead feed")
    for box in form.locator("input[type=checkbox]").all():
        box.check()
    form.locator("input[name=reason]").fill("the feed is back")
    form.locator("input[name=operator]").fill("ana")
    form.get_by_role("button", name="Resume", exact=True).click()
    until(lambda: bool(stage.api.commands))
    given = stage.api.commands[-1]["command"]
    assert given == {
        "command": "resume", "reason": "the feed is back", "incident": "a dead feed", "cause_understood": True,
        "internal_state_repaired": True, "risk_controls_verified": True,
    }  # fmt: skip


def test_an_order_a_position_and_a_strategy_are_handled_from_their_rows(
    opened: Callable[[], Page], stage: Stage
) -> None:
    snapshot = scenarios.stopped_strategy()
    cash = {"break_id": "b-cash", "kind": "cash", "symbol": "", "before": "1", "after": "2", "severity": "P1"}
    snapshot["reconciliation"] |= {"result": "unresolved", "breaks": 1, "unresolved": [cash]}
    stage.set(snapshot)
    page = opened()

    def give(label: str, reason: str, **fields: str) -> dict[str, Any]:
        count = len(stage.api.commands)
        page.get_by_role("button", name=label, exact=True).first.dispatch_event("click")
        form = page.locator("form.desk-form")
        for name, value in fields.items():
            form.locator(f"input[name={name}]").fill(value)
        form.locator("input[name=reason]").fill(reason)
        if form.locator("input[name=operator]").count():
            form.locator("input[name=operator]").fill("ana")
        form.locator("button.go").click()
        until(lambda: len(stage.api.commands) > count)
        command: dict[str, Any] = stage.api.commands[-1]["command"]
        return command

    assert give("Replace NVDA", "tighter", stop_px="234.50") == {
        "command": "replace_order", "cl_ord_id": "qm-nvda-stop-47", "stop_px": "234.50", "reason": "tighter",
    }  # fmt: skip
    assert give("Cancel NVDA", "by hand")["cl_ord_id"] == "qm-nvda-stop-47"
    assert give("Accept Cash", "a deposit") == {
        "command": "accept_break", "break_id": "b-cash", "reason": "a deposit",
    }  # fmt: skip
    assert give("Close AMD", "enough") == {
        "command": "close_position", "strategy_id": "orb-1", "symbol": "AMD", "reason": "enough",
    }  # fmt: skip
    assert give("Restart donchian-1", "fixed") == {
        "command": "restart_strategy", "strategy_id": "donchian-1", "reason": "fixed",
    }  # fmt: skip


def test_a_form_stays_with_what_was_chosen_when_that_ends(opened: Callable[[], Page], stage: Stage) -> None:
    """An order fills while its cancel is being typed: no other order may slip into its place, in any order of rows."""
    snapshot = scenarios.day()
    stage.set(snapshot)
    page = opened()
    page.get_by_role("button", name="Cancel AMD", exact=True).first.dispatch_event("click")
    form = page.locator("form.desk-form")
    chosen = form.locator("select[name=cl_ord_id]")
    amd = next(order for order in snapshot["orders"] if order["symbol"] == "AMD" and order["leaves_qty"] != "0")
    expect(chosen).to_have_value(amd["cl_ord_id"])
    form.locator("input[name=reason]").fill("by hand")
    form.locator("input[name=operator]").fill("ana")
    # One before it ends: it moves up and stays chosen.
    before = next(order for order in snapshot["orders"] if order["symbol"] == "NVDA" and order["leaves_qty"] != "0")
    fewer = [order for order in snapshot["orders"] if order is not before]
    stage.set(snapshot | {"orders": fewer})
    expect(chosen.locator(f'option[value="{before["cl_ord_id"]}"]')).to_have_count(0)
    expect(chosen).to_have_value(amd["cl_ord_id"])
    # It ends itself: still chosen, told to be gone, and not sent.
    stage.set(snapshot | {"orders": [order for order in fewer if order is not amd]})
    expect(chosen.locator("option:checked")).to_contain_text("AMD")
    expect(chosen.locator("option:checked")).to_contain_text("(no longer there)")
    form.locator("button.go").click()
    shows(form, "is no longer there: choose another, or cancel.")
    assert not stage.api.commands
    # It comes back, as after a refused replace: it can be sent.
    stage.set(snapshot)
    expect(chosen.locator("option:checked")).not_to_contain_text("no longer there")
    form.locator("button.go").click()
    until(lambda: len(stage.api.commands) > 0)
    assert stage.api.commands[0]["command"]["cl_ord_id"] == amd["cl_ord_id"]


def test_two_hundred_alerts_leave_the_commands_in_reach(opened: Callable[[], Page], stage: Stage) -> None:
    snapshot = scenarios.day()
    snapshot["alerts"] = [scenarios.alert("P1", f"kind_{n}", "an order was rejected", "see why") for n in range(200)]
    snapshot["account"] |= {"equity": "-1234567890.12", "buying_power": "493827156049.36", "currency": "JPY"}
    snapshot["risk"]["daily_loss"] = {"used": "98765432.10", "limit": "100000000.00", "pct": 98.77}
    double = snapshot["watchlist"][0] | {"reason": "the same symbol a second time"}
    snapshot["watchlist"] = [snapshot["watchlist"][0], double]
    stage.set(snapshot)
    page = opened()
    page.set_viewport_size({"width": 1440, "height": 900})
    shows(region(page, "Alerts"), "200 open: 200 P1", "194 more")
    box = region(page, "Commands").get_by_role("button", name="Pause", exact=True).bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 900, "the commands have to be on the first screen"
    # Of two rows with one key neither is lost, at later changes either.
    for n in range(2):
        stage.set(snapshot | {"silenced": f"round {n}"})
        shows(page.locator(".notices"), f"round {n}")
        expect(region(page, "Active Strategy Watchlist").locator("tbody tr")).to_have_count(2)
    page.set_viewport_size({"width": 390, "height": 844})
    until(lambda: page.evaluate("innerWidth") == 390)
    cut_off = (
        "() => { const all = (root) => [...root.querySelectorAll('*')].flatMap((each) => "
        "[each, ...(each.shadowRoot ? all(each.shadowRoot) : [])]); "
        "return all(document).filter((each) => each.classList.contains('card') && each.scrollWidth > each.clientWidth)"
        ".length; }"
    )
    assert page.evaluate(cut_off) == 0, "a figure is cut off"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_halt_is_shown_in_full_words_at_every_load(opened: Callable[[], Page], stage: Stage) -> None:
    """An update written once was lost in most loads of an earlier trial: the state is drawn from the start."""
    stage.set(scenarios.daily_loss())
    page = opened()
    for _ in range(3):
        page.reload()
        expect(state(page)).to_have_text(scenarios.REDUCING)
        expect(page).to_have_title(f"{scenarios.REDUCING} · LOCAL · QuantMatrix")


def test_the_essentials_fit_on_a_desk_and_a_red_platform_marks_them(opened: Callable[[], Page], stage: Stage) -> None:
    page = opened()
    for label in ("Positions", "Orders", "Momentum Radar", "System health", "Commands", "Alerts", "Equity"):
        box = region(page, label).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 900, label
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440
    cut = "e => e.scrollWidth > e.clientWidth + 1"
    for each in page.locator(".card, .badge, .layer, .scroll").all():
        assert not each.evaluate(cut), each.inner_text()
    stage.set(*scenarios.red_platform())
    shows(page.locator(".layers"), "Platform", "failed", "Strategies", "unreliable", "Portfolio", "unreliable")
    cards = page.locator(".card")
    expect(cards).to_have_count(8)
    expect(cards.filter(has_text="unreliable")).to_have_count(8)
    for label in ("Positions", "Orders", "Momentum Radar", "Recent fills", "Closed trades", "Risk limits"):
        shows(region(page, label).locator("header"), "unreliable")
    health = region(page, "System health").locator("tbody tr")
    shows(health.first, "Execution broker")
    shows(health.nth(1), "connection refused")


def test_the_page_works_on_a_phone(opened: Callable[[], Page], stage: Stage, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    stage.set(scenarios.daily_loss())
    page = opened()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    button = page.locator(".em-button").bounding_box()
    assert button is not None
    assert 0 <= button["y"] <= 844 - button["height"]
    assert button["height"] >= 44
    for label in ("Decision required",):
        box = page.locator(f'form[aria-label="{label}"]').bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 844


def test_a_book_without_a_session_and_a_closed_one(opened: Callable[[], Page], stage: Stage) -> None:
    stage.set(scenarios.empty())
    page = opened()
    shows(region(page, "No session yet"), "has not opened a session")
    expect(page.get_by_role("button", name="Pause")).to_be_disabled()
    snapshot, events = scenarios.closed()
    stage.api.events = events
    stage.set(snapshot)
    shows(region(page, "Session 2018-03-02 is closed"), "Net P&L", "+412.87", "GO", "Preflight pre-market")


# --- the emergency ---------------------------------------------------------------------------------------------------


def test_the_emergency_from_the_keyboard_posts_one_command(opened: Callable[[], Page], stage: Stage) -> None:
    stage.api.answer["emergency"] = (200, {"accepted": True, "effect": "emergency e1: entries stopped"})
    page = opened()
    page.keyboard.press("Alt+Shift+KeyE")
    panel = page.get_by_role("dialog", name="Emergency Liquidate & Halt")
    shows(panel, "Cancel 6 open orders, close 3 positions (NVDA 42, AMD 820, BABA 54).")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    shows(panel, "Accepted")
    shows(panel, "emergency e1: entries stopped")
    stage.set(scenarios.emergency(2))
    shows(panel, "Liquidating: 2 of 3 flat")
    expect(state(page)).to_have_text(scenarios.HALTED)
    shows(region(page, "Emergency"), "NVDA", "flat", "BABA", "close sent")
    stage.set(scenarios.emergency(3, done=True))
    shows(panel, "remains HALTED – only liquidation may pass")
    shows(region(page, "Emergency"), "Flat at the broker since 13:02:31", f"remains {scenarios.HALTED}")
    (command,) = stage.api.commands
    assert command["command"] == {"command": "emergency", "reason": "Execution behavior is unsafe"}
    assert command["origin"] == "command center"
    assert command["state_version"] == stage.api.snapshot["version"] - 2


def test_the_emergency_takes_two_steps_and_a_reason(opened: Callable[[], Page], stage: Stage) -> None:
    page = opened()
    page.locator(".em-button").click()
    confirm = page.get_by_role("button", name="Liquidate & halt now")
    confirm.click()
    shows(page.get_by_role("dialog"), "Pick a reason or type one.")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.locator(".em-button").click()
    page.get_by_label("In your words").fill("fills do not match")
    page.get_by_label("Your name").last.fill("ana")
    confirm.dblclick()
    shows(page.get_by_role("dialog"), "Accepted")
    (command,) = stage.api.commands
    assert command["operator"] == "ana"
    assert command["command"]["reason"] == "fills do not match"


def test_the_emergency_is_tried_again_while_nobody_answers(opened: Callable[[], Page], stage: Stage) -> None:
    page = opened()
    stage.api.stop()
    expect(veil(page)).to_be_visible()
    page.locator(".em-button").click()  # above the veil
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    shows(page.get_by_role("dialog"), "qm emergency --direct")
    assert stage.api.commands == []
    stage.api.start()
    shows(page.get_by_role("dialog"), "Accepted")
    assert len(stage.api.commands) == 1


# --- other commands --------------------------------------------------------------------------------------------------


def test_commands_are_signed_give_a_reason_and_show_their_answers(opened: Callable[[], Page], stage: Stage) -> None:
    stage.api.answer["pause"] = (200, {"accepted": True, "effect": scenarios.REDUCING})
    page = opened()
    desk = region(page, "Commands")
    desk.get_by_role("button", name="Pause", exact=True).click()
    form = desk.get_by_role("form", name="Pause entries")
    form.get_by_role("button", name="Pause entries").click()
    shows(form, "Give your name")
    form.get_by_label("Your name").fill("ana")
    form.get_by_role("button", name="Pause entries").click()
    shows(form, "Say why")
    form.get_by_label("Reason").fill("lunch")
    page.keyboard.press("Enter")
    shows(desk, "Accepted Pause")
    shows(desk, scenarios.REDUCING)
    command = stage.api.commands[0]
    assert (command["operator"], command["command"]) == ("ana", {"command": "pause", "reason": "lunch"})
    # The name was asked for once; what is typed survives updates; a refusal comes with its remedy.
    refusal = {"accepted": False, "reason": "QCOM is over already", "remedy": "see the watchlist"}
    stage.api.answer["block"] = (409, refusal)
    page.locator('tr:has-text("QCOM")').first.hover()
    page.get_by_role("button", name="Block QCOM").first.click()
    form = desk.get_by_role("form", name="Block a symbol")
    expect(form.get_by_label("Symbol")).to_have_value("QCOM")
    shows(form, "Signed ana")
    form.get_by_label("Reason").press_sequentially("halts ")
    stage.set(scenarios.stale_feed()[0])
    shows(page.locator(".notices"), "Scanner silent")
    page.keyboard.type("pending")
    form.get_by_label("For").select_option("permanent")
    form.get_by_role("button", name="Block").click()
    shows(desk, "Refused Block QCOM", "QCOM is over already", "Do: see the watchlist")
    given = {"command": "block", "symbol": "QCOM", "scope": "permanent", "reason": "halts pending"}
    assert stage.api.commands[1]["command"] == given


def test_after_the_daily_loss_a_decision_then_a_resume(opened: Callable[[], Page], stage: Stage) -> None:
    stage.set(scenarios.daily_loss())
    page = opened()
    decision = page.locator('form[aria-label="Decision required"]')
    decision.get_by_role("button", name="Continue exits").click()
    decision.get_by_label("Reason").fill("stops are close")
    decision.get_by_label("Your name").fill("ana")
    decision.get_by_role("button", name="Confirm: Continue exits").click()
    shows(decision, "Accepted")
    desk = region(page, "Commands")
    desk.get_by_role("button", name="Resume", exact=True).click()
    form = desk.get_by_role("form", name="Resume after a halt")
    shows(form, "✓ Broker state reconciled", "clean at 13:00:00")
    form.get_by_label("Incident").first.fill("one bad fill")
    form.get_by_label("Incident cause understood").check()
    form.get_by_label("Risk controls verified").check()
    form.get_by_label("Reason").fill("limit raised")
    form.get_by_role("button", name="Resume").click()
    shows(desk, "Accepted Resume")
    decided, resumed = (command["command"] for command in stage.api.commands)
    reason = "stops are close"
    assert decided == {"command": "decide", "decision_id": "d1", "choice": "continue_exits", "reason": reason}
    assert resumed == {
        "command": "resume",
        "reason": "limit raised",
        "incident": "one bad fill",
        "cause_understood": True,
        "internal_state_repaired": False,
        "risk_controls_verified": True,
    }


# --- when something is gone ------------------------------------------------------------------------------------------


def test_a_platform_that_stops_answering_is_veiled_and_comes_back(opened: Callable[[], Page], stage: Stage) -> None:
    page = opened()
    stage.api.stop()
    shows(veil(page), "STALE", "no update for ", "nothing answers at")
    expect(page).to_have_title(re.compile("^STALE · "))  # a tab in the background shows nothing else
    shows(veil(page), "Last known trading state: ACTIVE")
    stage.api.start()
    expect(veil(page)).to_be_hidden()


def test_a_click_that_waited_in_a_hung_server_keeps_its_date(opened: Callable[[], Page], stage: Stage) -> None:
    """The platform refuses a command that waited: it can, because the browser dated it when it was given."""
    page = opened()
    desk = region(page, "Commands")
    desk.get_by_role("button", name="Pause", exact=True).click()
    desk.get_by_label("Reason").fill("lunch")
    desk.get_by_label("Your name").fill("ana")
    stage.served.process.send_signal(signal.SIGSTOP)
    try:
        before = datetime.now(UTC)
        desk.get_by_role("button", name="Pause entries").click()
        clicked = datetime.now(UTC)
        shows(veil(page), "STALE", "the page's own server does not answer")
        page.wait_for_timeout(1000)  # it is sent on later than it was given, whenever that was
    finally:
        stage.served.process.send_signal(signal.SIGCONT)
    until(lambda: len(stage.api.commands) == 1)
    given = datetime.fromisoformat(stage.api.commands[0]["client_ts"])
    assert before - timedelta(milliseconds=1) <= given <= clicked
    assert (datetime.now(UTC) - given).total_seconds() > 1
    expect(veil(page)).to_be_hidden()


def test_a_dead_page_server_is_veiled_and_a_new_one_found(
    opened: Callable[[], Page], page_faults: list[str], stage: Stage
) -> None:
    page = opened()
    was = stage.served
    was.kill()
    shows(veil(page), "STALE", "no update for ", "the platform does not depend on it")
    page.locator(".em-button").click()
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    shows(page.get_by_role("dialog"), "No answer", "In a terminal: qm emergency")
    stage.served = PageProcess("--book-dir", str(stage.book), "--port", str(was.port))
    assert stage.served.url == was.url
    expect(veil(page)).to_be_hidden()
    expect(state(page)).to_have_text("ACTIVE")
    assert stage.served.stop() == 0
    shows(veil(page), "ENDED", "it was stopped in order; the platform may still be trading")
    assert page_faults, "the browser reports the refused connections"
    page_faults.clear()
