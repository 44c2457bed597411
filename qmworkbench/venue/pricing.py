"""The marks and rates the books are valued at: from the tape, or as the venue was told (§14)."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from qmworkbench.domain.instruments import Instrument
from qmworkbench.domain.numbers import ONE
from qmworkbench.venue.bars import Frame, Print, Tape, Universe
from qmworkbench.venue.books import Books
from qmworkbench.venue.records import Rate


class Pricing:
    """The tape, and which traded pair values which currency: JPY in USD through USDJPY, inverted.

    A rate counts from the frame after the one it printed in: what fills at an open converts at what was known
    then.
    """

    def __init__(self, instruments: Mapping[str, Instrument], account_currency: str) -> None:
        self._tape = Tape()
        self._pairs: dict[str, tuple[str, bool]] = {}
        for currency in sorted({instrument.currency for instrument in instruments.values()} - {account_currency}):
            if currency + account_currency in instruments:
                self._pairs[currency] = (currency + account_currency, False)
            elif account_currency + currency in instruments:
                self._pairs[currency] = (account_currency + currency, True)

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
            symbol, inverted = self._pairs.get(currency, ("", False))
            last: Print | None = self._tape.last(symbol)
            known = books.rates.get(currency)
            if last is not None and last.px > 0 and (known is None or known.at <= last.at):
                rate = ONE / last.px if inverted else last.px
                books.record_rate(Rate(currency=currency, rate=rate, at=last.at, source=symbol))


def told(rates: Mapping[str, Decimal], at: datetime) -> list[Rate]:
    """Rates somebody gave the venue. Raises ValueError for one that is not above zero."""
    for currency, rate in sorted(rates.items()):
        if not rate.is_finite() or rate <= 0:
            raise ValueError(
                f"rate of {currency} = {rate}: give what one {currency} is worth in account currency, above 0"
            )
    return [Rate(currency=currency, rate=rate, at=at, source="told") for currency, rate in sorted(rates.items())]
