"""`qm preflight`: GO or NO-GO with the evidence, without running a day (§5, §8; M: Pre-Flight)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qmworkbench.cli.day_options import DataFile, Day, data_flags
from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.failures import Cannot
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    from qmworkbench.domain.checks import Check
    from qmworkbench.service.config import Config

PHASES = ("pre-start", "pre-market", "all")


def preflight(
    phase: Annotated[str, typer.Option("--phase", help="pre-start, pre-market or all.")] = "pre-start",
    data: DataFile = None,
    date: Day = None,
    environment: Environment = None,
    book: Book = None,
    config: ConfigFile = None,
    json: AsJson = False,
) -> None:
    """Look whether the day may start. On a running platform, what its own preflights saw.

    The pre-market phase looks at a running platform: it exists once a day has reached it.
    Exit code 0 GO, 1 NO-GO, 2 could not run.
    """
    import time

    out = begin(json=json)
    if phase not in PHASES:
        raise Cannot(f"--phase {phase!r} is no phase", f"give one of {', '.join(PHASES)}")
    began = time.perf_counter()
    with out.working("looking"):
        found = _look(phase, environment, book, config, data_flags(data, date))
    _answer(out, found, time.perf_counter() - began)


def _look(phase: str, environment: Any, book: Any, file: Any, flags: dict[str, Any]) -> "dict[str, Sequence[Check]]":
    """The checks of each phase asked for."""
    from qmworkbench.service.config import ConfigRefused, as_checks
    from qmworkbench.service.lease import is_held

    try:
        config = config_of(book, environment, file, flags)
    except ConfigRefused as refused:
        return {"pre-start": as_checks(refused.problems)}
    wanted = ("pre-start", "pre-market") if phase == "all" else (phase,)
    running = is_held(config.paths.lease)
    found: dict[str, Sequence[Check]] = {}
    for name in wanted:
        if name == "pre-start" and not running:
            found[name] = _before_the_start(config)
        else:
            found[name] = _on_record(config, name, running=running)
    return found


def _before_the_start(config: "Config") -> "Sequence[Check]":
    """The pre-start checklist, looked at now, with the book's lease taken for the moment."""
    from qmworkbench.market.findings import DataRefused
    from qmworkbench.operations.manifest_items import unplanned
    from qmworkbench.operations.preflight import PreflightPhase
    from qmworkbench.operations.preflight import preflight as judge
    from qmworkbench.service.evidence import gather_pre_start
    from qmworkbench.service.plan import DayRefused, plan_of
    from qmworkbench.service.platform import open_platform
    from qmworkbench.service.session_data import load_data
    from qmworkbench.storage.refused import StoreDamaged

    try:
        data = load_data(config)
    except DataRefused as refused:
        return [_refused_data(finding) for finding in refused.findings if finding.severity.value == "refuse"]
    try:
        plan = plan_of(config, data)
    except (DayRefused, StoreDamaged) as unfit:
        return [unplanned(str(unfit))]
    with open_platform(plan, command="qm preflight") as platform:
        platform.session_paths.create()  # the room on the disk is looked at where the session would be written
        return judge(PreflightPhase.PRE_START, gather_pre_start(config, platform))


def _refused_data(finding: Any) -> "Check":
    from qmworkbench.domain.checks import Check, CheckStatus

    return Check(
        check_id=f"preflight.data.{finding.code}",
        section="§5 Data Check",
        title="market data",
        status=CheckStatus.FAIL,
        looked_at=finding.file,
        value=finding.message,
        expectation="bars that a session can be made of",
        remedy=finding.remedy,
    )


def _on_record(config: "Config", phase: str, *, running: bool) -> "Sequence[Check]":
    """A phase as the newest session's own preflight saw it. Raises Cannot where there is none."""
    from qmworkbench.service.evidence import recorded
    from qmworkbench.service.offline import read_state

    session = read_state(config).state.session
    record = recorded(config.paths.session(session.session_id).preflight(phase)) if session is not None else None
    if record is None or session is None:
        raise Cannot(
            f"no {phase} preflight is on record in the book at {config.paths.root}",
            "wait until the platform has come to it" if running else "run a day: `qm day` goes through both phases",
        )
    return record.checks


def _answer(out: Output, found: "dict[str, Sequence[Check]]", seconds: float) -> None:
    from qmworkbench.domain.checks import verdict_of

    verdicts = {name: verdict_of(checks) for name, checks in found.items()}
    code = max(verdict.exit_code for verdict in verdicts.values())

    def human() -> None:
        for name, checks in found.items():
            rows = [[check.status.value.upper(), check.section, check.title, check.value, _expected(check)]
                    for check in checks]  # fmt: skip
            out.table(["", "section", "what", "seen", "expected"], rows, title=name)
            for check in checks:
                if check.remedy and check.status.value in ("fail", "warn"):
                    said = ". ".join(part for part in (check.detail, check.remedy) if part)
                    out.line(f"  {check.status.value}: {check.title}: {said}")
            out.line(f"{name}: {verdicts[name].value}")
        out.line(f"{seconds:.1f} s")

    phases = {name: {"verdict": verdicts[name], "checks": checks} for name, checks in found.items()}
    verdict = {0: "GO", 1: "NO-GO", 2: "INCOMPLETE"}[code]
    out.result({"verdict": verdict, "seconds": round(seconds, 3), "phases": phases}, human)
    if code:
        raise typer.Exit(Exit.NO_GO if code == 1 else Exit.FAILED)


def _expected(check: "Check") -> str:
    return (
        f"{check.expectation} ({check.threshold}, {check.threshold_source})" if check.threshold else check.expectation
    )
