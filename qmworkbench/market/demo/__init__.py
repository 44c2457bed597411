"""A made-up market from a seed, so that a session needs no file (§6 local: demo feed).

docs/demo-market.md says what it is made of, what it is like beside a real one, and what it leaves out.
"""

from qmworkbench.market.demo.actions import demo_actions
from qmworkbench.market.demo.listings import ANCHOR, FIRST_DAY
from qmworkbench.market.demo.sessions import (
    DEMO_SYMBOLS,
    HISTORY_DAYS,
    MOST_SYMBOLS,
    DemoCompany,
    demo_bars,
    demo_companies,
    demo_session,
    demo_symbols,
)
from qmworkbench.market.demo.wide import WIDE_DATE, wide_session

__all__ = [
    "ANCHOR",
    "DEMO_SYMBOLS",
    "FIRST_DAY",
    "HISTORY_DAYS",
    "MOST_SYMBOLS",
    "WIDE_DATE",
    "DemoCompany",
    "demo_actions",
    "demo_bars",
    "demo_companies",
    "demo_session",
    "demo_symbols",
    "wide_session",
]
