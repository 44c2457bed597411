"""The page's process: who is let in, what leaves it, how it starts and ends."""

import logging
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tornado.websocket import WebSocketClosedError

from dashboards import serve
from dashboards.core_api import page_key
from tests.dashboards import scenarios
from tests.dashboards.fake_core_api import TOKEN, FakeCoreApi
from tests.dashboards.page_process import ROOT, PageProcess


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeCoreApi]:
    served = FakeCoreApi(scenarios.daily_loss(), scenarios.health())
    yield served
    served.close()


@pytest.fixture(scope="module")
def served(fake: FakeCoreApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageProcess]:
    book = tmp_path_factory.mktemp("book")
    fake.write_api_json(book)
    process = PageProcess("--book-dir", str(book))
    yield process
    if process.process.poll() is None:
        process.stop()


def get(url: str, **headers: str) -> httpx.Response:
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the usual authorities take long to load
    return httpx.get(url, headers=headers, trust_env=False, follow_redirects=True, timeout=120, verify=plain)


def test_the_page_opens_with_its_key(served: PageProcess) -> None:
    answer = get(served.url)
    assert answer.status_code == 200
    assert "QuantMatrix command center" in answer.text
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


@pytest.mark.parametrize("path", ["/", "/?key=", "/?key=guess", "/autoload.js?bokeh-autoload-element=x", "/metadata"])
def test_without_the_key_there_is_nothing_to_see(served: PageProcess, path: str) -> None:
    answer = get(served.base + path)
    assert answer.status_code == 403
    assert "opens with the whole address" in answer.text
    assert "HALTED" not in answer.text


def test_a_foreign_name_for_this_machine_is_refused(served: PageProcess) -> None:
    """A page elsewhere may have its own name point to 127.0.0.1."""
    assert get(served.url, Host=f"evil.example:{served.port}").status_code == 403
    assert get(served.url, Host=f"localhost:{served.port}").status_code == 200


def handshake(served: PageProcess, origin: str, cookie: str) -> str:
    """The status line a websocket is answered with."""
    lines = [
        "GET /ws HTTP/1.1",
        f"Host: 127.0.0.1:{served.port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol: bokeh, token",
        f"Origin: {origin}",
        f"Cookie: {cookie}",
    ]
    with socket.create_connection(("127.0.0.1", served.port), timeout=120) as plain:
        plain.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        return plain.recv(200).decode().partition("\r\n")[0]


def test_websockets_are_for_this_page_alone(served: PageProcess) -> None:
    key = served.url.partition("key=")[2]
    cookie = f"qm_page_{served.port}={key}"
    assert handshake(served, served.base, cookie) == "HTTP/1.1 101 Switching Protocols"
    assert "403" in handshake(served, "https://evil.example", cookie)
    assert "403" in handshake(served, f"http://127.0.0.1:{served.port + 1}", cookie)
    assert "403" in handshake(served, served.base, "")


def test_nothing_asks_for_anything_outside(served: PageProcess) -> None:
    page = get(served.url).text
    assert "https://" not in page
    assert "Content-Security-Policy" in page


def test_the_token_never_leaves_the_process(served: PageProcess, fake: FakeCoreApi) -> None:
    assert TOKEN not in get(served.url).text
    assert TOKEN not in served.url
    assert TOKEN not in served.log()
    assert fake.headers[-1] == f"Bearer {TOKEN}"


def test_the_address_survives_a_restart_of_the_page(served: PageProcess) -> None:
    assert served.url.partition("key=")[2] == page_key(TOKEN)


def test_it_ends_in_order(fake: FakeCoreApi, tmp_path: Path) -> None:
    """Whole arguments: address and token file; and a key although no platform answers."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    process = PageProcess("--api", fake.url, "--token-file", str(token), "--timezone", "UTC")
    assert get(process.url).status_code == 200
    assert process.stop() == 0
    assert process.log() == ""


def test_a_browser_that_leaves_is_no_news() -> None:
    def record(error: Exception) -> logging.LogRecord:
        return logging.LogRecord("asyncio", logging.ERROR, "", 0, "never retrieved", (), (type(error), error, None))

    assert not serve._is_news(record(WebSocketClosedError()))
    assert serve._is_news(record(ValueError("a real one")))
    assert serve._is_news(logging.LogRecord("asyncio", logging.ERROR, "", 0, "no exception", (), None))


def test_a_taken_port_is_named(served: PageProcess, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dashboards.serve", "--book-dir", str(tmp_path), "--port", str(served.port)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.strip().endswith(
        f"port {served.port} cannot be used (Address already in use): give another --port, or 0"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--book-dir", "/nowhere/at/all"], "--book-dir /nowhere/at/all is no directory"),
        (["--book-dir", ".", "--port", "80000"], "--port 80000 is no port"),
        (["--book-dir", ".", "--port", "-1"], "--port -1 is no port"),
        (["--api", "http://127.0.0.1:1"], "--api needs --token-file"),
        (["--book-dir", ".", "--token-file", "x"], "--token-file belongs to --api"),
        (["--api", "http://example.com:1", "--token-file", "x"], "served on loopback alone"),
        (["--book-dir", ".", "--timezone", "Mars/Olympus"], "--timezone 'Mars/Olympus' is not known"),
        (["--book-dir", ".", "--origin", "example.com"], "--origin 'example.com' is not HOST:PORT"),
        (["--book-dir", ".", "--origin", "*:80"], "--origin '*:80' is not HOST:PORT"),
    ],
)
def test_bad_arguments_are_named(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert serve.main(arguments) == 2
    assert said in capsys.readouterr().err
