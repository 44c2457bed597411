"""The marks and rates the books are valued at: from the tape, or as the venue was told (§14)."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.numbers import ONE
from qmworkbench.venue.bars import Frame, Tape, Universe
from qmworkbench.venue.books import Books
from qmworkbench.venue.records import Rate

_PIVOT: Final = "USD"
_Leg = tuple[str, bool]


class Pricing:
    """The tape, and which traded pairs value which currency: JPY in USD through USDJPY, inverted; where no pair has
    both, through the dollar: AUD in EUR through AUDUSD and EURUSD.

    A rate counts from the frame after the one it printed in: what fills at an open converts at what was known
    then.
    """

    def __init__(self, instruments: Mapping[str, Instrument], account_currency: str) -> None:
        self._tape = Tape()
        self._seen: dict[str, tuple[object, Rate | None]] = {}
        self._legs: dict[str, tuple[_Leg, ...]] = {}
        for currency in sorted({instrument.currency for instrument in instruments.values()} - {account_currency}):
            straight = _pair(instruments, currency, account_currency)
            first, second = _pair(instruments, currency, _PIVOT), _pair(instruments, _PIVOT, account_currency)
            if straight is not None:
                self._legs[currency] = (straight,)
            elif first is not None and second is not None:
                self._legs[currency] = (first, second)

    def record(self, frame: Frame, universe: Universe) -> None:
        """Remember the closes of a regular frame."""
        self._tape.record(frame, universe)

    def bring_up(self, books: Books, symbol: str) -> None:
        """Bring the books' mark of `symbol` up to the tape."""
        last, known = self._tape.last(symbol), books.marks.get(symbol)
        if last is not None and (known is None or known.at < last.at):
            books.mark(symbol, last)

    def bring_up_rates(self, books: Books, currencies: Iterable[str]) -> None:
        """Record the rates of `currencies` where their pairs have printed since the one that is known."""
        for currency in sorted(currencies):
            legs = self._legs.get(currency, ())
            traces = [self._tape.trace(symbol) for symbol, _ in legs]
            if self._seen.get(currency) == (traces, books.rates.get(currency)):
                continue
            self._bring_up_rate(books, currency, legs)
            self._seen[currency] = (traces, books.rates.get(currency))

    def _bring_up_rate(self, books: Books, currency: str, legs: tuple[_Leg, ...]) -> None:
        prints = [last for symbol, _ in legs if (last := self._tape.last(symbol)) is not None and last.px > 0]
        if not legs or len(prints) < len(legs):
            return
        known, at = books.rates.get(currency), max(last.at for last in prints)
        if known is None or known.at <= at:
            rate = ONE
            for (_, inverted), last in zip(legs, prints, strict=True):
                rate = rate * (ONE / last.px if inverted else last.px)
            source = " x ".join(symbol for symbol, _ in legs)
            books.record_rate(Rate(currency=currency, rate=rate, at=at, source=source))


def _pair(instruments: Mapping[str, Instrument], currency: str, other: str) -> _Leg | None:
    """The pair that values `currency` in `other`, and whether its price has to be inverted; None without one."""
    if currency + other in instruments:
        return currency + other, False
    return (other + currency, True) if other + currency in instruments else None


def told(rates: Mapping[str, Decimal], at: datetime) -> list[Rate]:
    """Rates somebody gave the venue. Raises ValueError for one that is not above zero."""
    for currency, rate in sorted(rates.items()):
        if not rate.is_finite() or rate <= 0:
            raise ValueError(
                f"rate of {currency} = {rate}: give what one {currency} is worth in account currency, above 0"
            )
    return [Rate(currency=currency, rate=rate, at=at, source="told") for currency, rate in sorted(rates.items())]
