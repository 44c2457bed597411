"""The page's one door to the platform: the Core API over loopback HTTP, the token read here and kept here (§6, §9)."""

import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import httpx

from dashboards.reading import Link, LinkState

READ_TIMEOUT_S: Final = 2.0
COMMAND_TIMEOUT_S: Final = 5.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_PAGE_OF_EVENTS: Final = 500


class ApiTrouble(Exception):
    """The Core API did not give a usable answer. `link` says how and what to do; `delivered` is False only if nothing
    can have reached it."""

    def __init__(self, link: Link, *, delivered: bool = True) -> None:
        super().__init__(link.detail)
        self.link = link
        self.delivered = delivered


class EndpointInvalid(ValueError):
    """The address or token given at start cannot be used; the message says which and what would be right."""


@dataclass(frozen=True)
class Endpoint:
    """Where the platform listens. `process_id` names its process life, "" where unknown. repr shows no token."""

    url: str
    token: str = field(repr=False)
    process_id: str = ""


class Locate(Protocol):
    """Finds the platform each time it is asked, because a restarted one has another address and token."""

    def __call__(self) -> Endpoint:
        """The endpoint now. Raises ApiTrouble with LinkState.ABSENT where there is none."""
        ...


def book_endpoint(book_dir: Path) -> Locate:
    """The endpoint written by whatever platform runs in this book (BOOK/api.json)."""
    file = book_dir / "api.json"

    def locate() -> Endpoint:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            return checked(str(content["url"]), str(content["token"]), str(content.get("process_id", "")))
        except FileNotFoundError:
            raise _absent("no platform is running in this book") from None
        except PermissionError:
            raise _absent(
                "api.json belongs to another user", "start the page as the user who runs the platform"
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            # Half-written or damaged: the platform replaces it when it starts.
            raise _absent(
                f"api.json cannot be used ({type(error).__name__})", "restart the platform: it writes a new one"
            ) from None

    return locate


def given_endpoint(url: str, token_file: Path) -> Locate:
    """An endpoint given by address, its token read again from the file at every call. Raises EndpointInvalid."""
    checked(url, "to be read")

    def locate() -> Endpoint:
        try:
            return checked(url, token_file.read_text(encoding="utf-8").strip())
        except (OSError, ValueError) as error:
            raise _absent(
                f"the token file cannot be used ({type(error).__name__})",
                "give the file that holds the platform's token",
            ) from None

    return locate


def checked(url: str, token: str, process_id: str = "") -> Endpoint:
    """An endpoint whose address is loopback, so that the token cannot be sent elsewhere. Raises EndpointInvalid."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in _LOOPBACK or not parts.port:
        raise EndpointInvalid(
            f"the Core API's address is {url!r}: give http://127.0.0.1:PORT, it is served on loopback alone"
        )
    if not token or not token.isascii() or not token.isprintable():
        raise EndpointInvalid("the Core API's token is empty or not printable: give the token of the running platform")
    return Endpoint(url.rstrip("/"), token, process_id)


def page_key(token: str) -> str:
    """The key in the page's own address: it follows from the token, without revealing it; a restarted page keeps it."""
    digest = hmac.new(token.encode(), b"command center page", hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest[:18]).decode()


class CoreApi:
    """Calls the Core API. Safe to use from several threads; every call has a timeout and follows no redirect."""

    def __init__(self, locate: Locate) -> None:
        self.locate = locate
        # trust_env off: a proxy from the environment must never see the token.
        self._client = httpx.Client(
            trust_env=False,
            follow_redirects=False,
            timeout=READ_TIMEOUT_S,
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # plain HTTP on this machine: no authorities are needed
        )

    def close(self) -> None:
        self._client.close()

    def snapshot(self, endpoint: Endpoint, since: int | None) -> Mapping[str, Any] | None:
        """The whole snapshot, or None while version `since` is still the newest. Raises ApiTrouble."""
        params = {} if since is None else {"since": str(since)}
        content = self._get(endpoint, "/api/snapshot", params)
        if content.get("unchanged") is True:
            return None
        if not isinstance(content.get("version"), int):
            raise ApiTrouble(
                _down("its snapshot has no version", "the page and the platform may be of different versions")
            )
        return content

    def health(self, endpoint: Endpoint) -> Mapping[str, Any]:
        """The health report; a failed platform answers 503 with the report. Raises ApiTrouble."""
        return self._get(endpoint, "/api/health", {}, also=(503,))

    def events(self, endpoint: Endpoint, types: Sequence[str]) -> list[Mapping[str, Any]]:
        """Every event of these types in the book's journal, in order. Raises ApiTrouble."""
        found: list[Mapping[str, Any]] = []
        after = 0
        while True:
            params = {"after": str(after), "limit": str(_PAGE_OF_EVENTS), "types": ",".join(types)}
            events = self._get(endpoint, "/api/events", params).get("events")
            page = [event for event in events if isinstance(event, dict)] if isinstance(events, list) else []
            found += page
            if len(page) < _PAGE_OF_EVENTS:
                return found
            after = int(page[-1].get("seq", 0))

    def command(self, body: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
        """Post a command: status code and answer. Raises ApiTrouble, `delivered` False if it cannot have arrived."""
        try:
            endpoint = self.locate()
        except ApiTrouble as error:
            raise ApiTrouble(error.link, delivered=False) from None
        try:
            response = self._client.post(
                f"{endpoint.url}/api/commands", json=dict(body), headers=_headers(endpoint), timeout=COMMAND_TIMEOUT_S
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ApiTrouble(_unreachable(endpoint, error), delivered=False) from None
        except httpx.HTTPError as error:
            raise ApiTrouble(_unreachable(endpoint, error)) from None
        except RuntimeError as error:  # closed meanwhile: the page's server is going down
            if not self._client.is_closed:
                raise
            raise ApiTrouble(
                _down("the page's server is stopping", "use `qm` in a terminal"), delivered=False
            ) from error
        content = _object(response)
        if response.status_code in (401, 403):
            raise ApiTrouble(_refused(response.status_code, content), delivered=False)
        return response.status_code, content

    def _get(
        self, endpoint: Endpoint, path: str, params: Mapping[str, str], *, also: Sequence[int] = ()
    ) -> Mapping[str, Any]:
        try:
            response = self._client.get(f"{endpoint.url}{path}", params=dict(params), headers=_headers(endpoint))
        except httpx.HTTPError as error:
            raise ApiTrouble(_unreachable(endpoint, error)) from None
        content = _object(response)
        if response.status_code in (401, 403):
            raise ApiTrouble(_refused(response.status_code, content))
        if response.status_code != 200 and response.status_code not in also:
            said = str(content.get("reason", "")) or "no reason given"
            raise ApiTrouble(_down(f"it answered {response.status_code} to {path}: {said}", "see the platform's log"))
        return content


def _headers(endpoint: Endpoint) -> dict[str, str]:
    return {"Authorization": f"Bearer {endpoint.token}"}


def _object(response: httpx.Response) -> Mapping[str, Any]:
    try:
        content = response.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ApiTrouble(
            _down("its answer is not what the Core API sends", "check that nothing else listens on its port")
        )
    return content


def _absent(detail: str, remedy: str = "start one with `qm day`; this page finds it by itself") -> ApiTrouble:
    return ApiTrouble(Link(LinkState.ABSENT, "No platform is running", detail, remedy))


def _unreachable(endpoint: Endpoint, error: httpx.HTTPError) -> Link:
    address = urlsplit(endpoint.url).netloc
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        return _down(f"{address} accepted the call but does not answer", "if positions are open: qm emergency --direct")
    return _down(f"nothing answers at {address}", "if positions are open: qm emergency --direct")


def _down(detail: str, remedy: str) -> Link:
    return Link(LinkState.DOWN, "The platform does not answer", detail, remedy)


def _refused(code: int, content: Mapping[str, Any]) -> Link:
    detail = f"it answered {code}: {content.get('reason') or 'the token is missing or wrong'}"
    return Link(
        LinkState.REFUSED,
        "The platform refuses this page",
        detail,
        "restart the page so that it reads the present token",
    )
