"""Why did it (not) trade X at 10:04: for any symbol and any time, proved against what was decided with."""

import shutil
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from qmworkbench.domain.events.market import FrameComputed, NearMissSeen, WatchlistChanged
from qmworkbench.domain.events.orders import OrderIntended, TradeClosed
from qmworkbench.service.why import NoSuchSession, Why, why
from qmworkbench.storage.paths import BookPaths
from qmworkbench.storage.refused import StoreMissing
from tests.service.conftest import PastDay

NEW_YORK = ZoneInfo("America/New_York")


def ask(day: PastDay, symbol: str, at: str) -> Why:
    return why(day.plan.paths, symbol, at)


def clock(day: PastDay, moment: object) -> str:
    return f"{moment.astimezone(NEW_YORK):%H:%M}"  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def trade(past_day: PastDay) -> TradeClosed:
    return next(event for event in past_day.events if isinstance(event, TradeClosed))


def test_when_an_order_was_sent_the_answer_is_that_order(past_day: PastDay, trade: TradeClosed) -> None:
    intent = next(
        event for event in past_day.events if isinstance(event, OrderIntended) and event.signal_id == trade.signal_id
    )
    told = ask(past_day, trade.symbol, clock(past_day, intent.at))
    assert told.sentences[0].startswith(f"{trade.symbol} at {clock(past_day, intent.at)}, boundary ")
    assert told.sentences[1].startswith(f"what happened: order {intent.request.cl_ord_id}: entry to")
    assert told.evidence["verified"]
    assert trade.strategy_id in told.evidence["features"]
    story = "\n".join(told.sentences)
    assert "afterwards:" in story
    assert "the trade is closed after" in story


def test_while_it_is_held_the_answer_is_that_it_was_in_a_trade(past_day: PastDay, trade: TradeClosed) -> None:
    told = ask(past_day, trade.symbol, clock(past_day, trade.opened_at + timedelta(minutes=1)))
    assert told.sentences[1].startswith(f"it was in a trade: {trade.strategy_id} held {trade.qty} since ")


def test_a_near_miss_is_told_with_the_filter_that_kept_it_out(past_day: PastDay) -> None:
    found = {event.symbol for event in past_day.events if isinstance(event, WatchlistChanged)}
    miss = next(event for event in past_day.events if isinstance(event, NearMissSeen) and event.symbol not in found)
    told = ask(past_day, miss.symbol, clock(past_day, miss.at))
    assert told.sentences[1] == f"it was not traded: the scanner kept it out, because {miss.failed[0].sentence()}"
    failed = [verdict["code"] for verdict in told.evidence["verdicts"] if not verdict["passed"]]
    assert failed == [verdict.code for verdict in miss.failed], "the recomputed verdicts are those on record"


@pytest.mark.parametrize("boundary", [1, 34, 200, 390])
def test_any_minute_is_computed_again_to_the_same_radar(past_day: PastDay, boundary: int) -> None:
    as_of = past_day.plan.data.boundaries[boundary - 1]
    computed = next(e for e in past_day.events if isinstance(e, FrameComputed) and e.as_of == as_of)
    symbol = past_day.plan.data.universe.symbols[boundary % 60]
    told = ask(past_day, symbol.lower(), clock(past_day, as_of))
    assert told.evidence["boundary"] == boundary
    assert (told.evidence["radar_hash"], told.evidence["verified"]) == (computed.radar_hash, True)


def test_between_two_boundaries_the_last_one_counts(past_day: PastDay) -> None:
    symbol = past_day.plan.data.universe.symbols[0]
    assert ask(past_day, symbol, "10:04:59").evidence["boundary"] == 34
    assert ask(past_day, symbol, "10:05").evidence["boundary"] == 35


@pytest.mark.parametrize(("at", "boundary"), [("03:00", None), ("23:30", 390), ("00:00", None)])
def test_outside_the_session_the_nearest_is_told_and_that_it_is_outside(
    past_day: PastDay, at: str, boundary: int | None
) -> None:
    told = ask(past_day, past_day.plan.data.universe.symbols[0], at)
    assert "outside the session's hours, 09:30 to 16:00" in told.sentences[0]
    assert told.evidence["boundary"] == boundary


@pytest.mark.parametrize("at", ["25:00", "10:60", "noon", "", "10", "10:04pm"])
def test_what_is_no_time_is_refused_with_an_example(past_day: PastDay, at: str) -> None:
    with pytest.raises(ValueError, match="such as 10:04"):
        ask(past_day, "AAA", at)


def test_a_symbol_nobody_knows_is_told_with_the_nearest(past_day: PastDay) -> None:
    known = past_day.plan.data.universe.symbols[5]
    told = ask(past_day, known[:-1] + "9", "10:04")
    assert f"is not among the 60 symbols of session {past_day.plan.session_id}" in told.sentences[-1]
    assert known in told.evidence["nearest"]


def test_a_session_that_never_was_is_told_with_those_that_were(past_day: PastDay, tmp_path: Path) -> None:
    with pytest.raises(NoSuchSession, match=past_day.plan.session_id):
        why(past_day.plan.paths, "AAA", "10:04", session_id="main-1999-01-01")
    with pytest.raises(StoreMissing):
        why(BookPaths(tmp_path / "nowhere"), "AAA", "10:04")


def test_a_radar_that_is_not_the_one_on_record_is_not_sold_as_it(past_day: PastDay, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(past_day.plan.paths.root, root)
    paths = BookPaths(root)
    bars = paths.session(past_day.plan.session_id).bars
    reference = next(bars.glob("reference.*.arrow"))
    reference.unlink()
    import polars as pl

    from qmworkbench.service.ground import ground_of
    from qmworkbench.storage.barstore import BarStore

    ground = ground_of(past_day.plan.data)
    changed = pl.DataFrame({"symbol": ground.universe.symbols, "prev_close": ground.reference.prev_close * 1.01})
    BarStore(bars).write_frame("reference", changed)
    told = why(paths, past_day.plan.data.universe.symbols[0], "10:04")
    assert not told.evidence["verified"]
    assert any(sentence.startswith("beware: the radar computed now") for sentence in told.sentences)
