"""The reports of one day: preflight beside the session, the others together after it, and their verdicts (§17, §18)."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qmworkbench.cli.output import Output

if TYPE_CHECKING:
    from qmworkbench.reporting.runner import ReportResult
    from qmworkbench.service.config import Config

NAMES: Final = ("preflight", "post_session", "trade_review")
_TABLES_S: Final = 10.0


class DayReports:
    """Makes the reports, two at a time. `verdicts` by report: None where it was not made, because not wanted.

    A report that could not be made at all counts as INCOMPLETE: what was not looked at is not green.
    """

    def __init__(self, config: "Config", session_id: str, out: Output, *, wanted: bool) -> None:
        self._config = config
        self._session_id = session_id
        self._out = out
        self._wanted = wanted
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="report")
        self._making: dict[str, Future[ReportResult]] = {}
        self._finished = False
        self.verdicts: dict[str, str | None] = dict.fromkeys(NAMES)
        self.pages: dict[str, Path] = {}

    def beside_the_session(self) -> None:
        """Start what can be made while the session runs."""
        self._start("preflight")

    def after_close(self) -> None:
        """Start what is left once the session has closed."""
        for name in NAMES:
            self._start(name)

    def after_refusal(self) -> None:
        """Show why the day was refused."""
        self._start("preflight")

    def finish(self) -> None:
        """Wait for the reports that were started and take their verdicts; twice is fine."""
        if self._finished:
            return
        self._finished = True
        if self._making:
            with self._out.working(f"making the reports ({', '.join(self._making)})"):
                for name, future in self._making.items():
                    self._take(name, future)
        self._pool.shutdown()

    @property
    def exit_code(self) -> int:
        """0 where every report that was wanted says GO, 1 where one does not."""
        return int(self._wanted and any(verdict != "GO" for verdict in self.verdicts.values()))

    def _start(self, name: str) -> None:
        if self._wanted and name not in self._making:
            self._making[name] = self._pool.submit(self._make, name)

    def _make(self, name: str) -> "ReportResult":
        from qmworkbench.reporting.runner import run_report

        paths = self._config.paths
        if name != "preflight":
            _tables_follow(paths.root)
        return run_report(
            name,
            out_root=self._config.reports_directory,
            book_dir=paths.root,
            session_id=self._session_id,
            secrets=self._config.secrets,
        )

    def _take(self, name: str, future: "Future[ReportResult]") -> None:
        try:
            made = future.result()
        except Exception as error:  # the session is closed and on record, whatever becomes of its pages
            self.verdicts[name] = "INCOMPLETE"
            self._out.say(f"the {name} report could not be made: {error}")
            return
        self.verdicts[name] = made.verdict.value
        self.pages[name] = made.path
        if made.exit_code:
            self._out.say(f"{name}: {made.verdict.value}: {made.headline}")


def _tables_follow(book: Path) -> None:
    """Wait until the tables have followed the journal to its end; a report says itself when they have not."""
    import time

    from qmworkbench.storage.reading import open_book
    from qmworkbench.storage.refused import StorageRefused

    until_s = time.monotonic() + _TABLES_S
    while time.monotonic() < until_s:
        try:
            with open_book(book) as reader:
                if reader.watermark().lag == 0:
                    return
        except StorageRefused:
            return  # the report names it
        time.sleep(0.05)
