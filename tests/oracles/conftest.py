"""Where the published results lie."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def oracles(shared_data: Path) -> Path:
    """The folder of published results, beside the shared market data."""
    folder = shared_data.parent / "oracles"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder
