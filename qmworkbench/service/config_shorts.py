"""The settings of selling short at the simulated venue, and the terms they make there (§5, §11)."""

from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from qmworkbench.service.config_section import Section
from qmworkbench.venue.borrowing import REG_T_SHORTS, Borrowing, Locate, ShortMargin

Rate: TypeAlias = Annotated[Decimal, Field(ge=0, le=1000)]


class LocateSection(Section):
    """Shares of one symbol that can be sold short, open shorts included, and what each costs when it is sold."""

    available: Decimal = Field(ge=0)
    fee_per_share: Decimal = Field(default=Decimal(0), ge=0)


class ShortsSection(Section):
    """What selling short takes: whether it is `enabled`, whose `margin` counts, and interest in percent a year.

    `margin` is the instrument's, as for what is held long, or Regulation T's. `borrow_pct` counts for every share,
    `borrow_pct_by_symbol` instead of it where a symbol has its own. `locates` are the shares of what is not easy to
    borrow that can be sold short, by symbol: without one such a symbol is not sold short.
    """

    enabled: bool = True
    margin: Literal["instrument", "reg_t"] = "instrument"
    borrow_pct: Rate = Decimal(0)
    borrow_pct_by_symbol: dict[str, Rate] = Field(default_factory=dict)
    locates: dict[str, LocateSection] = Field(default_factory=dict)

    def borrowing(self) -> Borrowing:
        """What borrowed shares cost."""
        return Borrowing(default_pct=self.borrow_pct, annual_pct=dict(self.borrow_pct_by_symbol))

    def short_margin(self) -> ShortMargin | None:
        """The equity a short share takes; None: as a long one."""
        return REG_T_SHORTS if self.margin == "reg_t" else None

    def located(self) -> dict[str, Locate]:
        """The shares that were located, by symbol."""
        terms = {symbol: (found.available, found.fee_per_share) for symbol, found in self.locates.items()}
        return {symbol: Locate(available=shares, fee_per_share=fee) for symbol, (shares, fee) in terms.items()}
