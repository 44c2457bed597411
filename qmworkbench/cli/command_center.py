"""The command center as a process of its own, started for a day and ended with it (§6 UI)."""

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qmworkbench.cli.output import Output

if TYPE_CHECKING:
    from qmworkbench.service.api_server import ApiAddress

START_S: Final = 60.0
END_S: Final = 5.0


class CommandCenter:
    """The page of a book. The day does not depend on it: one that does not start is said, and the session goes on."""

    def __init__(self, book: Path, out: Output) -> None:
        self._book = book
        self._out = out
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, address: "ApiAddress") -> str:
        """Start the page and return once it has said where it is. Raises NotReady with the remedy."""
        from qmworkbench.service.startup import NotReady

        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "dashboards.serve",
            "--book-dir",
            str(self._book),
            "--print-url",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the platform, which ends its page itself
        )
        assert self._process.stdout is not None, "its output was asked for"
        try:
            said = await asyncio.wait_for(self._process.stdout.readline(), START_S)
        except TimeoutError:
            await self.stop()
            raise NotReady(f"the command center did not start within {START_S:g} s: use --headless") from None
        url = said.decode().strip()
        if not url:
            code = await self._process.wait()
            raise NotReady(f"the command center ended with code {code}, see above: use --headless to go without it")
        self._out.say(f"command center: {url}")
        # Its key belongs to whoever started the day, and not into the record.
        return url.partition("?")[0]

    async def stop(self) -> None:
        """End the page; it is killed where it does not end by itself."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), END_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
