"""Mutation testing of what keeps orders safe: plant one small bug at a time and see that a test falls over.

    python scripts/mutants.py [MODULE ...] [--seconds 900] [--every 1] [--list] [--retry] [--report]

Modules are named as in MAPPED below (risk, oms, ...); none means all of them, in that order. The run works on a copy of
the checkout made at its start, on one core, at low priority, and stops after `--seconds`. What is known is kept in
.mutants/ by the content of its function and its tests (mutation_record.py), so that the next run goes on where this one
stopped. `--every 3` asks about a third of the mutants, chosen by their names; `--list` shows the mutants alone,
`--retry` asks the survivors again in processes of their own, `--report` runs nothing and writes docs/mutation.md from
what is on record.

A survivor is a line that no test would miss. Write the test, or say in scripts/equivalent_mutants.toml why the mutant
is none. Exit code 1: there are survivors nobody has explained. 2: a module's tests fail without any mutant.
"""

import argparse
import ast
import hashlib
import importlib.abc
import importlib.util
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
from mutation_operators import Mutant, mutants
from mutation_record import Places, Record, Result, believed, file_name, read, write
from mutation_report import EQUIVALENT, Seen, explained, write_report
from mutation_session import UNPLANTED, Planting

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / ".mutants"
REASONS = tomllib.loads(EQUIVALENT.read_text())["equivalent"]
_CPU_S = 300  # what a mutant may compute before it counts as killed
# What is imported before the fork cannot be rewritten, and need not be.
_UNWARNED = ("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning")
_RULES = "tests/trading/test_risk_rules.py"
_KEPT = "tests/trading/test_kept_verdicts.py"
_BREACHES = "tests/trading/test_breaches.py"
_DENIALS = "tests/trading/test_denials.py"
_KERNEL = "tests/trading/test_kernel_rules.py"
_EDGES = "tests/trading/test_kernel_edges.py"
_HANDS = "tests/trading/test_hands_on.py"
_ANSWERS = (
    "tests/trading/test_order_answers.py",
    "tests/trading/test_oms_rules.py",
    "tests/trading/test_oms.py",
    "tests/trading/test_fold_orders.py",
)

