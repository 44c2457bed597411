"""`qm`: the one command of the workbench (§3, §8). Everything heavy is imported by the command that needs it."""


def main() -> None:
    """Entry point of `qm`; ends the process with the command's exit code."""
    from qmworkbench.cli.app import run

    run()
