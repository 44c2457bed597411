"""What a notebook begins and ends with: checked parameters, style, and the verdict it writes last (§17, §18)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from qmworkbench.domain.checks import Verdict
from qmworkbench.reporting.page import banner
from qmworkbench.reporting.parameters import Parameters, report_named, validated
from qmworkbench.reporting.style import CSS
from qmworkbench.reporting.tables import Html
from qmworkbench.reporting.verdicts import ReportVerdict, write_verdict

P = TypeVar("P", bound=Parameters)


class Conclusion:
    """What a report comes to, before it is written down."""

    def __init__(
        self,
        verdict: Verdict,
        headline: str,
        *,
        reasons: Sequence[str] = (),
        where: str = "",
        facts: Mapping[str, str] | None = None,
    ) -> None:
        self.verdict = verdict
        self.headline = headline
        self.reasons = tuple(reasons)
        self.where = where
        self.facts = dict(facts or {})


class ReportRun(Generic[P]):
    """A notebook's run. `out_dir` is where its verdict goes; None when a person runs it and reads the screen."""

    def __init__(self, name: str, parameters: P, out_dir: Path | None, run_id: str) -> None:
        self.name = name
        self.parameters = parameters
        self.out_dir = out_dir
        self.run_id = run_id

    @property
    def unattended(self) -> bool:
        """Made by the runner, for a page: nothing interactive is of use."""
        return self.out_dir is not None

    def conclude(self, conclusion: Conclusion) -> Html:
        """Write the verdict, as the last thing of the notebook, and show it where a person looks on."""
        if self.out_dir is not None:
            write_verdict(
                self.out_dir,
                ReportVerdict(
                    report=self.name,
                    run_id=self.run_id,
                    verdict=conclusion.verdict,
                    headline=conclusion.headline,
                    reasons=conclusion.reasons,
                    where=conclusion.where,
                    facts=conclusion.facts,
                ),
            )
            return Html("")  # the page has its own banner
        return Html(banner(conclusion.verdict, conclusion.headline, conclusion.reasons))


def begin(name: str, *, out_dir: str = "", run_id: str = "", **given: Any) -> ReportRun[Any]:
    """Check a notebook's parameters and, where a person looks on, put the style in place.

    An empty text means "not given". Raises ReportRefused naming the parameter, its value and the remedy.
    """
    report = report_named(name)
    told = {key: value for key, value in given.items() if value != ""}
    run: ReportRun[Any] = ReportRun(name, validated(report, told), Path(out_dir) if out_dir else None, run_id)
    if not run.unattended:
        _show(Html(f"<style>{CSS}</style>"))
    return run


def _show(piece: Html) -> None:
    from IPython.display import display

    display(piece)  # type: ignore[no-untyped-call]
