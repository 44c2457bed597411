"""The Core API: what page, CLI and notebooks see and may ask for, on loopback with a token (§6, §7, §9, §10)."""

import hmac
import re
from collections.abc import Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec
from fastapi import FastAPI, Request, Response

from qmworkbench.domain.chain import Record
from qmworkbench.operations.duplicate_suspicion import Inspection
from qmworkbench.ports import JournalFailed
from qmworkbench.service.chronicle import CommandAnswer
from qmworkbench.service.command_desk import CommandMalformed, CommandRequest, read_request
from qmworkbench.service.health import HealthReport
from qmworkbench.service.order_inspection import NoSuchOrder
from qmworkbench.service.views import View

EVENTS_MAX: Final = 5000
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_BODY_MAX: Final = 64 * 1024
_encoder = msgspec.json.Encoder(decimal_format="string")


class NobodyAnswers(Exception):
    """What is asked for is not to be had now: the message says why, `remedy` what to do. Answered with 503."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


class Platform(Protocol):
    """What the API serves. Everything but `command`, `events` and `why` answers at once from what is already built."""

    def view(self) -> View: ...

    def health(self) -> HealthReport: ...

    async def command(self, request: CommandRequest) -> CommandAnswer: ...

    async def events(self, after: int, limit: int, types: Sequence[str]) -> tuple[list[Record], int]:
        """Up to `limit` decisions after a sequence, those of `types` where given; and the durable head."""
        ...

    async def why(self, symbol: str, at: str) -> tuple[Sequence[str], dict[str, Any]]:
        """The story of a symbol around a time of the session. Raises ValueError for a time that is none."""
        ...

    async def order(self, cl_ord_id: str) -> Inspection:
        """One order from every side (§13). Raises NoSuchOrder."""
        ...


def create_api(platform: Platform, token: str) -> FastAPI:
    """The application. `token` is asked for on every call (Authorization: Bearer …); only loopback is served."""
    app = FastAPI(title="QuantMatrix Core API", docs_url=None, redoc_url=None, openapi_url=None)
    _guard(app, token)

    @app.exception_handler(NobodyAnswers)
    async def unanswered(request: Request, error: NobodyAnswers) -> Response:
        return _refusal(503, str(error), error.remedy)

    _reads(app, platform, token)
    _writes(app, platform)
    return app


def _guard(app: FastAPI, token: str) -> None:
    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        """Refuse callers from elsewhere: a page of another site, or a name that was made to point here."""
        if not _is_loopback(request.headers.get("host", "")):
            return _refusal(403, "the platform serves 127.0.0.1 and localhost alone", "call it on this machine")
        origin = request.headers.get("origin")
        if origin is not None and not _is_loopback(urlsplit(origin).netloc):
            return _refusal(403, f"requests from {origin[:100]} are not served", "use the command center's own page")
        open_path = request.url.path == "/api/health"
        if not open_path and not _knows_token(request, token):
            return _refusal(
                401, "the token is missing or wrong", "send Authorization: Bearer TOKEN, from the book's api.json"
            )
        response: Response = await call_next(request)
        response.headers["Cache-Control"] = "no-store"
        return response


def _reads(app: FastAPI, platform: Platform, token: str) -> None:
    @app.get("/api/health")
    async def health(request: Request) -> Response:
        report = platform.health()
        code = 503 if report.status == "failed" else 200
        return _json(report, code) if _knows_token(request, token) else _json({}, code)

    @app.get("/api/snapshot")
    async def snapshot(request: Request) -> Response:
        view = platform.view()
        since = request.query_params.get("since", "")
        if since and not since.isdigit():
            return _refusal(
                422, f"since is {since[:40]!r}", "give the version of the snapshot you have, a whole number"
            )
        return _body(view.unchanged if since and int(since) == view.version else view.body)

    @app.get("/api/events")
    async def events(request: Request) -> Response:
        given = request.query_params
        numbers = {}
        for name, default, most in (("after", 0, 2**53), ("limit", 500, EVENTS_MAX)):
            text = given.get(name, str(default))
            if not re.fullmatch(r"\d{1,16}", text) or int(text) > most:
                return _refusal(422, f"{name} is {text[:40]!r}", f"give a whole number up to {most}")
            numbers[name] = int(text)
        types = [kind for kind in given.get("types", "").split(",") if kind]
        try:
            records, head = await platform.events(numbers["after"], numbers["limit"], types)
        except JournalFailed as error:
            return _refusal(503, str(error), "the journal's file can still be read with `qm journal`")
        rows = [_event(record) for record in records]
        return _body(b'{"events":[' + b",".join(rows) + b'],"head":%d}' % head)

    @app.get("/api/why")
    async def why(request: Request) -> Response:
        symbol, at = request.query_params.get("symbol", "").strip(), request.query_params.get("at", "").strip()
        if not symbol or not at:
            return _refusal(422, "symbol and at are both needed", "ask /api/why?symbol=SPY&at=10:04")
        try:
            sentences, evidence = await platform.why(symbol, at)
        except ValueError as error:
            return _refusal(422, str(error), "give a time of the session such as 10:04, in the exchange's time")
        return _json({"sentences": sentences, "evidence": evidence})

    @app.get("/api/order")
    async def order(request: Request) -> Response:
        asked = request.query_params.get("id", "").strip()
        if not asked:
            return _refusal(422, "id is needed", "ask /api/order?id=ID, with any id the order has or had")
        try:
            return _json(await platform.order(asked))
        except NoSuchOrder as error:
            return _refusal(404, str(error), "see `qm order list --all`")


def _writes(app: FastAPI, platform: Platform) -> None:
    @app.post("/api/commands")
    async def commands(request: Request) -> Response:
        body = await request.body()
        if len(body) > _BODY_MAX:
            return _refusal(413, f"the command has {len(body)} bytes", f"a command has at most {_BODY_MAX}")
        try:
            given = read_request(body)
        except CommandMalformed as error:
            return _json(
                {"accepted": False, "command_id": "", "reason": str(error), "remedy": "correct it and send it again"},
                422,
            )
        try:
            answer = await platform.command(given)
        except JournalFailed as error:
            reason = f"the journal cannot be written, so nothing may be ordered: {error}"
            remedy = "positions can still be closed with `qm emergency --direct`"
            return _json(CommandAnswer(accepted=False, command_id=given.command_id, reason=reason, remedy=remedy), 503)
        return _json(answer, 200 if answer.accepted else 409)


def _event(record: Record) -> bytes:
    return b'{"seq":%d,' % record.seq + record.payload[1:]


def _knows_token(request: Request, token: str) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def _is_loopback(netloc: str) -> bool:
    """Whether HOST or HOST:PORT is this machine by a name that no resolver can turn elsewhere."""
    try:
        return urlsplit(f"//{netloc}").hostname in _LOOPBACK
    except ValueError:
        return False


def _json(content: Any, code: int = 200) -> Response:
    return _body(_encoder.encode(content), code)


def _body(encoded: bytes, code: int = 200) -> Response:
    return Response(encoded, status_code=code, media_type="application/json")


def _refusal(code: int, reason: str, remedy: str) -> Response:
    return _json({"reason": reason, "remedy": remedy}, code)
