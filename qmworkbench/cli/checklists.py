"""The preflight a day is gated by, as the service gathers and the operations floor judges it (§5, §8)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qmworkbench.service.config import Config
    from qmworkbench.service.day import Preflight


def day_preflight(config: "Config") -> "Preflight":
    """The checks of both phases on an open platform, with their evidence."""
    from qmworkbench.service.evidence import platform_preflight

    return platform_preflight(config)