# Which tests answer for which module, the quickest first.
MAPPED: dict[str, tuple[str, tuple[str, ...]]] = {
    "risk": ("qmworkbench/trading/risk.py", (_RULES, _KEPT, _BREACHES, _KERNEL)),
    "risk_exposure": ("qmworkbench/trading/risk_exposure.py", (_RULES, _KEPT, _BREACHES, _DENIALS)),
    "risk_terms": ("qmworkbench/trading/risk_terms.py", (_RULES, _DENIALS)),
    "risk_rule": ("qmworkbench/trading/risk_rule.py", (_RULES,)),
    "exposure": ("qmworkbench/trading/exposure.py", (_RULES, _DENIALS)),
    "limits": ("qmworkbench/domain/limits.py", ("tests/domain/test_limits.py", _RULES)),
    "denials": ("qmworkbench/trading/denials.py", (_DENIALS, _RULES)),
    "breaches": (
        "qmworkbench/trading/breaches.py",
        ("tests/trading/test_breaches_judged.py", _BREACHES, _DENIALS, _KERNEL),
    ),
    "orders": ("qmworkbench/domain/orders.py", ("tests/domain/test_orders.py", _KERNEL, _EDGES)),
    "oms": (
        "qmworkbench/trading/oms.py",
        (*_ANSWERS, "tests/trading/test_contradictions.py", "tests/trading/test_busts.py", _KERNEL),
    ),
    "report_door": ("qmworkbench/trading/report_door.py", ("tests/trading/test_report_door.py",)),
    "busts": (
        "qmworkbench/trading/busts.py",
        (
            "tests/trading/test_bust_rules.py",
            "tests/trading/test_busts.py",
        ),
    ),
    "order_life": ("qmworkbench/trading/order_life.py", ("tests/trading/test_order_answers.py",)),
    "replacing": (
        "qmworkbench/trading/replacing.py",
        ("tests/trading/test_replacing_rules.py", "tests/trading/test_replacing.py"),
    ),
    "leg_adoption": ("qmworkbench/trading/leg_adoption.py", ("tests/trading/test_order_answers.py",)),
    "duplicates": ("qmworkbench/trading/duplicates.py", ("tests/trading/test_order_answers.py",)),
    "fold_fills": ("qmworkbench/trading/fold_fills.py", ("tests/trading/test_fold_fills.py",)),
    "order_queries": ("qmworkbench/trading/order_queries.py", ("tests/trading/test_order_answers.py",)),
    "order_timeouts": (
        "qmworkbench/trading/order_timeouts.py",
        ("tests/trading/test_order_timeout_rules.py", "tests/trading/test_order_timeouts.py"),
    ),
    "order_control": ("qmworkbench/trading/order_control.py", ("tests/trading/test_order_control_rules.py", _HANDS)),
    "contradictions": ("qmworkbench/trading/contradictions.py", ("tests/trading/test_contradictions.py",)),
    "coming": ("qmworkbench/trading/coming.py", ("tests/trading/test_coming_rules.py", _RULES, _DENIALS)),
    "rejections": ("qmworkbench/trading/rejections.py", ("tests/trading/test_rejections.py",)),
    "comparison": ("qmworkbench/trading/comparison.py", ("tests/trading/test_reconciliation_comparison.py",)),
    "reconciliation": (
        "qmworkbench/trading/reconciliation.py",
        ("tests/trading/test_reconciliation_rules.py", "tests/trading/test_reconciliation.py"),
    ),
    "repairs": ("qmworkbench/trading/repairs.py", ("tests/trading/test_repair_rules.py",)),
    "absence": ("qmworkbench/trading/absence.py", ("tests/trading/test_absence.py",)),
    "foreign": ("qmworkbench/trading/foreign.py", ("tests/trading/test_foreign_rules.py",)),
    "fold_reconciliation": (
        "qmworkbench/trading/fold_reconciliation.py",
        ("tests/trading/test_fold_reconciliation.py",),
    ),
    "emergency": ("qmworkbench/trading/emergency.py", ("tests/trading/test_emergency*.py",)),
}


class TestsFailError(Exception):
    """A module's tests fail as they are: nothing can be asked of them."""


@dataclass(frozen=True)
class Subject:
    """A module under test: its source, its tests, and the digest of both."""

    name: str
    path: str
    tests: tuple[str, ...]
    source: str
    digest: str

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").replace("/", ".")

    @property
    def kept(self) -> Path:
        return KEPT / f"{self.name}.json"


def subject(name: str, root: Path) -> Subject:
    """The module and tests of that name as they are in `root`."""
    path, patterns = MAPPED[name]
    tests = tuple(
        sorted({t.relative_to(root).as_posix() for p in patterns for t in root.glob(p)}, key=_order(patterns))
    )
    digest = hashlib.sha256((root / path).read_bytes())
    for test in tests:
        digest.update((root / test).read_bytes())
    return Subject(name, path, tests, (root / path).read_text(), digest.hexdigest()[:16])


def _order(patterns: Sequence[str]):  # type: ignore[no-untyped-def]
    def key(path: str) -> tuple[int, str]:
        return next(i for i, pattern in enumerate(patterns) if Path(path).match(pattern)), path

    return key


