"""A small object store over real sockets: the part of the S3 protocol that an archive needs, and a log of requests.

PUT (whole and in parts), GET (whole and by range), HEAD, and LIST in short pages. With `keys` a request that was not
signed by a known key is refused; an unsigned GET is what a web server would be asked.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

KEY, SECRET = "AKIAEXAMPLEOFTESTS", "a-secret-that-must-never-be-seen"
_PAGE = 7
_STAMP = {"ETag": '"1"', "Last-Modified": "Fri, 02 Mar 2018 21:00:00 GMT", "Accept-Ranges": "bytes"}


class ObjectStore:
    """What is stored, by key within the bucket, and what was asked: (method, key, range). `refuse_puts_of` makes the
    store fail for keys that end so, from `refuse_from_part` on where they come in parts; `spoil_puts_of` makes it keep
    another byte in the middle of them. `parts` tells how many each upload was put together of; `signed` demands a
    signature.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.parts: dict[str, int] = {}
        self.refuse_puts_of = self.spoil_puts_of = ""
        self.refuse_from_part = 1
        self.signed = True
        self.address = ""
        self.bucket = ""  # each store has its own: polars remembers how it reached a bucket

    def place(self, path: str = "archive") -> str:
        """An address within the bucket, as polars takes it."""
        return f"s3://{self.bucket}/{path}"

    def environ(self) -> dict[str, str]:
        """What polars needs to know, as the environment gives it."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ALLOW_HTTP": "true",
        }

    def keep(self, key: str, body: bytes) -> None:
        """What a PUT comes to."""
        if self.spoil_puts_of and key.endswith(self.spoil_puts_of):
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        self.objects[key] = body

    def fetched(self, ending: str) -> list[str]:
        """The keys whose content was asked for and that end so."""
        return [key for method, key, _ in self.asked if method == "GET" and key.endswith(ending)]


@contextmanager
def serving() -> Iterator[ObjectStore]:
    """An object store at a free port of this machine."""
    store = ObjectStore()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"store": store}))
    server.daemon_threads = True
    store.address = f"http://127.0.0.1:{server.server_port}"
    store.bucket = f"desk-{os.getpid()}-{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    store: ObjectStore

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""

    def _begin(self) -> tuple[str, dict[str, list[str]], bytes] | None:
        """Key, query and body; None where the request was refused."""
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        key = unquote(parts.path).strip("/").removeprefix(self.store.bucket).strip("/")
        self.store.asked.append((self.command, key, self.headers.get("Range") or ""))
        if self.store.signed and f"Credential={KEY}/" not in (self.headers.get("Authorization") or ""):
            self._answer(403, f"<Error><Code>InvalidAccessKeyId</Code><Message>{SECRET}</Message></Error>".encode())
            return None
        return key, parse_qs(parts.query, keep_blank_values=True), body

    def do_PUT(self) -> None:
        if (begun := self._begin()) is None:
            return
        key, query, body = begun
        part = int(query.get("partNumber", ["1"])[0])
        refused = self.store.refuse_puts_of
        if refused and key.endswith(refused) and part >= self.store.refuse_from_part:
            self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        elif "partNumber" in query:
            self.store.uploads[query["uploadId"][0]][part] = body
            self._answer(200)
        else:
            self.store.keep(key, body)
            self._answer(200)

    def do_POST(self) -> None:
        if (begun := self._begin()) is None:
            return
        key, query, _ = begun
        if "uploads" in query:
            number = str(len(self.store.uploads) + 1)
            self.store.uploads[number] = {}
            told = f"<UploadId>{number}</UploadId><Bucket>{self.store.bucket}</Bucket><Key>{escape(key)}</Key>"
            self._answer(200, f"<InitiateMultipartUploadResult>{told}</InitiateMultipartUploadResult>".encode())
            return
        pieces = self.store.uploads.pop(query["uploadId"][0])
        self.store.parts[key] = len(pieces)
        self.store.keep(key, b"".join(pieces[number] for number in sorted(pieces)))
        told = f"<Bucket>{self.store.bucket}</Bucket><Key>{escape(key)}</Key><ETag>&quot;1&quot;</ETag>"
        self._answer(200, f"<CompleteMultipartUploadResult>{told}</CompleteMultipartUploadResult>".encode())

    def do_GET(self) -> None:
        if (begun := self._begin()) is None:
            return
        key, query, _ = begun
        if "list-type" in query:
            self._answer(200, _listing(self.store, query))
            return
        content = self.store.objects.get(key)
        if content is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        asked = self.headers.get("Range")
        if asked is None:
            self._answer(200, content, _STAMP)
            return
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start = int(first) if first else max(0, len(content) - int(last))
        end = min(int(last) + 1 if first and last else len(content), len(content))
        self._answer(206, content[start:end], {**_STAMP, "Content-Range": f"bytes {start}-{end - 1}/{len(content)}"})

    def do_HEAD(self) -> None:
        if (begun := self._begin()) is None:
            return
        content = self.store.objects.get(begun[0])
        if content is None:
            self._answer(404)
        else:
            self._answer(200, content, _STAMP)

    def do_DELETE(self) -> None:
        if (begun := self._begin()) is None:
            return
        key, query, _ = begun
        if "uploadId" in query:
            self.store.uploads.pop(query["uploadId"][0], None)
        else:
            self.store.objects.pop(key, None)
        self._answer(204)

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"ETag": '"1"', **(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _listing(store: ObjectStore, query: dict[str, list[str]]) -> bytes:
    """One page of the keys below a prefix, and whether there are more."""
    objects = store.objects
    prefix, after = query.get("prefix", [""])[0], query.get("continuation-token", [""])[0]
    keys = [key for key in sorted(objects) if key.startswith(prefix) and key > after]
    page, more = keys[:_PAGE], len(keys) > _PAGE
    entries = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>2018-03-02T21:00:00.000Z</LastModified>"
        f"<ETag>1</ETag><Size>{len(objects[key])}</Size></Contents>"
        for key in page
    )
    following = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
    return (
        f"<ListBucketResult><Name>{store.bucket}</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount>"
        f"<MaxKeys>{_PAGE}</MaxKeys><IsTruncated>{str(more).lower()}</IsTruncated>{following}{entries}</ListBucketResult>"
    ).encode()
