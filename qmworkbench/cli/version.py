"""`qm version`: what exactly is running here (§5 System Check)."""

from qmworkbench.cli.options import AsJson
from qmworkbench.cli.output import begin


def version(json: AsJson = False) -> None:
    """Say which version of the workbench and of its main parts this is."""
    import sys
    from importlib import metadata

    import qmworkbench
    from qmworkbench.service.code_version import code_version

    out = begin(json=json)
    parts = ("polars", "numpy", "msgspec", "exchange-calendars", "fastapi", "papermill")
    found = {
        "qmworkbench": qmworkbench.__version__,
        "code": code_version(),
        "python": sys.version.split()[0],
        **{name: metadata.version(name) for name in parts},
    }

    def human() -> None:
        for name, value in found.items():
            out.line(f"{name:<20}{value}")

    out.result(found, human)
