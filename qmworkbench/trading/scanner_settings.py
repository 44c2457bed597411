"""What the Opportunity Scanner looks for: typed settings that refuse nonsense (§8, §9)."""

import math
from typing import Literal

import msgspec

# On a session-wide scale a year of minutes is certainly a typing error.
_MAX_WINDOW_MIN = 24 * 60


class ScanSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The filters of a scan. A limit of None switches that filter off; limits are inclusive.

    `mode` "gainers" applies every filter; "all" leaves out price, dollar volume, relative volume and change,
    so that every symbol trading now is a candidate (a handful of currency pairs needs no gainer scan).
    A gainer scan looks for strength, to be bought; "all" favours no side.

    - `min_price`, `max_price`: last price, in the instrument's currency.
    - `min_dollar_volume`: traded value since the open, in the instrument's currency.
    - `min_rel_volume`: volume since the open as a multiple of the usual volume by this time of day.
      `allow_unknown_rel_volume`: let symbols without history through; the verdict says so.
    - `min_change_pct`: rise in percent from `change_reference`: "previous_close" (from the day's open for a
      symbol that has none, and the verdict says so) or "open".
    - `max_spread_bps`: quoted spread in basis points. `allow_unknown_spread`: let symbols without a quote
      through; on by default because feeds of trade bars carry no quotes.
    - `min_bars`: regular bars seen today, at least 1. `max_stale_boundaries`: boundaries since the last
      trade, so that a symbol that stopped trading is not chased.
    - `window_open_min`: minutes after the open before the first candidate. `window_close_min`: minutes
      before the close after which there are no more.
    - `max_candidates`: how many of those that pass are let through, best ranked first.
    - `near_miss_depth`: how many of the best ranked that are kept out are reported with their reasons.
    - `pre_open_from_min`, `pre_open_until_min`: the scan before the open looks at bars between these many minutes
      before it, and ranks what moved at least `min_change_pct` from the previous close, on at least
      `pre_open_min_volume` shares. `pre_open_from_min` None: no scan before the open. `pre_open_depth`: how many it
      names.
    """

    mode: Literal["gainers", "all"] = "gainers"
    min_price: float | None = 2.0
    max_price: float | None = 1000.0
    min_dollar_volume: float | None = 1_000_000.0
    min_rel_volume: float | None = 1.5
    allow_unknown_rel_volume: bool = False
    min_change_pct: float | None = 3.0
    change_reference: Literal["previous_close", "open"] = "previous_close"
    max_spread_bps: float | None = 50.0
    allow_unknown_spread: bool = True
    min_bars: int = 3
    max_stale_boundaries: int | None = 3
    window_open_min: float = 5.0
    window_close_min: float = 30.0
    max_candidates: int | None = 20
    near_miss_depth: int = 10
    pre_open_from_min: float | None = 60.0
    pre_open_until_min: float = 0.0
    pre_open_min_volume: float | None = None
    pre_open_depth: int = 20

    @staticmethod
    def for_forex() -> "ScanSettings":
        """Currency pairs: every pair trading now, from the first bar to an hour before the close.

        There is no scan before the open: one session's close is the next one's open.
        """
        return ScanSettings(
            mode="all",
            min_bars=1,
            window_open_min=0.0,
            window_close_min=60.0,
            max_candidates=None,
            pre_open_from_min=None,
        )

    def __post_init__(self) -> None:
        for name in (
            "min_price",
            "max_price",
            "min_dollar_volume",
            "min_rel_volume",
            "max_spread_bps",
            "pre_open_min_volume",
        ):
            limit = getattr(self, name)
            if limit is not None and not (math.isfinite(limit) and limit >= 0):
                raise ValueError(f"{name} is {limit}: give a number of 0 or more, or leave the filter off")
        if self.min_change_pct is not None and not math.isfinite(self.min_change_pct):
            raise ValueError(f"min_change_pct is {self.min_change_pct}: give percent, such as 3, or leave it off")
        if self.min_price is not None and self.max_price is not None and self.min_price > self.max_price:
            raise ValueError(
                f"min_price {self.min_price} exceeds max_price {self.max_price}: none could pass; swap them"
            )
        for name in ("window_open_min", "window_close_min"):
            minutes = getattr(self, name)
            if not 0 <= minutes <= _MAX_WINDOW_MIN:
                raise ValueError(f"{name} is {minutes}: give minutes between 0 and {_MAX_WINDOW_MIN}")
        self._check_pre_open()
        for name, least in (
            ("min_bars", 1),
            ("max_stale_boundaries", 0),
            ("max_candidates", 1),
            ("near_miss_depth", 0),
            ("pre_open_depth", 1),
        ):
            count = getattr(self, name)
            if count is not None and count < least:
                raise ValueError(f"{name} is {count}: give a whole number of {least} or more")

    def _check_pre_open(self) -> None:
        begins, ends = self.pre_open_from_min, self.pre_open_until_min
        if begins is None:
            return
        for name, minutes in (("pre_open_from_min", begins), ("pre_open_until_min", ends)):
            if not 0 <= minutes <= _MAX_WINDOW_MIN:
                raise ValueError(f"{name} is {minutes}: give minutes between 0 and {_MAX_WINDOW_MIN}")
        if begins <= ends:
            raise ValueError(
                f"pre_open_from_min {begins} is not before pre_open_until_min {ends}: both count back from the open, "
                "so give the larger number first, or leave pre_open_from_min off for no scan"
            )
