"""What can stop a command: in words, with a remedy, and as an exit code (§2)."""

from typing import Final, NamedTuple

REFUSED: Final = 1
COULD_NOT_RUN: Final = 2
INTERRUPTED: Final = 130


class Failure(NamedTuple):
    """Why a command ended without doing what was asked. `what` names the thing and its value."""

    code: int
    what: str
    remedy: str = ""


class Stopped(Exception):
    """A command ends here, with a message and a code of its own."""

    def __init__(self, what: str, remedy: str = "", *, code: int = COULD_NOT_RUN) -> None:
        super().__init__(what)
        self.failure = Failure(code, what, remedy)


def failure_of(error: Exception) -> Failure | None:
    """The failure an exception of the platform stands for; None for one that nobody meant to be read by a user."""
    if isinstance(error, Stopped):
        return error.failure
    # Imported now: nothing of this is needed while all goes well.
    from qmworkbench.domain.chain import ChainBroken
    from qmworkbench.market.calendars import CalendarUnknown, NotASession
    from qmworkbench.market.findings import DataRefused
    from qmworkbench.ports import BrokerUnreachable, JournalFailed
    from qmworkbench.service.config_problems import ConfigRefused
    from qmworkbench.service.lease import LeaseLost, LeaseTaken
    from qmworkbench.service.plan import DayRefused
    from qmworkbench.service.shell import ShellStopped
    from qmworkbench.service.startup import StartupFailed
    from qmworkbench.storage.refused import StorageRefused
    from qmworkbench.strategies.catalog import UnknownStrategy
    from qmworkbench.venue.records import VenueError

    said = str(error)
    if isinstance(error, ConfigRefused):
        count = len(error.problems)
        what = f"the configuration is refused, {count} {'thing is' if count == 1 else 'things are'} wrong:\n"
        return Failure(REFUSED, what + "\n".join(f"  {line}" for line in said.splitlines()))
    if isinstance(error, DataRefused):
        return Failure(REFUSED, "the market data is refused:\n" + "\n".join(f"  {line}" for line in said.splitlines()))
    if isinstance(error, DayRefused | NotASession | CalendarUnknown | UnknownStrategy):
        return Failure(REFUSED, said)
    if isinstance(error, ChainBroken):
        return Failure(REFUSED, said, "restore the journal from a copy that verifies; do not trade this book")
    if isinstance(error, LeaseTaken | LeaseLost | StorageRefused | StartupFailed | VenueError):
        return Failure(COULD_NOT_RUN, said)
    if isinstance(error, JournalFailed | ShellStopped):
        return Failure(
            COULD_NOT_RUN,
            f"the platform stopped: {said}",
            "nothing more was sent; positions can be closed with `qm emergency --direct`",
        )
    if isinstance(error, BrokerUnreachable):
        return Failure(COULD_NOT_RUN, f"the broker does not answer: {said}", "restore the connection and try again")
    if type(error).__name__ == "ApiUnavailable":
        return Failure(COULD_NOT_RUN, said)
    return None
