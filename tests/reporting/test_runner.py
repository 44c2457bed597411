"""The runner on real kernels: whatever becomes of a notebook, its page appears and never says GO for it."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from qmworkbench.domain.checks import Verdict
from qmworkbench.reporting import runner
from qmworkbench.reporting.manifest import read_manifest
from qmworkbench.reporting.runner import RUNS_KEPT, ReportResult, make_report, worst
from qmworkbench.reporting.verdicts import NoVerdict, ReportVerdict, read_verdict, write_verdict
from tests.reporting.odd_notebooks import CELLS, SECRET, NoParameters, report_in
from tests.reporting.test_tables import balanced, plain


@pytest.fixture(scope="module")
def out_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def made(out_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ReportResult]:
    """Every odd notebook, run once, two at a time."""
    folder = tmp_path_factory.mktemp("notebooks")
    reports = {name: report_in(folder, name) for name in CELLS}
    with ThreadPoolExecutor(2) as pool:
        futures = {
            name: pool.submit(make_report, report, NoParameters(), out_root=out_root, secrets=[SECRET])
            for name, report in reports.items()
        }
        return {name: future.result() for name, future in futures.items()}


def test_a_verdict_of_this_run_counts(made: dict[str, ReportResult]) -> None:
    good, no_go = made["good"], made["no_go"]
    assert (good.verdict, good.exit_code, good.headline) == (Verdict.GO, 0, "as it should")
    assert (no_go.verdict, no_go.exit_code) == (Verdict.NO_GO, 1)
    assert "one thing" in no_go.path.read_text()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("raises", "ValueError (its message is left out"),
        ("raises_late", "ZeroDivisionError"),
        ("exits", "early exit"),
        ("killed", "kernel died"),
        ("forgets", "ended without its verdict"),
        ("other_run", "was written by run another"),
        ("garbage", "is no verdict of ours"),
    ],
)
def test_everything_else_is_incomplete_with_its_reason(made: dict[str, ReportResult], name: str, says: str) -> None:
    result = made[name]
    assert (result.verdict, result.exit_code) == (Verdict.INCOMPLETE, 2)
    words = plain(result.path.read_text().split("</style>")[1])
    assert says in words
    assert "INCOMPLETE" in words
    assert "counts as NO-GO" in words


def test_the_page_always_appears_whole_and_shows_how_far_it_got(made: dict[str, ReportResult]) -> None:
    for name, result in made.items():
        content = result.path.read_text()
        assert balanced(content), name
        assert "http" not in content.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", ""), name
        assert content == (result.directory / "report.html").read_text(), name
        if name != "killed":  # a dead kernel takes unsaved results with it
            assert "<p>shown</p>" in content, name
            assert "<svg>" in content, name


def test_no_secret_and_no_source_is_kept_anywhere(made: dict[str, ReportResult], out_root: Path) -> None:
    files = [path for path in out_root.rglob("*") if path.is_file()]
    assert len(files) >= 4 * len(made)
    holding = [path for path in files if SECRET.encode() in path.read_bytes() and path.suffix != ".ipynb"]
    assert holding == []
    raised = made["raises"]
    assert "raise ValueError" not in raised.path.read_text()
    kept = msgspec.json.decode((raised.directory / "notebook.ipynb").read_bytes())
    outputs = msgspec.json.encode([cell.get("outputs") for cell in kept["cells"]])
    assert SECRET.encode() not in outputs


def test_the_manifest_says_with_what_and_from_what(made: dict[str, ReportResult]) -> None:
    manifest = read_manifest(made["no_go"].directory)
    assert (manifest.report, manifest.verdict, manifest.exit_code) == ("no_go", Verdict.NO_GO, 1)
    assert manifest.facts == {"made of": "nothing"}
    assert manifest.versions["polars"]
    assert manifest.code_version.startswith("0.")
    assert len(manifest.page_sha256) == 64
    assert manifest.started_at < manifest.finished_at
    assert made["no_go"].directory.name.endswith(manifest.run_id)


def test_each_run_has_a_directory_of_its_own_and_old_ones_go(out_root: Path, tmp_path: Path) -> None:
    report = report_in(tmp_path, "good")
    old = out_root / "kept"
    first = make_report(report, NoParameters(), out_root=old)
    for n in range(RUNS_KEPT):
        shutil.copytree(first.directory, first.directory.with_name(f"19990101T00000{n}-old"))
    second = make_report(report, NoParameters(), out_root=old)
    assert second.directory != first.directory
    assert second.path == first.path
    kept = sorted(entry.name for entry in second.directory.parent.iterdir())
    assert len(kept) == RUNS_KEPT
    assert {first.directory.name, second.directory.name} <= set(kept)


def test_an_unfinished_run_leaves_no_old_go_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = report_in(tmp_path, "good")
    page = tmp_path / "out"
    seen: list[str] = []

    def stopped(self: object, executed: Path) -> None:
        seen.extend(path.read_text() for path in page.rglob("good.html"))
        raise KeyboardInterrupt

    monkeypatch.setattr(runner._Run, "_papermill", stopped)
    with pytest.raises(KeyboardInterrupt):
        make_report(report, NoParameters(), out_root=page)
    assert len(seen) == 1
    assert "INCOMPLETE" in seen[0]
    assert "being made" in seen[0]
    left = next(page.rglob("good.html")).read_text()
    assert "stopped before it was finished" in left
    assert "INCOMPLETE" in left


def test_a_kernel_that_cannot_start_still_leaves_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, executed: Path) -> None:
        raise RuntimeError("no kernel here")

    monkeypatch.setattr(runner._Run, "_papermill", broken)
    result = make_report(report_in(tmp_path, "good"), NoParameters(), out_root=tmp_path / "out")
    assert result.verdict is Verdict.INCOMPLETE
    assert "did not start" in result.path.read_text()
    assert "no kernel here" not in result.path.read_text()


def test_several_reports_have_the_worst_exit_code(made: dict[str, ReportResult]) -> None:
    assert worst([made["good"]]) == 0
    assert worst([made["good"], made["no_go"]]) == 1
    assert worst([made["no_go"], made["exits"], made["good"]]) == 2
    assert worst([]) == 2


def test_a_verdict_comes_back_as_it_was_written(tmp_path: Path) -> None:
    told = ReportVerdict(report="r", run_id="1", verdict=Verdict.NO_GO, headline="h", reasons=("a",), facts={"b": "c"})
    write_verdict(tmp_path, told)
    found = read_verdict(tmp_path, "1")
    assert msgspec.structs.replace(found, written_at="") == told
    with pytest.raises(NoVerdict):
        read_verdict(tmp_path, "2")
