"""What a market looks like from outside, as figures of its minute bars, whoever made them (§5 Data Check).

Every statistic has one value a session, so that it comes with its own day-to-day variation. Returns are natural
logarithms of the closes of neighbouring minutes that both traded; only regular hours count.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from qmworkbench.market.demo.exact import Floats
from qmworkbench.market.demo.panel import Panel

_MIDDAY: Final = slice(150, 240)
_FIRST, _LAST = slice(0, 30), slice(-30, None)
_FEWEST: Final = 20  # pairs below which a correlation means nothing


class Measured:
    """A panel's returns and daily figures, computed once for all statistics; (symbol, session) unless said otherwise.

    `returns` (symbol, session, minute), and `size` their absolute values over the whole market's at that minute, so
    that the shape of the day is out of it. `first`, `last`, `before`: the session's first price, its last, and the
    last of the session before.
    """

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.returns: Floats = np.diff(np.log(panel.close), axis=2)
        self.first = _edge(panel.open)
        self.last = _edge(panel.close[..., ::-1])
        self.before = np.concatenate([np.full((len(self.last), 1), np.nan), self.last[:, :-1]], axis=1)
        self.shares: Floats = np.nansum(panel.volume, axis=2)
        self.shares[self.shares == 0] = np.nan
        self.realised: Floats = np.sqrt(np.nansum(self.returns * self.returns, axis=2))
        self.realised[self.realised == 0] = np.nan
        absolute = np.abs(self.returns)
        self.size: Floats = absolute / _positive(np.nanmean(absolute, axis=0, keepdims=True))

    @property
    def moves(self) -> Floats:
        """From open to close."""
        return np.asarray(np.log(self.last / self.first))

    @property
    def gaps(self) -> Floats:
        """From the previous close to the open."""
        return np.asarray(np.log(self.first / self.before))

    @property
    def logged_volume(self) -> Floats:
        """The logarithm of each minute's volume."""
        return np.asarray(np.log(_positive(self.panel.volume)))

    @property
    def missing(self) -> Floats:
        """The share of minutes without a trade, in percent; NaN where a symbol was not there at all that day."""
        silent = np.isnan(self.panel.close).mean(axis=2) * 100
        return np.where(silent < 100, silent, np.nan)


def _positive(values: Floats) -> Floats:
    return np.where(values > 0, values, np.nan)


def _edge(values: Floats) -> Floats:
    """The first value that is there, of each symbol and session."""
    there = ~np.isnan(values)
    found = np.take_along_axis(values, there.argmax(axis=2)[..., None], axis=2)[..., 0]
    return np.where(there.any(axis=2), found, np.nan)


def _correlation(a: Floats, b: Floats, axis: int) -> Floats:
    both = ~(np.isnan(a) | np.isnan(b))
    n = both.sum(axis=axis)
    a, b = np.where(both, a, 0.0), np.where(both, b, 0.0)
    mean_a, mean_b = a.sum(axis=axis) / n, b.sum(axis=axis) / n
    shared = (a * b).sum(axis=axis) / n - mean_a * mean_b
    spread = ((a * a).sum(axis=axis) / n - mean_a**2) * ((b * b).sum(axis=axis) / n - mean_b**2)
    return np.where(n >= _FEWEST, shared / np.sqrt(_positive(spread)), np.nan)


def _lagged(values: Floats, lag: int) -> Floats:
    return _middle(_correlation(values[..., lag:], values[..., :-lag], 2))


def _middle(values: Floats) -> Floats:
    return np.asarray(np.nanmedian(values, axis=0))


def _quantile(values: Floats, share: float) -> Floats:
    return np.asarray(np.nanquantile(values, share, axis=0))


def _size_of(name: str, share: float) -> Callable[[Measured], Floats]:
    """The size, in percent, that this share of the symbols' `moves` or `gaps` do not exceed."""
    return lambda market: _quantile(np.abs(getattr(market, name)), share) * 100


def _standard(values: Floats, axis: int) -> Floats:
    centred = values - np.nanmean(values, axis=axis, keepdims=True)
    return np.asarray(centred / _positive(np.nanstd(centred, axis=axis, keepdims=True)))


