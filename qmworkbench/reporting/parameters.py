"""Which reports there are, and what each may be told: validated before anything is started (§17, §18)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

NOTEBOOKS: Final = Path(__file__).resolve().parents[2] / "notebooks"


def home() -> Path:
    """Where a notebook's configuration and data are looked for: where `qm` would be run. JupyterLab runs a notebook in
    the directory it lies in, which has neither; a book begun there would be taken for the real one ever after.
    """
    here = Path.cwd()
    return NOTEBOOKS.parent if here == NOTEBOOKS else here


class ReportRefused(ValueError):
    """A report cannot be made as it was asked for. The message names the parameter, its value and the remedy."""


class Parameters(BaseModel):
    """What every report knows; unknown names are refused. The runner itself adds `out_dir` and `run_id`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=False)

    def for_notebook(self) -> dict[str, Any]:
        """The values as a notebook's parameters cell can hold them: plain, paths and dates as text."""
        return {
            name: value if isinstance(value, bool | int | float) else "" if value is None else str(value)
            for name, value in self.model_dump().items()
        }


class SessionParameters(Parameters):
    """A report on one session of a book; `session_id` "" takes the newest."""

    book_dir: Path
    session_id: str = ""

    @model_validator(mode="after")
    def _names_a_book(self) -> "SessionParameters":
        if not str(self.book_dir).strip() or str(self.book_dir) == ".":
            raise ValueError("book_dir is empty: give the directory of a book, such as data/books/local/main")
        return self


class PreflightParameters(Parameters):
    """The preflight of a session as it was recorded, or one made now from the configuration.

    With `book_dir` the recorded one is shown (`session_id` "" takes the newest). Without, the pre-start phase is looked
    at now: `config` names a qm.toml ("" finds the nearest), `data` and `day` lay a file and a date over it.
    """

    book_dir: Path | None = None
    session_id: str = ""
    config: Path | None = None
    data: Path | None = None
    day: date | None = None

    @model_validator(mode="after")
    def _one_or_the_other(self) -> "PreflightParameters":
        if self.book_dir is not None and (self.config or self.data or self.day):
            raise ValueError(
                "book_dir shows a recorded preflight; config, data and day make one now: give one or the other"
            )
        if self.session_id and self.book_dir is None:
            raise ValueError(f"session_id {self.session_id!r} needs book_dir, the book it belongs to")
        return self


class BacktestParameters(Parameters):
    """A catalog strategy over bars.

    `data` is a bar file or what `qm` takes for one, `symbols` some of it or "all"; `params` is `NAME=VALUE` with commas
    between, laid over the approved ones, `vary` two of them to be varied. `cost_bps` and `slippage_bps` of each fill's
    value; `positions` held at once, else one a symbol.
    """

    strategy: str = "donchian"
    data: str = "package:bokeh-sampledata"
    symbols: str = "GOOG"
    first: date | None = None
    last: date | None = None
    params: str = "flat=carry,short=false"
    vary: str = "entry_bars,exit_bars"
    cash: float = Field(default=100_000.0, gt=0, le=1e12)
    cost_bps: float = Field(default=5.0, ge=0, le=500)
    slippage_bps: float = Field(default=1.0, ge=0, le=500)
    positions: int | None = Field(default=None, ge=1, le=10_000)

    @model_validator(mode="after")
    def _period_in_order(self) -> "BacktestParameters":
        if self.first is not None and self.last is not None and self.first > self.last:
            raise ValueError(f"first {self.first} lies after last {self.last}: give the earlier date first")
        return self


class WalkForwardParameters(Parameters):
    """A grid of a strategy's parameters, walked forward over bars.

    `data` is a bar file or what `qm` takes for one, `symbols` some of it or "all"; `grid` is
    `NAME=A,B,NAME=FIRST:LAST:STEP`, `fixed` `NAME=VALUE` with commas between. `train`, `test` and `gap` in sessions,
    the gap at least as long as a position is held; `anchor` is the day that anchored windows begin with. `cost_bps` of
    each fill's value.
    """

    strategy: str = "donchian"
    data: str = "package:bokeh-sampledata"
    symbols: str = "AAPL,GOOG,IBM,MSFT"
    first: date | None = date(2005, 6, 1)
    last: date | None = None
    grid: str = "entry_bars=20,40,60,80,120,exit_bars=10,20,40"
    fixed: str = "flat=carry,short=false"
    mode: Literal["rolling", "expanding", "anchored"] = "rolling"
    train: int = Field(default=504, ge=20, le=10_000)
    test: int = Field(default=126, ge=2, le=10_000)
    gap: int = Field(default=20, ge=0, le=1_000)
    anchor: date | None = None
    cost_bps: float = Field(default=5.0, ge=0, le=500)
    cash: float = Field(default=100_000.0, gt=0, le=1e12)

    @model_validator(mode="after")
    def _anchored_or_not(self) -> "WalkForwardParameters":
        if (self.anchor is not None) != (self.mode == "anchored"):
            raise ValueError(f"anchor is {self.anchor} with mode {self.mode!r}: anchored windows have one, others none")
        return self


