"""A read-only Core API on another machine: what a platform shows, from Redis, and no command (§6, §9).

It answers as the platform's own API does, so the command center is served from it unchanged. Where nobody has shown
anything for `live_state.EXPIRES_S` it says so: the page then veils what it last knew.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from qmworkbench.bus.redis_streams import LiveState, RedisError, client_of
from qmworkbench.domain.chain import Record
from qmworkbench.operations.duplicate_suspicion import Inspection
from qmworkbench.service.api import NobodyAnswers
from qmworkbench.service.chronicle import CommandAnswer
from qmworkbench.service.command_desk import CommandRequest
from qmworkbench.service.health import HealthReport
from qmworkbench.service.live_state import LiveView, Origin, decoded, key_of
from qmworkbench.service.order_inspection import NoSuchOrder
from qmworkbench.service.views import View

if TYPE_CHECKING:
    import redis

_POLL_S: Final = 0.4
_ENTRIES: Final = 500


class WatchedPlatform:
    """service.api.Platform over what Redis holds of a book. Looks from when it is made until `close`."""

    def __init__(self, url: str, *, environment: str, book: str, poll_s: float = _POLL_S) -> None:
        self._book, self._poll_s = book, poll_s
        self._client = client_of(url)
        self._live = LiveState(self._client, key_of(environment, book))
        self._seen: tuple[LiveView, View, HealthReport] | None = None
        self._why = "it has not been looked for yet"
        self._versions = 0
        self._stopping = threading.Event()
        self.look()
        self._thread = threading.Thread(target=self._run, name=f"watch {book}", daemon=True)
        self._thread.start()

    @property
    def origin(self) -> Origin | None:
        """The platform that is watched; None while none shows anything."""
        return self._seen[0].origin if self._seen is not None else None

    def look(self) -> None:
        """Ask Redis once. Every outcome, a failure too, is what is shown next."""
        try:
            held = self._live.get()
            if held is None:
                self._lost("no platform shows it in Redis: it is not running, or its bus is in process")
                return
            found = decoded(held[1])
            before = self._seen
            if before is not None and _same(before[0], found):
                view = before[1]
            else:
                # Versions of two processes may be the same number: here they are counted once more.
                self._versions += 1
                content: dict[str, Any] = msgspec.json.decode(found.snapshot, type=dict[str, msgspec.Raw])
                body = msgspec.json.encode(content | {"version": self._versions})
                view = View(self._versions, held[0], body)
            self._seen = found, view, msgspec.json.decode(found.health, type=HealthReport)
        except (RedisError, msgspec.DecodeError) as error:
            self._lost(f"Redis does not answer ({' '.join(str(error).split())})")

    def close(self) -> None:
        """Look no more; twice is fine."""
        self._stopping.set()
        self._thread.join(5)
        self._client.close()

    # ── service.api.Platform ─────────────────────────────────────────────────────────────────────────────────

    def view(self) -> View:
        return self._now()[1]

    def health(self) -> HealthReport:
        return self._now()[2]

    async def command(self, request: CommandRequest) -> CommandAnswer:
        origin = self.origin
        where = origin.sentence() if origin is not None else "the platform"
        return CommandAnswer(
            accepted=False,
            command_id=request.command_id,
            reason=f"this page watches {where} and gives no commands",
            remedy="give it on the platform's own machine, with its page or `qm`",
        )

    async def events(self, after: int, limit: int, types: Sequence[str]) -> tuple[list[Record], int]:
        """Decisions that the stream still holds; the oldest may have left it."""
        origin, head = self._now()[0].origin, self._now()[1].seq
        found: list[Record] = []
        try:
            for record in _records(self._client, origin.stream, after):
                if not types or record.type in types:
                    found.append(record)
                if len(found) == limit:
                    break
        except RedisError as error:
            raise NobodyAnswers(f"Redis does not answer ({error})", "see that it runs") from error
        return found, head

    async def why(self, symbol: str, at: str) -> tuple[Sequence[str], dict[str, Any]]:
        raise ValueError(f"why {symbol} at {at} is told by the platform's own API, where its bars and journal are")

    async def order(self, cl_ord_id: str) -> Inspection:
        raise NoSuchOrder(f"order {cl_ord_id} is inspected by the platform's own API, where the broker is reached")

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────

    def _now(self) -> tuple[LiveView, View, HealthReport]:
        seen = self._seen
        if seen is None:
            raise NobodyAnswers(f"book {self._book!r}: {self._why}", "look on the platform's own machine")
        return seen

    def _lost(self, why: str) -> None:
        self._seen, self._why = None, why

    def _run(self) -> None:
        while not self._stopping.wait(self._poll_s):
            self.look()


def _same(one: LiveView, other: LiveView) -> bool:
    return one.origin == other.origin and one.version == other.version


def _records(client: "redis.Redis", stream: str, after: int) -> Iterator[Record]:
    """What the stream holds after a decision, each with its number; hashes are the journal's to tell."""
    place = after
    while True:
        entries: Any = client.xrange(stream, min=f"{place + 1}-0", count=_ENTRIES)
        for entry_id, fields in entries:
            seq = int(entry_id.split(b"-")[0])
            payloads = msgspec.msgpack.decode(fields[b"e"], type=list[bytes])
            for number, payload in enumerate(payloads, seq - len(payloads) + 1):
                if number > place:
                    kind = msgspec.json.decode(payload, type=_Tagged).type
                    yield Record(seq=number, type=kind, payload=payload, prev_hash="", hash="")
            place = seq
        if len(entries) < _ENTRIES:
            return


class _Tagged(msgspec.Struct):
    type: str
