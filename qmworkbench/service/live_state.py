"""What a running platform shows, kept in Redis for a moment: dashboards of several machines read this one source (§9).

The platform's own loop builds it, as it builds what its page is shown; a thread puts it there. It expires: what is not
put again within `EXPIRES_S` is gone, so nobody looks at what a dead platform last knew and takes it for now. Redis only
carries it. It holds what the command center shows, and no token: who may read Redis may look, and order nothing.
"""

import asyncio
import contextlib
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from qmworkbench.service.health import HealthReport
from qmworkbench.service.views import View

if TYPE_CHECKING:
    from qmworkbench.service.core_service import CoreService
    from qmworkbench.service.platform import Platform

EXPIRES_S: Final = 10.0
PUT_EVERY_S: Final = 1.0


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Whose view it is. `stream` names the book's decisions on Redis (bus/redis_streams.py)."""

    host: str
    pid: int
    process_id: str
    since: datetime
    stream: str

    def sentence(self) -> str:
        """The platform as people name it."""
        return f"process {self.pid} on {self.host}"


class LiveView(msgspec.Struct, frozen=True, kw_only=True):
    """One view as it is put: the snapshot and the health report in the Core API's own JSON."""

    origin: Origin
    version: int
    snapshot: msgspec.Raw
    health: msgspec.Raw


_encoder = msgspec.json.Encoder(decimal_format="string")


def key_of(environment: str, book: str) -> str:
    """What a book is called in Redis: names repeat from one environment to the next."""
    return f"{environment}/{book}"


def encoded(origin: Origin, view: View, health: HealthReport) -> bytes:
    """A view as it is put."""
    raw = msgspec.Raw(_encoder.encode(health))
    return _encoder.encode(LiveView(origin=origin, version=view.version, snapshot=msgspec.Raw(view.body), health=raw))


def decoded(content: bytes) -> LiveView:
    """A view as it was put. Raises msgspec.DecodeError for what is none."""
    return msgspec.json.decode(content, type=LiveView)


async def keep_live(platform: "Platform", core: "CoreService") -> None:
    """Put the newest view again and again, until cancelled; returns at once where the bus is in process.

    Redis' trouble is nobody else's: a view that cannot be put is dropped, and the bus's own health says so.
    """
    if not platform.plan.bus_url:
        return
    from qmworkbench.bus.redis_streams import LiveState, RedisBus, RedisError, client_of

    bus, holder = platform.bus, platform.lease.holder
    assert isinstance(bus, RedisBus), "the plan says so"
    origin = Origin(
        host=holder.host, pid=holder.pid, process_id=holder.process_id, since=holder.since, stream=bus.stream
    )
    plan = platform.plan
    with client_of(plan.bus_url) as client:
        live = LiveState(client, key_of(plan.environment.value, plan.book), expires_s=EXPIRES_S)
        while True:
            view = core.view()
            content = encoded(origin, view, core.health())
            with contextlib.suppress(RedisError):
                await asyncio.to_thread(live.put, view.seq, content)
            await asyncio.sleep(PUT_EVERY_S)
