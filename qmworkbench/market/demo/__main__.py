"""Prints the acceptance table as docs/demo-market.md shows it: python -m qmworkbench.market.demo (§5 Data Check)."""

import sys

from qmworkbench.market.demo.acceptance import SAMPLES, demo_means, demo_panel, markdown, rows_of

if __name__ == "__main__":
    sys.stdout.write(markdown(rows_of(demo_means([demo_panel(seed, last) for seed, last in SAMPLES]))))
