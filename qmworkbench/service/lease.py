"""One writer per book: a lock that dies with its holder, an epoch that fences a holder which does not answer (§5,
§19).

`lease` holds the system's lock and says who holds it. `lease.epoch` counts holders; raising it is the fence: whoever
was given an older epoch may not send any more, even if it is only stopped and wakes up later. `assert_held` is asked
before each send.
"""

import fcntl
import getpass
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

TTL_S: Final = 30.0
# Whoever looks whether a lease is held has its lock for an instant: that must not count as a holder.
PATIENCE_S: Final = 0.25
_RETRY_S: Final = 0.02
_DAMAGED: Final = -1


class LeaseTaken(Exception):
    """Another process holds the book. `holder` says who; the message names it and what to do."""

    def __init__(self, path: Path, holder: "Holder | None") -> None:
        who = holder.sentence() if holder is not None else "a process that has not said who it is"
        super().__init__(
            f"the book at {path.parent} is held by {who}: use it through that process (`qm status`, `qm pause` …) "
            "or end it first"
        )
        self.holder = holder


class LeaseLost(Exception):
    """This process may not send any more: it was fenced, or did not renew its lease in time."""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a book: `pid` on `host`, since when, doing what. `process_id` is the name its telemetry goes by."""

    host: str
    pid: int
    user: str
    process_id: str
    command: str
    since: datetime
    epoch: int

    def sentence(self) -> str:
        """The holder as people name it."""
        since = self.since.strftime("%Y-%m-%d %H:%M:%SZ")
        return f"process {self.pid} of {self.user} on {self.host} ({self.command}, since {since})"


class Fence(msgspec.Struct, frozen=True, kw_only=True):
    """Why the epoch was raised by somebody other than a new holder."""

    by: str
    reason: str
    at: datetime


class _Epoch(msgspec.Struct, frozen=True, kw_only=True):
    epoch: int
    fence: Fence | None = None


def uptime_s() -> float:
    """Seconds on a clock that never goes back and also counts while the machine sleeps: a lease must run out then."""
    # Linux keeps sleep out of CLOCK_MONOTONIC; on macOS it is time.monotonic() that does.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Lease:
    """The right to write a book, held by this process until `release`, its death, or a fence.

    Get one by `acquire`. `took_over` is the holder before, if that one died instead of releasing; `fence` tells why
    it was fenced, if it was. Renew it at least every `ttl_s` seconds: a process that was stopped for longer must
    look again before it sends anything.
    """

    def __init__(
        self,
        path: Path,
        fd: int,
        holder: Holder,
        *,
        took_over: Holder | None,
        fence: Fence | None,
        ttl_s: float,
        clock: Callable[[], float],
    ) -> None:
        self.path = path
        self.holder = holder
        self.took_over = took_over
        self.fence = fence
        self.ttl_s = ttl_s
        self._fd = fd
        self._clock = clock
        self._epoch_path = epoch_path(path)
        self._seen = _stamp(self._epoch_path)
        self._deadline = clock() + ttl_s

    @classmethod
    def acquire(
        cls,
        path: Path,
        *,
        process_id: str,
        command: str,
        ttl_s: float = TTL_S,
        wait_s: float = PATIENCE_S,
        clock: Callable[[], float] = uptime_s,
    ) -> Self:
        """Take the lease of the book whose lease file is `path`, waiting at most `wait_s` for its holder. Raises
        LeaseTaken.

        The directory must exist. Nothing of the book may be opened before this returns.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(fd, path, wait_s)
            took_over = _holder_in(fd)
            before = _read_epoch(path)
            holder = Holder(
                host=platform.node(),
                pid=os.getpid(),
                user=_user(),
                process_id=process_id,
                command=command,
                since=datetime.now(UTC),
                epoch=max(before.epoch, took_over.epoch if took_over else 0) + 1,
            )
            _write_epoch(path, _Epoch(epoch=holder.epoch))
            _write_holder(fd, holder)
        except BaseException:
            os.close(fd)
            raise
        return cls(path, fd, holder, took_over=took_over, fence=before.fence, ttl_s=ttl_s, clock=clock)

    @property
    def epoch(self) -> int:
        return self.holder.epoch

    def check(self) -> None:
        """Raise LeaseLost unless this process may send now, renewing the lease when half its time is over."""
        if self._clock() > self._deadline - self.ttl_s / 2:
            self.renew()
        else:
            self.assert_held()

    def assert_held(self) -> None:
        """Raise LeaseLost unless this process may send now. Costs a look at one file's stamp, not at its content."""
        if self._fd < 0:
            raise LeaseLost(f"{self.path} was released by this process: acquire it again")
        if self._clock() > self._deadline:
            raise LeaseLost(
                f"{self.path} was not renewed for more than {self.ttl_s:g} s: this process was stopped or too busy; "
                "renew it, which looks whether somebody else took over, and only then send"
            )
        if _stamp(self._epoch_path) != self._seen:
            self._look()

    def renew(self) -> None:
        """Look whether the book is still ours and put the deadline off. Raises LeaseLost when it is not."""
        if self._fd < 0:
            raise LeaseLost(f"{self.path} was released by this process: acquire it again")
        self._look()
        self._deadline = self._clock() + self.ttl_s

    def release(self) -> None:
        """Give the book up, leaving no holder behind; twice is fine."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        with suppress(OSError):
            os.ftruncate(fd, 0)
        os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _look(self) -> None:
        # Stamp first: an epoch written in between is then seen at the next look.
        stamp = _stamp(self._epoch_path)
        now = _read_epoch(self.path)
        if now.epoch != self.epoch:
            fence = now.fence
            why = f"fenced by {fence.by} at {fence.at:%H:%M:%SZ}: {fence.reason}" if fence else "its epoch was changed"
            raise LeaseLost(f"{self.path} is no longer ours ({why}): nothing further may be sent by this process")
        self._seen = stamp


def epoch_path(path: Path) -> Path:
    """Where the epoch of the lease at `path` is kept: beside it, as the lock is that very file's, which so stays."""
    return path.with_name(path.name + ".epoch")


