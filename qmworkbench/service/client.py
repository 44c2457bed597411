"""How the CLI speaks to a running platform: over its Core API, on this machine, with the book's token (§6, §10)."""

import ssl
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx
import msgspec

from qmworkbench.domain.commands import AnyCommand
from qmworkbench.service.lease import holder_of, is_held
from qmworkbench.storage.paths import BookPaths

TIMEOUT_S: Final = 2.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class ApiError(Exception):
    """The platform could not be asked, or would not answer; the message says what to do."""


class NotRunning(ApiError):
    """No platform serves this book: there is no address, or nobody behind it any more."""


class NotAnswering(ApiError):
    """A platform holds this book and does not answer in time."""


class Unauthorised(ApiError):
    """The platform does not take the token in api.json."""


class Rejected(ApiError):
    """The platform understood and said no. `remedy` is its own."""

    def __init__(self, code: int, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}: {remedy}" if remedy else reason)
        self.code, self.reason, self.remedy = code, reason, remedy


class _Address(msgspec.Struct):
    url: str
    token: str
    pid: int
    process_id: str
    started_at: datetime


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a command was answered: `effect` when accepted, else `reason` and `remedy`."""

    accepted: bool
    command_id: str
    effect: str = ""
    reason: str = ""
    remedy: str = ""


class CoreApi:
    """One platform's Core API. Reads give plain JSON as the API documents it; money comes as text."""

    def __init__(self, paths: BookPaths, *, timeout_s: float = TIMEOUT_S) -> None:
        """Raises NotRunning where no platform of the book has said where it is."""
        self._paths = paths
        address = _address(paths)
        self.pid, self.process_id, self.started_at = address.pid, address.process_id, address.started_at
        self._http = httpx.Client(
            base_url=address.url,
            headers={"Authorization": f"Bearer {address.token}"},
            timeout=timeout_s,
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # plain HTTP: authorities would take 20 ms to load
            trust_env=False,  # a proxy has no business between two processes of one machine
            follow_redirects=False,
        )

    def health(self) -> dict[str, Any]:
        """Every component's status; a failed platform answers too."""
        return self._ask("GET", "/api/health", accept=(200, 503))

    def snapshot(self) -> dict[str, Any]:
        """Everything the command center shows."""
        return self._ask("GET", "/api/snapshot")

    def events(self, after: int = 0, *, limit: int = 500, types: Sequence[str] = ()) -> dict[str, Any]:
        """Decisions after a sequence: {"events": […], "head": n}."""
        given: dict[str, str | int] = {"after": after, "limit": limit}
        if types:
            given["types"] = ",".join(types)
        return self._ask("GET", "/api/events", params=given)

    def why(self, symbol: str, at: str) -> dict[str, Any]:
        """The story of a symbol around a time of the session: {"sentences": […], "evidence": {…}}."""
        return self._ask("GET", "/api/why", params={"symbol": symbol, "at": at}, timeout_s=10 * TIMEOUT_S)

    def order(self, cl_ord_id: str) -> dict[str, Any]:
        """One order from every side: idempotency key, broker history, our state, their comparison (§13)."""
        return self._ask("GET", "/api/order", params={"id": cl_ord_id}, timeout_s=10 * TIMEOUT_S)

    def command(
        self, command: AnyCommand, *, operator: str, command_id: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> Answer:
        """Give a command; the answer comes once its events are durable. A refusal is an answer, not an error."""
        body = {
            "command_id": command_id if command_id is not None else f"cli-{uuid.uuid4().hex[:16]}",
            "client_ts": datetime.now(UTC).isoformat(),
            "state_version": None,
            "operator": operator,
            "origin": "cli",
            "command": msgspec.to_builtins(command),
        }
        found = self._ask("POST", "/api/commands", json=body, accept=(200, 409), timeout_s=timeout_s)
        return msgspec.convert(found, Answer)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: Any = None,
        accept: tuple[int, ...] = (200,),
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        try:
            answer = self._http.request(
                method, path, params=params, json=json, timeout=timeout_s if timeout_s else httpx.USE_CLIENT_DEFAULT
            )
            content = msgspec.json.decode(answer.content) if answer.content else {}
        except httpx.TimeoutException:
            raise NotAnswering(_silent(self._paths, f"did not answer {path} in {timeout_s or TIMEOUT_S:g} s")) from None
        except (httpx.TransportError, msgspec.DecodeError) as error:
            if is_held(self._paths.lease):
                raise NotAnswering(_silent(self._paths, f"cannot be asked ({error})")) from None
            raise NotRunning(_stale(self._paths)) from None
        if answer.status_code == 401:
            raise Unauthorised(
                f"the platform does not take the token in {self._paths.api_json}: another process wrote that file; "
                "look with `qm status` which platform holds the book"
            )
        if not isinstance(content, dict):
            raise ApiError(f"the platform answered {path} with something else than an object: is it another program?")
        if answer.status_code not in accept:
            reason = str(content.get("reason", f"the platform answered {path} with {answer.status_code}"))
            raise Rejected(answer.status_code, reason, str(content.get("remedy", "")))
        return content


def _address(paths: BookPaths) -> _Address:
    """Where the platform says it is. Raises NotRunning, NotAnswering."""
    try:
        found = msgspec.json.decode(paths.api_json.read_bytes(), type=_Address)
    except FileNotFoundError:
        if is_held(paths.lease):
            raise NotAnswering(_silent(paths, "serves no API (a headless run, or one that is only starting)")) from None
        raise NotRunning(f"no platform is running on the book at {paths.root}: start one with `qm day`") from None
    except msgspec.DecodeError as error:
        raise NotRunning(f"{paths.api_json} is no address ({error}): remove it, or start the platform again") from None
    if urlsplit(found.url).hostname not in _LOOPBACK:
        raise NotRunning(f"{paths.api_json} names {found.url}, which is not this machine: the token is not sent there")
    return found


def _silent(paths: BookPaths, what: str) -> str:
    holder = holder_of(paths.lease)
    who = holder.sentence() if holder is not None else "the platform"
    return (
        f"{who} holds the book at {paths.root} and {what}: wait for it, end it with Ctrl-C, "
        "or in an emergency use `qm emergency --direct`"
    )


def _stale(paths: BookPaths) -> str:
    return (
        f"no platform is running on the book at {paths.root}: the address in {paths.api_json.name} is of one that died"
    )