def _pairwise(z: Floats) -> Floats:
    """The mean over pairs of symbols of the product of their standardised values."""
    n = (~np.isnan(z)).sum(axis=0)
    z = np.where(np.isnan(z), 0.0, z)
    return np.asarray((z.sum(axis=0) ** 2 - (z * z).sum(axis=0)) / np.maximum(n * (n - 1.0), 1.0))


def _kurtosis(market: Measured) -> Floats:
    centred = market.returns - np.nanmean(market.returns, axis=2, keepdims=True)
    squares = centred * centred
    variance = np.nanmean(squares, axis=2)
    return _middle(np.nanmean(squares * squares, axis=2) / _positive(variance * variance))


def _daily_correlation(market: Measured) -> Floats:
    found = _pairwise(_standard(np.asarray(np.log(market.last / market.before)), 1))
    found[np.isnan(market.before).all(axis=0)] = np.nan
    return found


def _every(minutes: int) -> Callable[[Measured], Floats]:
    """Pairwise correlation of the returns of so many minutes."""

    def correlation(market: Measured) -> Floats:
        closes = market.panel.close[..., minutes - 1 :: minutes]
        returns = np.asarray(np.diff(np.log(closes), axis=2))
        return np.asarray(np.nanmean(_pairwise(_standard(returns, 2)), axis=1))

    return correlation


def _next_day(market: Measured) -> Floats:
    """Whether a session's volatility tells the next one's: across symbols, each against its own mean."""
    level = np.log(market.realised)
    level = np.asarray(level - np.nanmean(level, axis=1, keepdims=True))
    found = np.full(level.shape[1], np.nan)
    found[1:] = _correlation(level[:, 1:], level[:, :-1], 0)
    return found


def _size_over(part: slice) -> Callable[[Measured], Floats]:
    """How many times as far a minute of `part` goes as one of midday."""

    def ratio(market: Measured) -> Floats:
        size = np.abs(market.returns)
        return _middle(np.nanmean(size[..., part], axis=2) / _positive(np.nanmean(size[..., _MIDDAY], axis=2)))

    return ratio


def _volume_over(part: slice) -> Callable[[Measured], Floats]:
    """How many times as much is traded in a minute of `part` as in one of midday."""

    def ratio(market: Measured) -> Floats:
        volume = np.nan_to_num(market.panel.volume)
        return _middle(volume[..., part].mean(axis=2) / _positive(volume[..., _MIDDAY].mean(axis=2)))

    return ratio


def _volume_with_size(market: Measured) -> Floats:
    return _middle(_correlation(market.logged_volume[..., 1:], market.size, 2))


def _volume_clusters(market: Measured) -> Floats:
    volume = market.logged_volume
    return _lagged(np.asarray(volume - np.nanmean(volume, axis=0, keepdims=True)), 1)


def _volume_changes(market: Measured) -> Floats:
    logged = np.log(market.shares)
    change = np.full(logged.shape, np.nan)
    change[:, 1:] = np.diff(logged, axis=1)
    return np.asarray(np.nanstd(change, axis=0))


def _share(change: Callable[[Measured], Floats], percent: float) -> Callable[[Measured], Floats]:
    """The share of symbols, in percent, whose `change` is at least so many percent."""

    def share(market: Measured) -> Floats:
        found = change(market)
        return np.asarray(np.nanmean(np.where(np.isnan(found), np.nan, found >= percent / 100), axis=0) * 100)

    return share


def _rise(market: Measured) -> Floats:
    return np.asarray(np.nanmax(market.panel.high, axis=2) / market.first - 1)


def _gain(market: Measured) -> Floats:
    return np.asarray(market.last / market.before - 1)


def _still(market: Measured) -> Floats:
    same = np.where(np.isnan(market.returns), np.nan, market.returns == 0)
    return _middle(np.nanmean(same, axis=2)) * 100


def _range(market: Measured) -> Floats:
    reach = np.nanmean(np.log(market.panel.high / market.panel.low), axis=2)
    return _middle(reach / _positive(np.nanmean(np.abs(market.returns), axis=2)))


def _spread(market: Measured) -> Floats:
    if market.panel.spread is None:
        return np.full(len(market.panel.days), np.nan)
    return _middle(np.nanmedian(market.panel.spread / market.panel.close, axis=2)) * 1e4


