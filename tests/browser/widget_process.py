"""The widgets of a notebook as a page of a process of their own: `python -m tests.browser.widget_process KIND DIR`."""

import sys
from pathlib import Path
from typing import Any

import panel as pn


def sweep_explorer(home: Path) -> Any:
    """The map of a kept sweep."""
    from qmworkbench.reporting import sweep_explorer_map
    from tests.reporting.test_sweep_explorer_report import explored

    return sweep_explorer_map.interactive(explored(home))


def backtest_explorer(home: Path) -> Any:
    """A crossing of averages on one share, as the notebook begins."""
    from qmworkbench.reporting import backtest_explorer, backtest_widgets
    from qmworkbench.reporting.parameters import BacktestParameters

    asked = BacktestParameters(strategy="sma-cross", symbols="GOOG", params="flat=carry", vary="")
    return backtest_widgets.interactive(backtest_explorer.load(asked))


KINDS = {"sweep": sweep_explorer, "backtest": backtest_explorer}


def main() -> None:
    kind, home = sys.argv[1:]
    pn.extension("tabulator")

    import holoviews as hv

    hv.extension("bokeh")
    # What a notebook makes in a cell is made when the page is asked for: `show` would open a browser, `port` 0 is any.
    server = pn.serve(lambda: KINDS[kind](Path(home)), port=0, show=False, start=False, verbose=False, title=kind)
    print(f"http://localhost:{server.port}/", flush=True)
    server.run_until_shutdown()


if __name__ == "__main__":
    main()