def fence(path: Path, *, by: str, reason: str) -> int:
    """Raise the epoch of the lease at `path` without holding it; returns the new epoch. From then on its holder's
    sends are refused.

    For `qm emergency --direct`, when the holder does not answer. Works while that process holds the lock, even
    stopped.
    """
    # Two at once would write the same number: a lock of their own, held for the moment of the change.
    guard = os.open(epoch_path(path).with_suffix(".guard"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        found = holder_of(path)
        epoch = max(_read_epoch(path).epoch, found.epoch if found else 0) + 1
        _write_epoch(path, _Epoch(epoch=epoch, fence=Fence(by=by, reason=reason, at=datetime.now(UTC))))
    finally:
        os.close(guard)
    return epoch


def fence_of(path: Path) -> Fence | None:
    """Who fenced the holder of the lease at `path`, None while nobody did or once a new holder began."""
    return _read_epoch(path).fence


def is_held(path: Path) -> bool:
    """Whether some living process holds the lease at `path` now."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def holder_of(path: Path) -> Holder | None:
    """Who holds the lease at `path`, or held it and died; None after a release. Ask `is_held` which of both."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return _decoded(content)


def _lock(fd: int, path: Path, wait_s: float) -> None:
    deadline = uptime_s() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if uptime_s() >= deadline:
                raise LeaseTaken(path, _holder_in(fd)) from None
            time.sleep(_RETRY_S)
        else:
            return


def _holder_in(fd: int) -> Holder | None:
    return _decoded(os.pread(fd, 65536, 0))


def _decoded(content: bytes) -> Holder | None:
    """A torn or foreign content says nothing: the lock is what counts, the name is for people."""
    try:
        return msgspec.json.decode(content, type=Holder) if content.strip() else None
    except msgspec.DecodeError:
        return None


def _write_holder(fd: int, holder: Holder) -> None:
    content = msgspec.json.encode(holder)
    os.ftruncate(fd, 0)
    os.pwrite(fd, content, 0)
    os.fsync(fd)


def _stamp(path: Path) -> tuple[int, int]:
    """What changes whenever the file is replaced; zeros where it is missing."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return (0, 0)
    return (found.st_ino, found.st_mtime_ns)


def _read_epoch(path: Path) -> _Epoch:
    try:
        return msgspec.json.decode(epoch_path(path).read_bytes(), type=_Epoch)
    except FileNotFoundError:
        return _Epoch(epoch=0)
    except msgspec.DecodeError:
        # Not to be told from a fence: no epoch equals it, so nobody sends until somebody acquires the lease anew.
        return _Epoch(epoch=_DAMAGED)


def _write_epoch(path: Path, epoch: _Epoch) -> None:
    """Replace the file whole: a reader sees the old epoch or the new one, and so does the machine after a power cut."""
    target = epoch_path(path)
    fresh = target.with_name(f"{target.name}.{os.getpid()}")
    with fresh.open("wb") as stream:
        stream.write(msgspec.json.encode(epoch))
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(target)
    directory = os.open(target.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"
