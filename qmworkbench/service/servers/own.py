"""What our own servers have in common: started once, found again, stopped, killed (§6)."""

import signal
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from qmworkbench.service.servers import process
from qmworkbench.service.servers.binaries import NoServer, Program
from qmworkbench.service.servers.process import Running

Signals = Sequence[tuple[signal.Signals, float]]


class OwnServer(ABC):
    """One server with its data in `home`, reached through a Unix socket in a private directory.

    `kind` names it, `ready_s` is how long it may take to answer, `stop` and `crash` the signals that end it, each with
    the seconds it has to obey.
    """

    kind: ClassVar[str]
    ready_s: ClassVar[float]
    stop: ClassVar[Signals]
    crash: ClassVar[Signals]

    def __init__(self, home: Path) -> None:
        self.home = home

    @abstractmethod
    def program(self) -> Program:
        """The program to start. Raises NoServer."""

    @abstractmethod
    def command(self, program: Program, socket: Path) -> list[str | Path]:
        """How it is started. What it needs on disk is made here."""

    @abstractmethod
    def answers(self, socket: Path) -> bool:
        """Whether it can be used."""

    @abstractmethod
    def address(self) -> str:
        """How to reach it. Raises NoServer where it does not run."""

    @property
    def log(self) -> Path:
        """What it said."""
        return self.home / f"{self.kind}.log"

    def running(self) -> Running | None:
        """What runs here; None where nothing does."""
        found = process.kept(self.home)
        return found if found is not None and found.is_alive() else None

    def demand_running(self) -> Running:
        """What runs here. Raises NoServer."""
        found = self.running()
        if found is None:
            raise NoServer(f"no {self.kind} runs in {self.home}: `qm services up`")
        return found

    def up(self) -> Running:
        """Start it; one that runs stays. Raises NoServer."""
        found = self.running()
        if found is not None:
            return found
        program = self.program()
        process.hand_over(self.home)
        socket = process.socket_directory(self.kind, self.home)
        pid = process.launch(self.command(program, socket), self.log)
        started = Running(
            kind=self.kind,
            pid=pid,
            started=process.started_at(pid),
            program=str(program.path),
            version=program.version,
            source=program.source,
            socket=str(socket),
        )
        process.keep(self.home, started)
        try:
            process.wait_until(lambda: self.answers(socket), pid, self.log, self.kind, timeout_s=self.ready_s)
        except NoServer:
            self.down()
            raise
        return started

    def down(self) -> bool:
        """Stop it; says whether it ran. Raises NoServer where it does not end."""
        return self._end(self.stop)

    def kill(self) -> None:
        """End it at once, as a crash would: for tests. What it had made durable is there afterwards."""
        self._end(self.crash)

    def _end(self, signals: Signals) -> bool:
        found = process.kept(self.home)
        if found is None:
            return False
        ran = found.is_alive()
        process.stop(found, signals)
        process.forget(self.home)
        return ran
