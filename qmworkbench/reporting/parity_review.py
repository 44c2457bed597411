"""The parity review: a session beside the backtest of its own bars, difference by difference (M: layer 2)."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from qmworkbench.analytics.session_record import SessionRecord
from qmworkbench.reporting import parity_charts as charts
from qmworkbench.reporting.parameters import ParityParameters
from qmworkbench.reporting.session_source import ZONE, SessionSource, load_session
from qmworkbench.reporting.tables import (
    DASH,
    Column,
    Html,
    clock,
    money,
    number,
    price,
    section,
    signed_money,
    subsection,
    table,
    tiles,
)
from qmworkbench.research.parity.drift import OUTSIDE, WITHIN, Drift, Tolerance, drift
from qmworkbench.research.parity.parity import Parity
from qmworkbench.research.parity.parity_causes import MEANING, Cause
from qmworkbench.research.parity.parity_difference import Difference, TradePair
from qmworkbench.service.parity_book import keep, kept_between, parity_of
from qmworkbench.storage.refused import StorageRefused

_AT: Final = clock(ZONE)
_ROWS: Final = 25


@dataclass(frozen=True, eq=False)
class ParitySource:
    """What a parity review shows: the session's comparison, and those of the sessions up to it, oldest first.

    `untold` are earlier sessions that could not be compared, and why.
    """

    session: SessionSource
    found: Parity
    sessions: tuple[Parity, ...]
    drift: Drift
    untold: dict[str, str]

    @property
    def record(self) -> SessionRecord:
        """The session's record."""
        return self.session.record

    @property
    def tolerance(self) -> Tolerance:
        """What was allowed."""
        return self.drift.tolerance


def load(given: ParityParameters) -> ParitySource:
    """Compare the session and as many before it as make `sessions` in all.

    What was compared before is read, the rest compared now and kept beside its session, as far as the book can be
    written. Raises StorageRefused where the session itself cannot be read.
    """
    source = load_session(given.book_dir, given.session_id)
    paths, chosen = source.book.paths, source.session_id
    found = parity_of(paths, chosen)
    _keep(source, found)
    told = source.book.sessions()
    known = [
        (str(name), date.fromisoformat(str(day)))
        for name, day in zip(told["session_id"].to_list(), told["date"].to_list(), strict=True)
    ]
    known = [one for one in dict.fromkeys(known) if one[1] <= found.session][-given.sessions :]
    earlier, missing = kept_between(paths, [one for one in known if one[0] != chosen])
    tolerance = Tolerance(bps=given.tolerance_bps, cost_bps=given.cost_bps)
    untold: dict[str, str] = {}
    for name in missing:
        try:
            one = parity_of(paths, name)
        except (StorageRefused, ValueError) as error:
            untold[name] = str(error)
            continue
        _keep(source, one)
        earlier.append(one)
    every = tuple(sorted((*earlier, found), key=lambda one: (one.session, one.session_id)))
    return ParitySource(source, found, every, drift(every, tolerance), untold)


def _keep(source: SessionSource, found: Parity) -> None:
    with suppress(OSError):  # a book that cannot be written is compared again the next time
        keep(source.book.paths, found)


# --- the session ------------------------------------------------------------------------------------------------------


def summary(source: ParitySource) -> Html:
    """How near session and backtest are, in figures."""
    found = source.found
    levels = {level.name: level for level in found.levels}
    unit = found.account_currency
    share = found.unexplained_share
    judged = [one for one in source.drift.strategies if one.verdict in (WITHIN, OUTSIDE)]
    outside = [one for one in judged if one.verdict == OUTSIDE]
    entries = [
        ("Unexplained", share_of(share), "of what was compared, worst level"),
        *(
            (
                f"{name.capitalize()}s",
                f"{level.compared:,}",
                f"{level.differ:,} differ, {level.unexplained:,} unexplained",
            )
            for name, level in levels.items()
        ),
        ("Backtest", signed_money(found.expected_pnl), f"{unit}, before costs"),
        ("Session", signed_money(found.recorded_pnl), f"{unit}, after fees"),
        ("Difference", signed_money(found.recorded_pnl - found.expected_pnl), f"{unit}, by cause below"),
        (
            "Tracking",
            f"{len(judged) - len(outside)} of {len(judged)}" if judged else DASH,
            "strategies within tolerance" if judged else "too few trades to judge any",
        ),
    ]
    note = (
        "The session's own bars and parameters, run through the backtest: signals from the strategies themselves, "
        "fills at the next open, at levels and at the close. Positions carried in count from the session's first price."
    )
    return section("Session and backtest", tiles(entries), note=note)


