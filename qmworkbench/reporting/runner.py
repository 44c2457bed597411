"""Runs a report: parameters checked, notebook executed in a fresh directory, the page always rendered (§17, §18).

Success is never inferred from an exit code or from metadata: only the verdict that the notebook wrote last, in this
run, counts. Everything else is INCOMPLETE, and INCOMPLETE counts as NO-GO.
"""

import hashlib
import logging
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

import msgspec

from qmworkbench.domain.checks import Verdict
from qmworkbench.reporting.manifest import Manifest, journal_heads, machine, versions, write_manifest
from qmworkbench.reporting.page import Failure, page
from qmworkbench.reporting.parameters import Parameters, Report, report_named, validated
from qmworkbench.reporting.verdicts import NoVerdict, ReportVerdict, read_verdict
from qmworkbench.service.redaction import Redactor
from qmworkbench.storage.atomic import write_whole
from qmworkbench.storage.reading import open_book
from qmworkbench.storage.refused import StorageRefused

CELL_TIMEOUT_S: Final = 180
START_TIMEOUT_S: Final = 60
RUNS_KEPT: Final = 5
UNDATED: Final = "undated"
NO_BOOK: Final = "research"


class ReportResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a report went. `path` is the page, which is always there; `directory` holds notebook, verdict, manifest.

    `exit_code`: 0 GO, 1 NO-GO, 2 incomplete.
    """

    name: str
    verdict: Verdict
    headline: str
    path: Path
    directory: Path
    seconds: float

    @property
    def exit_code(self) -> int:
        return self.verdict.exit_code


class ReportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A report to be made: its name and what it is told (reporting/parameters.py)."""

    name: str
    parameters: dict[str, Any] = {}


def run_report(
    name: str,
    *,
    out_root: Path,
    book_dir: Path | None = None,
    session_id: str = "",
    parameters: Mapping[str, Any] | None = None,
    secrets: Iterable[str] = (),
) -> ReportResult:
    """Make a report under OUT_ROOT/DATE/BOOK/NAME/RUN, and its page as OUT_ROOT/DATE/BOOK/NAME.html.

    `book_dir` and `session_id` ("": the newest) go in with the other parameters (reporting/parameters.py). `secrets`
    are wiped out of whatever is kept. Raises ReportRefused, before anything is started, for an unknown report or
    parameters that do not fit. Whatever happens after that, the page appears.
    """
    report = report_named(name)
    told = dict(parameters or {})
    if book_dir is not None:
        told |= {"book_dir": book_dir, "session_id": session_id}
    return make_report(report, validated(report, told), out_root=out_root, secrets=secrets)


def make_report(report: Report, given: Parameters, *, out_root: Path, secrets: Iterable[str] = ()) -> ReportResult:
    """Make a report of checked parameters; the page appears whatever becomes of the notebook."""
    return _Run(report, given, Path(out_root), Redactor(secrets)).make()


def run_reports(
    requests: Sequence[ReportRequest], *, out_root: Path, parallel: int = 2, secrets: Iterable[str] = ()
) -> list[ReportResult]:
    """Several reports, `parallel` at a time, in the order asked for; all are checked before the first starts."""
    kept = tuple(secrets)
    for request in requests:
        validated(report_named(request.name), request.parameters)
    if parallel < 1:
        raise ValueError(f"parallel is {parallel}: give 1 or more")
    with ThreadPoolExecutor(max_workers=parallel, thread_name_prefix="report") as pool:
        made = [
            pool.submit(run_report, r.name, out_root=out_root, parameters=r.parameters, secrets=kept) for r in requests
        ]
        return [future.result() for future in made]


def worst(results: Sequence[ReportResult]) -> int:
    """One exit code for several reports: 2 where one is incomplete or none was made, else 1 where one is NO-GO."""
    return max((result.exit_code for result in results), default=2)


