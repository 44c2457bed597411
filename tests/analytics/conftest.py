"""What several analytics tests stand on."""

import pytest

from qmworkbench.analytics.session_record import SessionRecord, record_of
from qmworkbench.domain.events import decode
from tests.trading.world import World


@pytest.fixture(scope="session")
def blank() -> SessionRecord:
    """A session in which nothing happened; tests lay their own tables over it."""
    world = World(boundaries=2)
    world.open()
    world.close()
    return record_of(decode(line) for line in world.journal)
