"""How a command ends (§8): what a timer, a script and a person may rely on."""

from enum import IntEnum


class Exit(IntEnum):
    """OK: done, or GO. NO_GO: looked, and the answer is no. FAILED: could not be done or looked at."""

    OK = 0
    NO_GO = 1
    FAILED = 2
    INTERRUPTED = 130


EPILOG = "Exit codes: 0 done or GO · 1 NO-GO or refused · 2 could not run · 130 interrupted."
