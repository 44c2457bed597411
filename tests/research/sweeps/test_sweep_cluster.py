"""The same sweep on a dask cluster: the same rows, whoever computed them."""

from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from qmworkbench.research.sweeps.cluster import ClusterRefused
from qmworkbench.research.sweeps.sweep import How, sweep
from tests.research.sweeps.sweep_cases import NoSecondOpinion, walk


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_workers_bring_the_same_rows_in_the_same_order(tmp_path: Path) -> None:
    import distributed

    frame = walk(600, seed=1)
    with distributed.LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=1,
        threads_per_worker=1,
        dashboard_address=None,
        local_directory=tmp_path,
        scheduler_port=0,
    ) as cluster:
        for strategy, grid, asked in (
            ("sma-plain", "fast=2:6,slow=8:20:3", {}),
            ("sma-cross", "fast=2:9,slow=10:40", {"search": 70, "seed": 2}),
        ):
            here = sweep(strategy, frame, grid, how=How(threads=1, sample=NoSecondOpinion(), chunk=4), **asked)
            how = How(sample=NoSecondOpinion(), chunk=4, cluster=cluster.scheduler_address)
            there = sweep(strategy, frame, grid, how=how, **asked)
            assert_frame_equal(there.rows, here.rows, check_exact=True)
            assert there.worth == here.worth
            assert there.manifest["engine"] == "kernel, on 1 dask workers"


def test_no_scheduler_there_is_said_with_how_to_start_one() -> None:
    how = How(sample=NoSecondOpinion(), cluster="http://127.0.0.1:1")
    with pytest.raises(ClusterRefused, match="no dask scheduler answers at") as refused:
        sweep("sma-plain", walk(200), "fast=2,slow=5", how=how)
    assert "dask scheduler" in refused.value.remedy
