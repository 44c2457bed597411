"""The kernel a report's notebook runs in: this very Python, over local sockets, reading nobody's profile (§17)."""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from jupyter_client.manager import AsyncKernelManager

# A socket's path has room for about a hundred bytes; beyond that the kernel falls back to loopback ports.
_SOCKET_PATH_MAX: Final = 90


class ReportKernelManager(AsyncKernelManager):
    """Starts `sys.executable`, whatever kernel specifications lie about, and talks to it over Unix sockets.

    The directory that holds the sockets is readable by its owner alone and goes with the kernel.
    """

    def __init__(self, **traits: Any) -> None:
        self._own_directory = Path(tempfile.mkdtemp(prefix="qm-kernel-"))
        (self._own_directory / "ipython").mkdir()
        connection = self._own_directory / "kernel.json"
        traits["connection_file"] = str(connection)
        if len(str(connection)) <= _SOCKET_PATH_MAX and sys.platform != "win32":
            traits["transport"] = "ipc"
        super().__init__(**traits)

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """The command line; a fresh profile directory keeps startup files and history out of a report."""
        own = [
            sys.executable,
            "-Xfrozen_modules=off",
            "-m",
            "ipykernel_launcher",
            "-f",
            str(self.connection_file),
            f"--ipython-dir={self._own_directory / 'ipython'}",
            "--HistoryManager.enabled=False",
        ]
        return own + list(extra_arguments or [])

    def cleanup_resources(self, restart: bool = False) -> Any:
        """Give sockets and directory up; the directory stays while the kernel is only restarted."""
        done = super().cleanup_resources(restart=restart)
        if not restart:
            shutil.rmtree(self._own_directory, ignore_errors=True)
        return done