class _Run:
    """One run of one report, from a fresh directory to a page."""

    def __init__(self, report: Report, parameters: Parameters, out_root: Path, redactor: Redactor) -> None:
        self.report = report
        self.parameters = parameters
        self.redactor = redactor
        self.started_at = datetime.now(UTC)
        self.run_id = uuid.uuid4().hex[:12]
        self.book_dir: Path | None = getattr(parameters, "book_dir", None)
        self.day, self.book = _place(self.book_dir, getattr(parameters, "session_id", ""))
        self.parent = out_root.resolve() / self.day / self.book
        self.directory = self.parent / report.name / f"{self.started_at:%Y%m%dT%H%M%S}-{self.run_id}"
        self.page_path = self.parent / f"{report.name}.html"
        self.heads = journal_heads(self.book_dir)

    def make(self) -> ReportResult:
        begun = time.perf_counter()
        self.directory.mkdir(parents=True)
        # Should this process be killed, what is left is no old GO.
        started = Failure(title="Being made", text="This report was begun and has not been finished yet.")
        self._write_page(self._page(_incomplete(self.report, "being made"), "", started, seconds=0.0))
        try:
            failure, notebook = self._execute()
        except KeyboardInterrupt:
            stopped = Failure(title="Stopped", text="The report was stopped before it was finished.")
            self._finish(stopped, None, begun)
            raise
        return self._finish(failure, notebook, begun)

    # --- executing -------------------------------------------------------------------------------------------

    def _execute(self) -> tuple[Failure | None, Any]:
        """Run the notebook. Returns what stopped it, and the notebook as far as it got (None: not at all)."""
        from papermill.exceptions import PapermillExecutionError

        executed = self.directory / "notebook.ipynb"
        failure = None
        try:
            self._papermill(executed)
        except PapermillExecutionError:
            failure = None  # told from the notebook itself
        except Exception as error:  # a dead kernel, a timeout, a kernel that did not start: the page must still appear
            failure = _kernel_failure(error)
        return self._collect(executed, failure)

    def _papermill(self, executed: Path) -> None:
        import papermill

        from qmworkbench.reporting.kernel import own_manager, run_beside

        log = logging.getLogger("papermill")
        log.propagate = False
        if not log.handlers:
            log.addHandler(logging.NullHandler())
        managers = own_manager()

        def execute() -> None:
            papermill.execute_notebook(
                str(self.report.notebook),
                str(executed),
                parameters=self.parameters.for_notebook() | {"out_dir": str(self.directory), "run_id": self.run_id},
                kernel_name="python3",
                kernel_manager_class=managers,
                progress_bar=False,
                log_output=False,
                start_timeout=START_TIMEOUT_S,
                execution_timeout=CELL_TIMEOUT_S,
            )

        run_beside(execute, managers)

    def _collect(self, executed: Path, failure: Failure | None) -> tuple[Failure | None, Any]:
        import nbformat

        from qmworkbench.reporting.rendering import failure_of, scrubbed

        if not executed.exists():
            return failure or Failure(title="The notebook was not run", text="It left nothing behind."), None
        notebook = nbformat.read(executed, as_version=4)  # type: ignore[no-untyped-call]
        failure = failure or failure_of(notebook, self.redactor)
        notebook.metadata.pop("papermill", None)  # it repeats parameters, paths and environment
        kept = nbformat.writes(scrubbed(notebook, self.redactor))  # type: ignore[no-untyped-call]
        write_whole(executed, kept.encode())
        return failure, notebook

    # --- finishing ---------------------------------------------------------------------------------------------

    def _finish(self, failure: Failure | None, notebook: Any, begun: float) -> ReportResult:
        from qmworkbench.reporting.rendering import body_of

        try:
            said = read_verdict(self.directory, self.run_id)
        except NoVerdict as error:
            failure = failure or Failure(title="No verdict", text=f"{error}: an early exit, or a kernel that died.")
            said = _incomplete(self.report, str(error))
        if failure is not None and said.verdict is not Verdict.INCOMPLETE:
            said = msgspec.structs.replace(
                said, verdict=Verdict.INCOMPLETE, headline=f"not finished: {failure.text}", reasons=()
            )
        body = body_of(notebook, self.redactor) if notebook is not None else ""
        seconds = time.perf_counter() - begun
        content = self._page(said, body, failure, seconds=seconds)
        self._write_manifest(said, content, seconds)
        self._write_page(content)
        self._forget_old_runs()
        return ReportResult(
            name=self.report.name,
            verdict=said.verdict,
            headline=said.headline,
            path=self.page_path,
            directory=self.directory,
            seconds=round(seconds, 3),
        )

    def _page(self, said: ReportVerdict, body: str, failure: Failure | None, *, seconds: float) -> str:
        facts = {
            "made": f"{self.started_at:%Y-%m-%d %H:%M:%S} UTC in {seconds:.1f} s, run {self.run_id}",
            "from": f"{self.report.notebook.name}, code {machine()['code_version']}",
            **{
                f"journal {stream}": f"record {seq:,}, {head[:16]}" for stream, (seq, head) in self.heads.items() if seq
            },
            **said.facts,
        }
        return page(
            title=self.report.title,
            where=said.where or " · ".join(part for part in (self.book, self.day) if part != UNDATED),
            verdict=said.verdict,
            headline=said.headline,
            reasons=said.reasons,
            body=body,
            facts=facts,
            failure=failure,
        )

    def _write_page(self, content: str) -> None:
        encoded = self.redactor.line(content.encode())
        write_whole(self.directory / "report.html", encoded)
        write_whole(self.page_path, encoded)

    def _write_manifest(self, said: ReportVerdict, content: str, seconds: float) -> None:
        write_manifest(
            self.directory,
            Manifest(
                report=self.report.name,
                run_id=self.run_id,
                verdict=said.verdict,
                exit_code=said.verdict.exit_code,
                started_at=self.started_at,
                finished_at=datetime.now(UTC),
                seconds=round(seconds, 3),
                parameters=self.parameters.for_notebook(),
                versions=versions(),
                journal=self.heads,
                facts=said.facts,
                page_sha256=hashlib.sha256(self.redactor.line(content.encode())).hexdigest(),
                **machine(),
            ),
        )

    def _forget_old_runs(self) -> None:
        """Keep the newest runs of this report for this session; the page shows the last one anyway."""
        runs = sorted((entry for entry in self.directory.parent.iterdir() if entry.is_dir()), reverse=True)
        for old in runs[RUNS_KEPT:]:
            rmtree(old, ignore_errors=True)


def _place(book_dir: Path | None, session_id: str) -> tuple[str, str]:
    """The session's date and the book's name, for the directory; "undated" where no such session can be read."""
    if book_dir is None:
        return f"{datetime.now(UTC):%Y-%m-%d}", NO_BOOK
    name = Path(book_dir).resolve().name or NO_BOOK
    with suppress(StorageRefused), open_book(book_dir) as book:
        sessions = book.sessions()
        chosen = sessions if not session_id else sessions.filter(sessions["session_id"] == session_id)
        if chosen.height:
            return str(chosen["date"][-1]), book.journal.book
    return UNDATED, name


def _incomplete(report: Report, why: str) -> ReportVerdict:
    return ReportVerdict(report=report.name, run_id="", verdict=Verdict.INCOMPLETE, headline=why)


def _kernel_failure(error: Exception) -> Failure:
    name = type(error).__name__
    said = {
        "DeadKernelError": "The notebook's kernel died, killed or out of memory.",
        "CellTimeoutError": f"A cell took longer than {CELL_TIMEOUT_S} s and was stopped.",
        "RuntimeError": "The notebook's kernel did not start or did not answer.",
    }.get(name, f"The notebook could not be run ({name}).")
    return Failure(title="The notebook could not be run to its end", text=said)
