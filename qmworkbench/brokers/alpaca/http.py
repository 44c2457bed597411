"""Requests to the broker, each with its end: a definite answer, a definite no, or no conclusion at all (§13).

| what comes back | a request (submit, cancel, replace) | a read |
|---|---|---|
| 2xx, readable | took effect | the answer |
| 4xx, but 408 | definite no (429 too: the broker says so before it looks) | definite no |
| 408, 5xx, 3xx, unreadable | unknown: it may have taken effect | tried again, then unreachable |
| timeout, break, no connection, no such name | unknown, never "rejected" | tried again, then unreachable |

A request is never repeated here: whoever sent it asks for the order by its id.
"""

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec

from qmworkbench.brokers.alpaca.bucket import Bucket
from qmworkbench.brokers.alpaca.reading import Malformed, excerpt, parsed
from qmworkbench.brokers.alpaca.words import CODES, SENTENCES
from qmworkbench.ports import BrokerUnreachable, OutcomeUnknown, RequestRefused

STAMP_HEADER: Final = "X-QM-Stamp"
UPDATES_HEADER: Final = "X-QM-Updates"
VENUE_HEADER: Final = "X-QM-Venue"
_REQUEST_TIMEOUT: Final = 408
_TOO_MANY: Final = 429


class HostNotEnabled(Exception):
    """A host that this version does not trade with; the message says which are."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the broker is and who asks. The secret goes into headers and nowhere else.

    `enabled_hosts` are hosts beyond this machine that a caller has enabled on purpose: none, outside of tests.
    Times are seconds; `retries` are those of reads alone.
    """

    url: str
    key_id: str
    secret: str = field(repr=False)
    connect_s: float = 2.0
    answer_s: float = 5.0
    retries: int = 2
    retry_after_s: float = 0.1
    enabled_hosts: frozenset[str] = frozenset()

    def demand_enabled(self) -> None:
        """Raise HostNotEnabled for anything but this machine."""
        host = urlsplit(self.url).hostname or ""
        try:
            here = ip_address(host).is_loopback
        except ValueError:
            here = host == "localhost"
        if not here and host not in self.enabled_hosts:
            raise HostNotEnabled(
                f"{host or self.url!r} is not enabled: this version speaks Alpaca's wire to a venue on this machine "
                "alone (`qm venue serve`, for example http://127.0.0.1:8900); paper and live hosts come with the full "
                "adapters. Nothing was connected"
            )


@dataclass(frozen=True)
class Said:
    """An answer: its content, and how far the books had got by then (0 where the broker does not say)."""

    content: Any
    stamp: int


