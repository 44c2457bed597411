"""What analytics saw during the session (§9 Analytics Signals)."""

from decimal import Decimal

import msgspec

from qmworkbench.domain.events.base import Input


class AnalyticsSignal(msgspec.Struct, frozen=True, kw_only=True):
    """One of §9's four signals about one subject, where its sample is large enough to say anything.

    `code` is unusual_slippage, repeated_failed_entries, systematic_late_exits or unusual_concentration; `subject` the
    symbol or instance it is about. `value` against `threshold` in `unit`, from `sample` observations. `active`: beyond
    the threshold. `text` says it in words.
    """

    code: str
    subject: str
    value: Decimal
    threshold: Decimal
    unit: str
    sample: int
    active: bool
    text: str


class AnalyticsObserved(Input, frozen=True, kw_only=True, tag="analytics.observed"):
    """The signals that changed since they were last told: newly active, or no longer. Before a session is summarized
    also where each of the four came to stand.
    """

    signals: tuple[AnalyticsSignal, ...]