@dataclass(frozen=True)
class Statistic:
    """One figure of a market: `series` gives one value a session, NaN where it has none.

    `rare`: it counts what hardly happens, so that nought would lie within any tolerance; it must be above nought.
    """

    name: str
    label: str
    unit: str
    series: Callable[[Measured], Floats]
    rare: bool = False


STATISTICS: Final = (
    Statistic("move", "open to close, median size", "%", _size_of("moves", 0.5)),
    Statistic("move_95", "open to close, 95th percentile of size", "%", _size_of("moves", 0.95)),
    Statistic("gap", "gap over night, median size", "%", _size_of("gaps", 0.5)),
    Statistic("gap_95", "gap over night, 95th percentile of size", "%", _size_of("gaps", 0.95)),
    Statistic("up_5", "up 5 % from the open at the day's high", "% of symbols", _share(_rise, 5)),
    Statistic("up_10", "up 10 % from the open at the day's high", "% of symbols", _share(_rise, 10), rare=True),
    Statistic("up_15", "up 15 % from the open at the day's high", "% of symbols", _share(_rise, 15), rare=True),
    Statistic("gain_5", "closes 5 % above the previous close", "% of symbols", _share(_gain, 5)),
    Statistic("gain_10", "closes 10 % above the previous close", "% of symbols", _share(_gain, 10), rare=True),
    Statistic("realised", "volatility of the minutes, over the day", "%", lambda m: _middle(m.realised) * 100),
    Statistic("kurtosis", "kurtosis of minute returns (normal: 3)", "", _kurtosis),
    Statistic("bounce", "autocorrelation of minute returns, lag 1", "", lambda m: _lagged(m.returns, 1)),
    Statistic("cluster_1", "autocorrelation of their size, lag 1", "", lambda m: _lagged(m.size, 1)),
    Statistic("cluster_5", "autocorrelation of their size, lag 5", "", lambda m: _lagged(m.size, 5)),
    Statistic("cluster_20", "autocorrelation of their size, lag 20", "", lambda m: _lagged(m.size, 20)),
    Statistic("next_day", "a day's volatility with the next day's", "", _next_day),
    Statistic("size_first", "size of returns, first 30 min over midday", "×", _size_over(_FIRST)),
    Statistic("size_last", "size of returns, last 30 min over midday", "×", _size_over(_LAST)),
    Statistic("volume_first", "volume, first 30 min over midday", "×", _volume_over(_FIRST)),
    Statistic("volume_last", "volume, last 30 min over midday", "×", _volume_over(_LAST)),
    Statistic("volume_size", "volume with the size of the return", "", _volume_with_size),
    Statistic("volume_1", "autocorrelation of volume, lag 1", "", _volume_clusters),
    Statistic("volume_days", "change of a day's volume, spread of its logarithm", "", _volume_changes),
    Statistic("corr_minute", "two symbols' minute returns, correlation", "", _every(1)),
    Statistic("corr_five", "two symbols' five-minute returns", "", _every(5)),
    Statistic("corr_daily", "two symbols' daily returns", "", _daily_correlation),
    Statistic("missing", "minutes without a trade, mean", "%", lambda m: np.asarray(np.nanmean(m.missing, axis=0))),
    Statistic("missing_90", "minutes without a trade, 90th percentile", "%", lambda m: _quantile(m.missing, 0.9)),
    Statistic("still", "minutes that end where the last one did", "%", _still),
    Statistic("range", "a bar's range over the size of its return", "×", _range),
    Statistic("price", "price, median", "$", lambda m: _middle(m.last)),
    Statistic("dollars", "traded in a day, median", "$ m", lambda m: _middle(m.shares * m.last) / 1e6),
    Statistic("spread", "quoted spread, median", "bp", _spread),
)  # fmt: skip


def series_of(panel: Panel) -> dict[str, Floats]:
    """Every statistic's value of every session."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a symbol or a session may be all NaN, and stays so
        with np.errstate(all="ignore"):
            market = Measured(panel)
            return {statistic.name: statistic.series(market) for statistic in STATISTICS}