class ParityParameters(SessionParameters):
    """A session beside its backtest, and how strategies drifted over as many `sessions` until it.

    `tolerance_bps` is how far a trade may be from its backtest, `cost_bps` what a side is assumed to cost.
    """

    sessions: int = Field(default=20, ge=1, le=1_000)
    tolerance_bps: float = Field(default=10.0, gt=0, le=1_000)
    cost_bps: float = Field(default=3.0, ge=0, le=500)


class SweepParameters(Parameters):
    """A sweep to look at: one kept by `qm sweep` in `sweep_dir`, or one made now from all that stands before `x`.

    `x` and `y` are the parameters of the map, empty for the first two that vary; `metric` is a figure of which more is
    better.
    """

    sweep_dir: Path | None = None
    strategy: str = "donchian"
    data: str = "package:bokeh-sampledata"
    symbols: str = "AAPL,GOOG,IBM,MSFT"
    first: date | None = date(2005, 6, 1)
    last: date | None = None
    grid: str = "entry_bars=20:200:20,exit_bars=10:60:10"
    fixed: str = "flat=carry,short=false"
    cost_bps: float = Field(default=5.0, ge=0, le=500)
    cash: float = Field(default=100_000.0, gt=0, le=1e12)
    x: str = ""
    y: str = ""
    metric: Literal["sharpe", "total_return", "profit_factor", "win_rate", "max_drawdown"] = "sharpe"


class StrategyCardParameters(Parameters):
    """A catalog entry with its evidence.

    `data`, `symbols`, `first`, `last` are the bars a look-ahead examination is made on; `book_dir` a book whose
    sessions it ran in; `runs` where backtests are kept, DATA/runs otherwise.
    """

    strategy: str = "opening-range"
    data: str = "demo:7:8"
    symbols: str = "all"
    first: date | None = date(2024, 3, 7)
    last: date | None = date(2024, 3, 8)
    book_dir: Path | None = None
    runs: Path | None = None


class DataCheckParameters(Parameters):
    """A bar file, the name of one on the shelf, or package:NAME."""

    data: str = "package:bokeh-sampledata"


@dataclass(frozen=True)
class Report:
    """One report: its notebook in `folder`, its parameters, and its title."""

    name: str
    title: str
    parameters: type[Parameters]
    folder: Path = NOTEBOOKS

    @property
    def notebook(self) -> Path:
        return self.folder / f"{self.name}.ipynb"


REPORTS: Final[dict[str, Report]] = {
    report.name: report
    for report in (
        Report("preflight", "Preflight", PreflightParameters),
        Report("post_session", "Post-session reconciliation", SessionParameters),
        Report("trade_review", "Trade review", SessionParameters),
        Report("parity_review", "Parity review", ParityParameters),
        Report("backtest_explorer", "Backtest explorer", BacktestParameters),
        Report("strategy_card", "Strategy card", StrategyCardParameters),
        Report("data_check", "Data check", DataCheckParameters),
        Report("walk_forward", "Walk-forward", WalkForwardParameters),
        Report("sweep_explorer", "Sweep explorer", SweepParameters),
    )
}


def report_named(name: str) -> Report:
    """The report of that name. Raises ReportRefused listing those there are."""
    if name not in REPORTS:
        raise ReportRefused(f"there is no report {name!r}: give one of {', '.join(REPORTS)}")
    report = REPORTS[name]
    if not report.notebook.is_file():
        raise ReportRefused(f"{report.notebook} is missing: reports are made from a checkout with its notebooks")
    return report


def validated(report: Report, given: Mapping[str, Any]) -> Parameters:
    """The parameters of a report, checked. Raises ReportRefused naming every one that does not fit."""
    try:
        return report.parameters.model_validate(dict(given))
    except ValidationError as error:
        wrong = "; ".join(_sentence(report, entry) for entry in error.errors(include_url=False))
        raise ReportRefused(f"the {report.name} report refuses its parameters: {wrong}") from None


def _sentence(report: Report, error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{name} = {error['input']!r} is no parameter; it takes {', '.join(report.parameters.model_fields)}"
    if error["type"] == "missing":
        return f"{name} is missing: give it a value"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{name} = {error['input']!r}: {message}" if name else message
