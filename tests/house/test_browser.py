"""The browser fixtures: a real Chromium, and a page whose faults are not overlooked."""

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Page

from tests.chromium import is_external

pytestmark = pytest.mark.browser


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a small web server, and the folder it serves."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(tmp_path)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", tmp_path
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_clean_page_is_clean(page: Page, page_faults: list[str], served: tuple[str, Path]) -> None:
    address, folder = served
    (folder / "clean.html").write_text("<title>Clean</title><script>document.title += ' indeed'</script>")
    page.goto(f"{address}/clean.html")
    assert page.title() == "Clean indeed"
    assert page_faults == []


@pytest.mark.parametrize(
    ("markup", "fault"),
    [
        ("<script>console.error('planted')</script>", "console: planted"),
        ("<script>throw new Error('planted')</script>", "uncaught: planted"),
        ("<img src='http://fonts.example/logo.png'>", "external request: http://fonts.example/logo.png"),
        ("<script>new WebSocket('ws://feed.example/x')</script>", "external request: ws://feed.example/x"),
    ],
)
def test_a_fault_is_noted(
    page: Page, page_faults: list[str], served: tuple[str, Path], markup: str, fault: str
) -> None:
    address, folder = served
    (folder / "faulty.html").write_text(f"<title>Faulty</title>{markup}")
    page.goto(f"{address}/faulty.html")
    for _ in range(600):  # what a page does is told to us in its own time
        if any(fault in each for each in page_faults):
            break
        page.wait_for_timeout(100)
    noted = list(page_faults)
    page_faults.clear()
    assert any(fault in each for each in noted), noted


def test_a_report_on_disk_is_not_external(page: Page, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text("<title>Report</title><img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>")
    page.goto(report.as_uri())
    assert page.title() == "Report"


def test_what_counts_as_external() -> None:
    assert not is_external("http://127.0.0.1:5006/day")
    assert not is_external("data:image/gif;base64,R0lG")
    assert is_external("https://cdn.example/x.js")
    assert is_external("http://127.0.0.1.example/")
