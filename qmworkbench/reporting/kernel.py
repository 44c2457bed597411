"""The kernel a report's notebook runs in: this very Python, over local sockets, reading nobody's profile (§17)."""

import asyncio
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final

from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_event_loop

# A socket's path has room for about a hundred bytes; beyond that the kernel falls back to loopback ports.
_SOCKET_PATH_MAX: Final = 90


class ReportKernelManager(AsyncKernelManager):
    """Starts `sys.executable`, whatever kernel specifications lie about, and talks to it over Unix sockets.

    The directory that holds the sockets is readable by its owner alone and goes with the kernel. Who makes a subclass
    of its own finds its kernels in `started`.
    """

    started: ClassVar[list["ReportKernelManager"]] = []

    def __init__(self, **traits: Any) -> None:
        self._own_directory = Path(tempfile.mkdtemp(prefix="qm-kernel-"))
        (self._own_directory / "ipython").mkdir()
        connection = self._own_directory / "kernel.json"
        traits["connection_file"] = str(connection)
        if len(str(connection)) <= _SOCKET_PATH_MAX and sys.platform != "win32":
            traits["transport"] = "ipc"
        super().__init__(**traits)
        self.started.append(self)

    def kill(self) -> None:
        """End the kernel's process at once, from any thread."""
        process = getattr(self.provisioner, "process", None)
        if process is not None and process.poll() is None:
            process.kill()

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
            # A kernel that is asked to end is interrupted first, and would call that an error on our terminal. What
            # goes wrong in a notebook is told by its cells, what ends the kernel by whoever waits for it.
            "--log-level=CRITICAL",
        ]
        return own + list(extra_arguments or [])

    def give_up(self) -> None:
        """Remove the directory of a kernel that has ended."""
        shutil.rmtree(self._own_directory, ignore_errors=True)


def own_manager() -> type[ReportKernelManager]:
    """A manager class for one run, with a list of its own."""
    return type("RunKernelManager", (ReportKernelManager,), {"started": []})


def run_beside(work: Callable[[], None], managers: type[ReportKernelManager]) -> None:
    """Do `work`, which drives kernels of `managers`, in a thread with an event loop of its own, closed afterwards.

    So a report can be made from any thread, also where a loop runs already. An interrupt kills the kernel and is raised
    once the thread has ended. Raises whatever `work` raised.
    """
    failed: list[BaseException] = []

    def beside() -> None:
        loop = ensure_event_loop()
        try:
            work()
        except BaseException as error:  # handed to the thread that asked
            failed.append(error)
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
            asyncio.set_event_loop(None)

    thread = threading.Thread(target=beside, name="report kernel")
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.5)
    except KeyboardInterrupt:
        for manager in managers.started:
            manager.kill()
        thread.join()
        raise
    finally:
        for manager in managers.started:
            manager.give_up()
    if failed:
        raise failed[0]
