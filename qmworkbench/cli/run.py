"""Runs one command and turns whatever stopped it into one block of words and an exit code (§2)."""

import os
import sys
from collections.abc import Sequence

from qmworkbench.cli.failures import Failure, failure_of


def run(argv: Sequence[str] | None) -> int:
    """The exit code of the command given. A user's error gives no traceback; QM_DEBUG=1 shows one for any."""
    from qmworkbench.cli.app import app

    try:
        app(args=None if argv is None else list(argv), prog_name="qm")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 2
    except KeyboardInterrupt:
        say(Failure(130, "interrupted", "give the same command again; nothing was left half done"))
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough; the interpreter must not complain about it while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        failure = failure_of(error)
        if failure is None or os.environ.get("QM_DEBUG") == "1":
            raise
        say(failure)
        return failure.code
    return 0


def say(failure: Failure) -> None:
    """Write what went wrong, and the remedy where it is not part of it, to standard error."""
    text = f"qm: {failure.what}"
    if failure.remedy:
        text += f"\n    {failure.remedy}"
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
