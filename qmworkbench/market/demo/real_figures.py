"""What real sessions measured, as figures alone: the side of the acceptance table that does not change (§5).

Made by `acceptance.figures_of` from 20 sessions of 194 liquid US shares, 2018-02-16 to 2018-03-16, and for the spread
from the quotes of AIG, BAC, IBM and SPY on six days of October 2013. No bar is kept here.
"""

from collections.abc import Mapping
from typing import Final

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A statistic's mean over sessions, its standard deviation from day to day, and its standard error over symbols."""

    mean: float
    by_day: float
    by_symbols: float


def _figure(mean: float, by_day: float, by_symbols: float) -> Figure:
    return Figure(mean=mean, by_day=by_day, by_symbols=by_symbols)


REAL: Final[Mapping[str, Figure]] = {
    "move": _figure(1.0835, 0.3803, 0.02941),
    "move_95": _figure(3.7794, 1.08, 0.1331),
    "gap": _figure(0.46213, 0.2103, 0.01456),
    "gap_95": _figure(1.807, 0.7521, 0.07626),
    "up_5": _figure(2.7885, 3.116, 0.3898),
    "up_10": _figure(0.38673, 0.645, 0.08847),
    "up_15": _figure(0.20619, 0.4847, 0.0753),
    "gain_5": _figure(1.6047, 1.743, 0.2261),
    "gain_10": _figure(0.32598, 0.4284, 0.06948),
    "realised": _figure(1.5422, 0.2504, 0.04199),
    "kurtosis": _figure(5.5433, 0.6337, 0.08724),
    "bounce": _figure(-0.066474, 0.02092, 0.003186),
    "cluster_1": _figure(0.055325, 0.006032, 0.002333),
    "cluster_5": _figure(0.027469, 0.007092, 0.001114),
    "cluster_20": _figure(0.012655, 0.008327, 0.001129),
    "next_day": _figure(0.30624, 0.14, 0.02707),
    "size_first": _figure(2.2421, 0.2577, 0.01277),
    "size_last": _figure(1.119, 0.2094, 0.01026),
    "volume_first": _figure(2.338, 0.2629, 0.06044),
    "volume_last": _figure(4.2489, 0.7423, 0.1076),
    "volume_size": _figure(0.20705, 0.0267, 0.003196),
    "volume_1": _figure(0.19576, 0.02654, 0.006218),
    "volume_days": _figure(0.37819, 0.04159, 0.008942),
    "corr_minute": _figure(0.21155, 0.06355, 0.009053),
    "corr_five": _figure(0.23216, 0.07777, 0.008796),
    "corr_daily": _figure(0.25306, 0.2796, 0.01349),
    "missing": _figure(1.1694, 0.3628, 0.1607),
    "missing_90": _figure(3.4564, 1.297, 0.4293),
    "still": _figure(8.2039, 1.112, 0.4005),
    "range": _figure(1.6439, 0.02256, 0.01473),
    "price": _figure(57.381, 0.7778, 4.313),
    "dollars": _figure(205.18, 27.09, 8.641),
    "spread": _figure(2.2068, 0.3301, 1.426),
}
