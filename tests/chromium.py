"""A real Chromium for tests: found, else fetched, else the test is skipped with the reason.

``browser`` lives as long as a test module, not the session: while Playwright's synchronous API runs, its
event loop counts as running in this thread, and every later ``asyncio.run`` of the same worker would fail.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PLACES = (
    Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
    Path("/Applications/Chromium.app/Contents/MacOS/Chromium"),
)
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    # Nothing outside this machine resolves: a page that needs a font or a script from elsewhere shows it.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]
_LOCAL_HOSTS = {"127.0.0.1", "localhost"}
_LOCAL_SCHEMES = {"about", "blob", "chrome-error", "data", "file"}
_FETCH_LIMIT_S = 420


def _starts(executable: Path) -> bool:
    """Whether the browser answers to --version: on some systems the name belongs to an installer's stub."""
    try:
        asked = subprocess.run([executable, "--version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def find_chromium() -> Path | None:
    """The first Chromium of this machine that starts, or Playwright's own download, or None."""
    named = [Path(found) for name in _NAMES if (found := shutil.which(name))]
    fetched = sorted(Path(os.environ["PLAYWRIGHT_BROWSERS_PATH"]).glob("chromium*/chrome-*/*"))
    own = [path for path in fetched if path.name in {"chrome", "chrome-headless-shell", "headless_shell"}]
    return next((path for path in (*named, *_PLACES, *own) if path.exists() and _starts(path)), None)


def _fetch() -> str:
    """Try to install a Chromium; returns what was tried and how it went, for the reason of a skip."""
    tried = []
    commands = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        apt = "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium"
        commands.insert(0, ["sh", "-c", apt])
    for command in commands:
        told = " ".join(command[-2:]) if command[0] != "sh" else "apt-get install chromium"
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=_FETCH_LIMIT_S, check=False, stdin=subprocess.DEVNULL
            )
            tried.append(f"'{told}' ended with {done.returncode}")
        except (OSError, subprocess.TimeoutExpired) as error:
            tried.append(f"'{told}' failed: {type(error).__name__}")
        if find_chromium():
            break
    return "; ".join(tried)


@pytest.fixture(scope="session")
def chromium_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The executable of a Chromium; fetched once for all workers when the machine has none."""
    found = find_chromium()
    if found:
        return found
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    outcome = shared / "chromium-fetch.txt"
    with (shared / "chromium-fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not outcome.exists():
            outcome.write_text(_fetch())
    found = find_chromium()
    if found is None:
        pytest.skip(f"no Chromium on this machine, and none could be fetched ({outcome.read_text()}); install one")
    return found


@pytest.fixture(scope="module")
def browser(chromium_path: Path) -> Iterator[Browser]:
    """A headless Chromium with a fresh profile, for the tests of one module."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium_path, args=_FLAGS)
        try:
            yield running
        finally:
            running.close()


def is_external(url: str) -> bool:
    """Whether a page's request leaves this machine."""
    parts = urlsplit(url)
    return parts.scheme not in _LOCAL_SCHEMES and parts.hostname not in _LOCAL_HOSTS


@pytest.fixture
def page_faults() -> list[str]:
    """What went wrong on ``page``: console errors, uncaught exceptions, requests that left the machine.

    A test that provokes an error on purpose looks at the list and clears it.
    """
    return []


@pytest.fixture
def page(browser: Browser, page_faults: list[str]) -> Iterator[Page]:
    """A page of 1440 x 900 in a context of its own; the test fails at its end if ``page_faults`` has any."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US")
    opened = context.new_page()

    def note_console(said: ConsoleMessage) -> None:
        # The browser asks every server for an icon of its own accord; a page without one is not at fault.
        if said.type == "error" and not said.location.get("url", "").endswith("/favicon.ico"):
            page_faults.append(f"console: {said.text}")

    def note_request(url: str) -> None:
        if is_external(url):
            page_faults.append(f"external request: {url}")

    opened.on("console", note_console)
    opened.on("pageerror", lambda error: page_faults.append(f"uncaught: {error}"))
    opened.on("request", lambda request: note_request(request.url))
    opened.on("websocket", lambda socket: note_request(socket.url))
    try:
        yield opened
    finally:
        context.close()
    assert not page_faults, "the page was not clean:\n" + "\n".join(page_faults)
