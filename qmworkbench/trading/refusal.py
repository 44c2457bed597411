"""A person's command that may not be carried out: refused on record with the reason and the remedy (§10, §23)."""

from qmworkbench.trading.state import State


class Refused(Exception):
    """A command that may not be carried out: why, and what to do instead. Nothing has been changed by it."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy


def demand_session(state: State) -> None:
    """Raise Refused where no session is open: there is nothing to command then."""
    if state.session is None or state.session.session_id in state.closed_sessions:
        raise Refused("no session is open in this book", "start one with `qm day`")