def share_of(value: float | None) -> str:
    """A share to a tenth of a per cent."""
    return DASH if value is None else f"{value:.1%}".replace("%", "\N{NO-BREAK SPACE}%")


def by_cause(source: ParitySource) -> Html:
    """What made the difference: from the backtest's P&L to the session's, and how often each cause was at work."""
    found = source.found
    counted = found.by_cause
    causes = [Cause(name) for name in dict.fromkeys([*counted, *found.pnl_by_cause])]
    if not causes:
        return section("What made the difference", Html('<div class="none">Nothing: both agree exactly.</div>'))
    rows = [
        {
            "cause": cause.value.replace("_", " "),
            "count": counted.get(cause.value),
            "pnl": found.pnl_by_cause.get(cause.value, 0.0),
            "means": MEANING[cause],
            "unexplained": cause is Cause.UNEXPLAINED,
        }
        for cause in sorted(causes, key=lambda one: (one is not Cause.UNEXPLAINED, -counted.get(one.value, 0)))
    ]
    columns = [
        Column("cause", "Cause", kind="keep"),
        Column("count", "Differences", number(0), "num"),
        Column("pnl", f"{found.account_currency}", signed_money, "num"),
        Column("means", "What it means"),
    ]
    label = f"From {found.expected_pnl:,.2f} in the backtest to {found.recorded_pnl:,.2f} in the session, by cause"
    pieces = [charts.bridge(found, label=label)] if found.pnl_by_cause else []
    pieces.append(table(rows, columns, empty="", flag=lambda row: bool(row["unexplained"])))
    return section("What made the difference", *pieces)


def trades(source: ParitySource) -> Html:
    """The trades of both sides beside each other, those that differ first."""
    pairs = sorted(source.found.pairs, key=_interest)
    rows = [_as_row(pair) for pair in pairs]
    columns = [
        Column("symbol", "Symbol", kind="keep"),
        Column("side", "Side", kind="keep"),
        Column("strategy", "Instance", kind="keep"),
        Column("entry", "In", kind="num", format=_both),
        Column("entry_px", "At", kind="num", format=_both),
        Column("qty", "Qty", kind="num", format=_both),
        Column("exit", "Out", kind="num", format=_both),
        Column("exit_px", "At", kind="num", format=_both),
        Column("pnl", "P&L", kind="num", format=_both),
        Column("causes", "Made differ by"),
    ]
    shown = table(rows[:_ROWS], columns, empty="Neither side traded.", flag=_has_unexplained, kind="pairs")
    if rows[_ROWS:]:
        more = table(rows[_ROWS:], columns, empty="", flag=_has_unexplained, kind="pairs")
        shown = Html(f"{shown}<details><summary>{len(rows) - _ROWS} more</summary>{more}</details>")
    drawn = charts.equity(source.found, zone=ZONE) if any(pair.recorded_exit_at for pair in pairs) else Html("")
    note = "Above the backtest, below the session; one line where both agree. Times are New York time."
    return section("Trades side by side", drawn, shown, note=note)


def _has_unexplained(row: Mapping[str, Any]) -> bool:
    return Cause.UNEXPLAINED.value in str(row["causes"])


def _interest(pair: TradePair) -> tuple[int, float, str]:
    """Unexplained first, then differences by what they were worth, then what agrees, by time."""
    rank = 0 if Cause.UNEXPLAINED in pair.causes else 1 if pair.causes else 2
    worth = abs((pair.recorded_pnl or 0.0) - (pair.expected_pnl or 0.0))
    at = pair.recorded_entry_at or pair.expected_entry_at
    return rank, -worth if rank < 2 else 0.0, "" if at is None else at.isoformat()