class Refused(RequestRefused):
    """A definite no. `reported` says that the stream will tell of it too; `status` is HTTP's, `stamp` as of Said."""

    def __init__(self, message: str, *, status: int, reported: bool = False, stamp: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.reported = reported
        self.stamp = stamp


def _trusted(url: str) -> ssl.SSLContext | bool:
    """Whose certificates count: the usual authorities; over plain HTTP nobody's, which saves loading them."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if url.startswith("http://") else True


class Http:
    """One client of one account. Calls may come from several threads at once: none waits for another."""

    def __init__(
        self,
        address: Address,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        address.demand_enabled()
        self.address = address
        self.bucket = Bucket()
        self.ours = False  # whether the broker has said that it is a venue of ours
        self.on_stamp: Callable[[int], None] = lambda stamp: None
        self._sleep = sleep
        limits = httpx.Limits(max_connections=32, max_keepalive_connections=8)
        timeout = httpx.Timeout(address.answer_s, connect=address.connect_s, pool=address.connect_s)
        self._client = httpx.Client(
            base_url=address.url,
            headers={"APCA-API-KEY-ID": address.key_id, "APCA-API-SECRET-KEY": address.secret},
            timeout=timeout,
            transport=transport or httpx.HTTPTransport(limits=limits, verify=_trusted(address.url)),
            trust_env=False,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Let every connection go."""
        self._client.close()

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, urgent: bool = False) -> Said:
        """Send something that changes the account, once. Raises RequestRefused, OutcomeUnknown."""
        if not self.bucket.take(urgent=urgent):
            raise Refused(
                "rate_limited: the share of the broker's limit that entries may use is spent for this minute; "
                "nothing was sent",
                status=_TOO_MANY,
            )
        try:
            answer = self._answered(method, path, body=body)
        except httpx.HTTPError as error:
            raise OutcomeUnknown(f"{method} {path}: {_told(error)}; it may have taken effect") from error
        if answer.is_success:
            return self._understood(method, path, answer)
        if 400 <= answer.status_code < 500 and answer.status_code != _REQUEST_TIMEOUT:
            raise self._refusal(answer)
        raise OutcomeUnknown(f"{method} {path}: the broker answered {answer.status_code}; it may have taken effect")

    def read(self, path: str, params: Mapping[str, str] | None = None, *, urgent: bool = False) -> Said:
        """Ask; tried again where no usable answer comes. Raises BrokerUnreachable, and RequestRefused for a 404."""
        trouble = ""
        for attempt in range(self.address.retries + 1):
            if attempt:
                self._sleep(self.address.retry_after_s * 2 ** (attempt - 1))
            if not self.bucket.take(urgent=urgent):
                raise BrokerUnreachable(f"GET {path}: the broker's rate limit is spent but for cancels; not asked")
            try:
                answer = self._answered("GET", path, params=params)
                if answer.is_success:
                    return self._understood("GET", path, answer)
            except (httpx.HTTPError, OutcomeUnknown) as error:
                trouble = _told(error)
                continue
            if answer.status_code == 404:
                raise self._refusal(answer)
            trouble = f"answered {answer.status_code}: {self._refusal(answer)}"
            if 400 <= answer.status_code < 500 and answer.status_code not in (_REQUEST_TIMEOUT, _TOO_MANY):
                break
        raise BrokerUnreachable(f"GET {path}: {trouble}")

    def _answered(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        answer = self._client.request(method, path, content=content, params=params, headers=headers)
        limit = answer.headers.get("X-RateLimit-Limit", "")
        if limit.isdigit() and int(limit) > 0:
            self.bucket.limit(int(limit))
        if answer.status_code == _TOO_MANY:
            self.bucket.drain()
        self.ours = self.ours or VENUE_HEADER in answer.headers
        if stamp := _stamp(answer, UPDATES_HEADER):
            self.on_stamp(stamp)
        return answer

    def _understood(self, method: str, path: str, answer: httpx.Response) -> Said:
        if not answer.content:
            return Said(None, _stamp(answer))
        try:
            return Said(parsed(answer.content), _stamp(answer))
        except Malformed as error:
            raise OutcomeUnknown(f"{method} {path}: the answer cannot be read: {error}") from None

    @staticmethod
    def _refusal(answer: httpx.Response) -> Refused:
        """The broker's no with a coded reason first: ours where it says one, else what its number or sentence mean."""
        try:
            told = parsed(answer.content)
        except Malformed:
            told = None
        told = told if isinstance(told, dict) else {}
        message = str(told.get("message") or excerpt(answer.content) or answer.reason_phrase)
        ours = told.get("qm")
        if isinstance(ours, dict):
            text = f"{ours.get('code')}: {ours.get('detail')}"
            return Refused(text, status=answer.status_code, reported=bool(ours.get("reported")), stamp=_stamp(answer))
        code = next((code for sentence, code in SENTENCES if sentence in message.lower()), None)
        if code is None:
            number = told.get("code")
            code = CODES.get(number) if isinstance(number, int) else None
        return Refused(f"{code or f'http_{answer.status_code}'}: {excerpt(message)}", status=answer.status_code)


def _stamp(answer: httpx.Response, header: str = STAMP_HEADER) -> int:
    stamp = answer.headers.get(header, "")
    return int(stamp) if stamp.isdigit() and len(stamp) < 20 else 0


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
