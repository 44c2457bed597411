"""Performance, as ratios against peers or the physical limit, in one run."""