def _as_row(pair: TradePair) -> dict[str, Any]:
    held = "held" if pair.open else DASH
    return {
        "symbol": pair.symbol,
        "side": pair.side,
        "strategy": pair.strategy_id,
        "entry": _two(pair, pair.expected_entry_at, pair.recorded_entry_at, _AT, "carried" if pair.carried else DASH),
        "entry_px": _two(pair, pair.expected_entry_px, pair.recorded_entry_px, price),
        "qty": _two(pair, pair.expected_qty, pair.recorded_qty, number(0)),
        "exit": _two(pair, pair.expected_exit_at, pair.recorded_exit_at, _AT, held),
        "exit_px": _two(pair, pair.expected_exit_px, pair.recorded_exit_px, price),
        "pnl": _two(pair, pair.expected_pnl, pair.recorded_pnl, signed_money),
        "causes": ", ".join(cause.value.replace("_", " ") for cause in pair.causes) or "nothing",
    }


def _two(pair: TradePair, mine: Any, theirs: Any, write: Any, none: str = DASH) -> tuple[str, str]:
    """A value on both sides as HTML; the side that did not trade shows a dash."""
    here = DASH if pair.expected_entry_px is None else none if mine is None else write(mine)
    there = DASH if pair.recorded_entry_px is None else none if theirs is None else write(theirs)
    return here, there


def _both(sides: tuple[str, str]) -> str:
    mine, theirs = sides
    return mine if mine == theirs else f'<span class="muted">{mine}</span><br>{theirs}'


def differences(source: ParitySource) -> Html:
    """Every difference with its cause and the record's own words, unexplained ones first."""
    found = sorted(source.found.differences, key=lambda d: (d.cause is not Cause.UNEXPLAINED, -abs(d.pnl or 0.0), d.at))
    columns = [
        Column("at", "At", _AT, "num"),
        Column("what", "What", kind="keep"),
        Column("symbol", "Symbol", kind="keep"),
        Column("strategy_id", "Instance", kind="keep"),
        Column("expected", "Backtest"),
        Column("recorded", "Session"),
        Column("pnl", source.found.account_currency, signed_money, "num"),
        Column("cause", "Cause", kind="keep"),
        Column("why", "Why", kind="prose"),
    ]
    rows = [_told(one) for one in found]
    flag = _is_unexplained
    listed = table(rows[:_ROWS], columns, empty="None: session and backtest agree exactly.", stack=True, flag=flag)
    if rows[_ROWS:]:
        more = table(rows[_ROWS:], columns, empty="", stack=True, flag=flag)
        listed = Html(f"{listed}<details><summary>{len(rows) - _ROWS} more</summary>{more}</details>")
    left = [{"name": name, "why": why} for name, why in source.found.left_out.items()]
    pieces = [listed]
    if left:
        of = [Column("name", "Instance", kind="keep"), Column("why", "Why it was not compared")]
        pieces.append(subsection("Not compared", table(left, of, empty="", stack=True)))
    return section("Every difference", *pieces)


def _told(one: Difference) -> dict[str, Any]:
    again = f" (and {one.again} more while its trade would have lasted)" if one.again else ""
    return {
        "at": one.at,
        "what": one.what,
        "symbol": one.symbol,
        "strategy_id": one.strategy_id,
        "expected": one.expected,
        "recorded": one.recorded,
        "pnl": one.pnl,
        "cause": one.cause.value.replace("_", " "),
        "why": one.why + again,
    }


def _is_unexplained(row: Mapping[str, Any]) -> bool:
    return bool(row["cause"] == Cause.UNEXPLAINED.value)


def in_money(source: ParitySource) -> str:
    """The difference in words, for a headline."""
    found = source.found
    return f"session {money(found.recorded_pnl)}, backtest {money(found.expected_pnl)} {found.account_currency}"
