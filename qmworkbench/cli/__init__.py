"""The command line `qm`: a thin shell over the service, the journal and the reports (§2)."""

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run `qm` with these arguments, the process's own if not given; returns the exit code.

    0 done or GO, 1 refused or NO-GO, 2 could not run, 130 interrupted; a command that means more says so in its help.
    """
    from qmworkbench.cli.run import run

    return run(argv)
