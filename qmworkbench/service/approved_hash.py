"""Which parameter set of an instance is approved now: what a restart is held against (§10)."""

from qmworkbench.service.config import Config
from qmworkbench.storage.refused import StorageRefused


def approved_hash(config: Config, instance_id: str) -> str:
    """The hash of the approved set; "" where it cannot be told: the instance is unknown, or the ledger unreadable."""
    from qmworkbench.service.approvals import Desk, UnknownInstance  # which looks at the book, as the platform does

    try:
        return Desk(config).view(instance_id).approved.hash
    except (UnknownInstance, StorageRefused, OSError):
        return ""
