"""A Core API on loopback that says what a test scripts: snapshots, health, events, answers, and ways to fail."""

import json
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "token-of-the-fake-platform-7f3a9c"


class FakeCoreApi:
    """Set `snapshot`, `health`, `events`; read `commands`. `answer` maps a command's name to (code, answer).

    `mode` is "ok", "hang" (accepts and does not answer), "garbage" (answers no JSON) or "locked" (401 to every token).
    `stop()` closes the socket; `start()` opens it again at the same port.
    """

    def __init__(self, snapshot: dict[str, Any], health: dict[str, Any]) -> None:
        self.snapshot = snapshot
        self.health = health
        self.events: list[dict[str, Any]] = []
        self.commands: list[dict[str, Any]] = []
        self.headers: list[str] = []
        self.answer: dict[str, tuple[int, dict[str, Any]]] = {}
        self.mode = "ok"
        self.token = TOKEN
        self.port = 0
        self.known: int | None = None  # the version that the last reader to ask has
        self._kept: socket.socket | None = None
        self._server: ThreadingHTTPServer | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def write_api_json(self, book: Path, process_id: str = "p1") -> None:
        content = {
            "url": self.url,
            "token": self.token,
            "pid": 1,
            "process_id": process_id,
            "started_at": "2018-03-02T14:00:00Z",
        }
        fresh = book / "api.json.new"
        fresh.write_text(json.dumps(content))
        fresh.replace(book / "api.json")

    def show(self, snapshot: dict[str, Any]) -> None:
        """Put up another snapshot, under a version of its own."""
        self.snapshot = snapshot | {"version": self.snapshot["version"] + 1}

    def start(self) -> None:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                self._answer(fake.get)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                self._answer(partial(fake.post, body=body))

            def _answer(self, respond: Callable[[str, dict[str, str]], tuple[int, bytes]]) -> None:
                if fake._server is None:  # a kept-alive connection of a platform that is gone
                    self.close_connection = True
                    return
                code, content = respond(self.path, dict(self.headers))
                try:
                    self.send_response(code)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            allow_reuse_address = True

        self._let_port_go()
        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Nothing listens any more; kept-alive connections end with their next answer. The port stays ours."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            self._kept = socket.socket()
            self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._kept.bind(("127.0.0.1", self.port))

    def close(self) -> None:
        """For good."""
        self.stop()
        self._let_port_go()

    def _let_port_go(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def get(self, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        refusal = self._refusal(headers)
        if refusal is not None:
            return refusal
        parts = urlsplit(path)
        given = parse_qs(parts.query)
        if parts.path == "/api/snapshot":
            if given.get("since") == [str(self.snapshot["version"])]:
                self.known = self.snapshot["version"]
                return 200, json.dumps({"version": self.snapshot["version"], "unchanged": True}).encode()
            return 200, json.dumps(self.snapshot).encode()
        if parts.path == "/api/health":
            return (503 if self.health["status"] == "failed" else 200), json.dumps(self.health).encode()
        if parts.path == "/api/events":
            types, after, limit = given["types"][0].split(","), int(given["after"][0]), int(given["limit"][0])
            found = [event for event in self.events if event["type"] in types and event["seq"] > after]
            return 200, json.dumps({"events": found[:limit], "head": 4212}).encode()
        return 404, b'{"reason": "not here"}'

    def post(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        refusal = self._refusal(headers)
        if refusal is not None:
            return refusal
        request = json.loads(body)
        self.commands.append(request)
        accepted = {"accepted": True, "effect": "done", "reason": "", "remedy": ""}
        code, answer = self.answer.get(request["command"]["command"], (200, accepted))
        return code, json.dumps({"command_id": request["command_id"]} | answer).encode()

    def _refusal(self, headers: dict[str, str]) -> tuple[int, bytes] | None:
        self.headers.append(headers.get("Authorization", ""))
        if self.mode == "hang":
            time.sleep(60)
        if self.mode == "garbage":
            return 200, b"<html>not the Core API</html>"
        if self.mode == "locked" or headers.get("Authorization") != f"Bearer {self.token}":
            return 401, json.dumps({"reason": "the token is missing or wrong", "remedy": "send it"}).encode()
        return None
