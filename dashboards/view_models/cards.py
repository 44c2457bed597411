"""The account cards: money, and how much of each daily limit is used (§9 account summary cards, §11)."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from dashboards.reading import Reading
from dashboards.view_models import formats
from dashboards.view_models.verdict import Verdict, section

_NEAR: Final = Decimal(75)
_FULL: Final = Decimal(100)

Card = dict[str, Any]


def cards(reading: Reading, verdict: Verdict) -> list[Card]:
    """One dict a card: label, value, unit, tone, note below, the bar's percentage (None: no bar), and its mark."""
    snapshot = reading.snapshot or {}
    account, risk = section(snapshot, "account"), section(snapshot, "risk")
    currency = str(account.get("currency") or "")
    start = formats.decimal(account.get("start_equity"))
    realized, unrealized = account.get("realized_pnl"), account.get("unrealized_pnl")
    prices, plain = verdict.price_mark, verdict.mark
    begun = bool(snapshot.get("session_id"))
    return [
        _card(
            "Equity",
            formats.money(account.get("equity")),
            unit=currency,
            mark=prices,
            note="last broker statement" if begun else formats.ABSENT,
        ),
        _card(
            "Day P&L",
            formats.money(account.get("day_pnl"), signed=True),
            mark=prices,
            tone=formats.gain_tone(account.get("day_pnl")),
            note=_return(account.get("day_pnl"), start),
        ),
        _card(
            "Realized",
            formats.money(realized, signed=True),
            tone=formats.gain_tone(realized),
            mark=plain,
            note=f"fees {formats.money(account.get('fees'))}",
        ),
        _card(
            "Unrealized",
            formats.money(unrealized, signed=True),
            tone=formats.gain_tone(unrealized),
            mark=prices,
            note=_marks(unrealized, begun),
        ),
        _card(
            "Buying power",
            formats.money(account.get("buying_power")),
            mark=plain,
            note=f"cash {formats.money(account.get('cash'))}",
        ),
        _limit("Daily loss", section(risk, "daily_loss"), prices, amount=True),
        _limit("Trades", section(risk, "trades"), plain),
        _limit("Open positions", section(risk, "open_positions"), plain),
    ]


def _marks(unrealized: Any, begun: bool) -> str:
    if formats.decimal(unrealized) is not None:
        return "open positions"
    return "a position has no price yet" if begun else formats.ABSENT


def _card(
    label: str,
    value: str,
    *,
    unit: str = "",
    tone: str = "",
    note: str = "",
    mark: str = "",
    pct: float | None = None,
    bar_tone: str = "",
) -> Card:
    return {
        "label": label,
        "value": value,
        "unit": unit,
        "tone": tone,
        "note": note,
        "mark": mark,
        "pct": pct,
        "bar_tone": bar_tone,
    }


def _return(pnl: Any, start: Decimal | None) -> str:
    amount = formats.decimal(pnl)
    if amount is None or not start:
        return formats.ABSENT
    return f"{formats.percent(amount / start * 100, signed=True)} of {formats.money(start)}"


def _limit(label: str, used: Mapping[str, Any], mark: str, *, amount: bool = False) -> Card:
    """Used against its limit. Amber from 75 %, red when nothing is left."""
    spent, limit = formats.decimal(used.get("used")), formats.decimal(used.get("limit"))
    write = formats.money if amount else formats.whole
    pct = share(spent, limit)
    tone = "" if pct is None else "bad" if pct >= _FULL else "warn" if pct >= _NEAR else ""
    note = (
        formats.ABSENT
        if pct is None or limit is None or spent is None
        else f"{write(max(limit - spent, Decimal(0)))} left"
    )
    return _card(
        label,
        write(used.get("used")),
        unit=f"of {write(used.get('limit'))}",
        tone=tone,
        note=note,
        mark=mark,
        pct=None if pct is None else float(min(pct, _FULL)),
        bar_tone=tone or "ok",
    )


def share(used: Decimal | None, limit: Decimal | None) -> Decimal | None:
    """How much of a limit is used, in percent. A limit of zero is used up; an unknown one has no share."""
    if used is None or limit is None:
        return None
    return _FULL if limit <= 0 else max(Decimal(0), used / limit * 100)