class _Planted(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module with a mutant in it, everything else as ever."""

    def __init__(self, module: str, path: Path, tree: ast.Module) -> None:
        self._module, self._path, self._tree = module, path, tree

    def find_spec(self, name: str, path: object, target: ModuleType | None = None) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(name, self, origin=str(self._path)) if name == self._module else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._tree, str(self._path), "exec"), module.__dict__)


def asked_anew(seen: Subject, copy: Path, mutant: Mutant) -> str:
    """How the tests take it in a process that imports everything with the mutant in it: "killed" or "survived"."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
        os._exit(_pytest(seen, copy, _Planted(seen.module, copy / seen.path, mutant.tree), None))
    _, status = os.waitpid(child, 0)
    return "survived" if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0 else "killed"


def asked_quickly(seen: Subject, copy: Path, todo: Sequence[Mutant], told: Callable[[Mutant, str], bool]) -> None:
    """All of these in forks of one session (mutation_session.py); TestsFailError where they fail by themselves."""
    heard, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(heard)
        with os.fdopen(tell, "w", buffering=1) as out:
            by_name = {mutant.name: at for at, mutant in enumerate(todo)}

            def say(mutant: Mutant, outcome: str) -> bool:
                out.write(f"{by_name[mutant.name]} {outcome}\n")
                return True

            planting = Planting(seen.module, todo, say)
            _pytest(seen, copy, None, planting)
            out.write(f"{'sound' if planting.sound else 'unsound'} -\n")
        os._exit(0)
    os.close(tell)
    with os.fdopen(heard) as lines:
        for line in lines:
            which, outcome = line.split()
            if which == "unsound":
                print(copy.with_name("said.txt").read_text()[-3000:])
                raise TestsFailError(f"{seen.name}: its tests fail without any mutant: {' '.join(seen.tests)}")
            if which != "sound" and not told(todo[int(which)], outcome):
                os.kill(child, signal.SIGKILL)
                break
    os.waitpid(child, 0)


def _pytest(seen: Subject, copy: Path, planted: _Planted | None, plugin: Planting | None) -> int:
    """pytest over the module's tests, in the copy; what it prints goes beside the copy."""
    os.chdir(copy)
    sys.path[:0] = [str(copy)]
    said = os.open(copy.with_name("said.txt"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(said, stream)
    try:
        if planted is not None:
            sys.meta_path.insert(0, planted)
        arguments = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", *_UNWARNED, *seen.tests]
        return int(pytest.main(arguments, plugins=[] if plugin is None else [plugin]))
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def run(seen: Subject, copy: Path, until: float, retry: bool, share: int = 1) -> Seen:
    """Ask the tests about one mutant in `share`, as far as the time goes; returns what is known then."""
    every, before = list(mutants(seen.source)), read(seen.kept)
    places = placed(seen.source, every)
    sure = believed(before, seen.digest, places, lambda result: bool(explained(REASONS, seen.path, result)))
    results = {name: result for name, result in before.results.items() if name in places}
    asked = {name for name, result in sure.items() if not (retry and result.outcome == "survived")}
    todo = [mutant for mutant in every if mutant.name not in asked and in_share(mutant, share)]

    unplanted: set[str] = set()

    def told(mutant: Mutant, outcome: str) -> bool:
        if outcome == UNPLANTED:
            unplanted.add(mutant.name)
            return time.monotonic() < until
        within = places[mutant.name]
        results[mutant.name] = sure[mutant.name] = Result(mutant.line_no, mutant.line, mutant.change, outcome, within)
        # A survivor of other tests is on record until it is asked again; it must not pass for one of these.
        unsure = {name: replace(r, within="") for name, r in results.items() if name not in sure}
        write(seen.kept, Record(seen.digest, file_name(seen.source), results | unsure))
        if outcome == "survived":
            print(f"  {seen.path}:{mutant.line_no}: survived {mutant.change}: {mutant.line}", flush=True)
        return time.monotonic() < until

    if todo and not retry:
        asked_quickly(seen, copy, [mutant for mutant in todo if mutant.inside], told)
    for mutant in todo:
        if time.monotonic() > until:
            break
        if retry or not mutant.inside or mutant.name in unplanted:
            told(mutant, asked_anew(seen, copy, mutant) if _compiles(mutant, seen) else "killed")
    return on_record(seen)


def placed(source: str, every: Sequence[Mutant]) -> dict[str, str]:
    """The function that each mutant is in, by the mutant's name."""
    places = Places(source)
    return {mutant.name: places.of(mutant.line_no) for mutant in every}


def on_record(seen: Subject) -> Seen:
    """What is known of the module's mutants; what a later change of their function or tests has put in doubt apart."""
    every, record = list(mutants(seen.source)), read(seen.kept)
    places = placed(seen.source, every)
    results = {name: result for name, result in record.results.items() if name in places}
    sure = believed(record, seen.digest, places, lambda result: bool(explained(REASONS, seen.path, result)))
    return Seen(seen.path, results, len(every), record.file, frozenset(results.keys() - sure.keys()))


def in_share(mutant: Mutant, share: int) -> bool:
    """Whether it is among the one in `share` that is asked about: by its name, so that a later run takes the same."""
    return int(hashlib.sha256(mutant.name.encode()).hexdigest(), 16) % share == 0


def _compiles(mutant: Mutant, seen: Subject) -> bool:
    try:
        compile(mutant.tree, seen.path, "exec")
    except SyntaxError:
        return False
    return True


def copied(directory: Path) -> Path:
    """A copy of the checkout, so that it may be worked on meanwhile; the shared data stands beside it."""
    copy = directory / "checkout"
    ignored = shutil.ignore_patterns("__pycache__", "books", "added", ".venv")
    for name in ("qmworkbench", "tests", "dashboards", "data"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", copy)
    if (ROOT.parent / "shared").is_dir():
        (directory / "shared").symlink_to(ROOT.parent / "shared")
    return copy


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("module", nargs="*", choices=[[], *MAPPED], default=[], metavar="MODULE")
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--retry", action="store_true")
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    names = given.module or list(MAPPED)
    if given.list:
        for name in names:
            for mutant in mutants((ROOT / MAPPED[name][0]).read_text()):
                print(f"{MAPPED[name][0]}:{mutant.line_no}: {mutant.change}: {mutant.line}")
        return 0
    for reason in REASONS:
        if reason["line"] not in (ROOT / reason["module"]).read_text():
            print(f"{EQUIVALENT.name}: {reason['module']} has no line any more: {reason['line']}")
    if given.report:
        write_report([on_record(subject(name, ROOT)) for name in names], REASONS)
        return 0
    os.nice(10)
    os.environ["PYTHONHASHSEED"] = "0"
    return tested(names, time.monotonic() + given.seconds, given.retry, given.every)


def tested(names: Sequence[str], until: float, retry: bool, share: int) -> int:
    """Ask about these modules until the time is up; returns the exit code."""
    code = 0
    with tempfile.TemporaryDirectory(prefix="qm-mutants-") as scratch:
        os.environ["TMPDIR"] = scratch
        tempfile.tempdir = None
        _preload()
        copy = copied(Path(scratch))
        for name in names:
            about = subject(name, copy)
            if time.monotonic() > until:
                print(f"{name}: the time is up; the next run goes on here")
                break
            print(f"{name}: {about.path}", flush=True)
            try:
                seen = run(about, copy, until, retry, share)
            except TestsFailError as error:
                print(error, flush=True)
                code = 2
                continue
            left = [r for r in seen.survivors if not explained(REASONS, about.path, r)]
            code = max(code, int(bool(left)))
            told = f"{len(seen.results)} of {seen.planted} mutants asked, {len(seen.survivors)} survived"
            print(f"{name}: {told}, {len(left)} unexplained", flush=True)
    return code


def _preload() -> None:
    """What every child needs and no mutant touches; imported once, before the first fork."""
    for name in ("pytest", "_pytest.assertion.rewrite", "hypothesis", "numpy", "msgspec", "exchange_calendars"):
        importlib.import_module(name)


if __name__ == "__main__":
    sys.exit(main())
