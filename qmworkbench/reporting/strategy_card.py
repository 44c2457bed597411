"""The strategy card: a catalog entry with the evidence a promotion is decided on (§3, §8)."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from qmworkbench.domain.checks import Check, CheckStatus, verdict_of
from qmworkbench.operations.lines import Line
from qmworkbench.reporting import tear_sheet
from qmworkbench.reporting.explored import named
from qmworkbench.reporting.notebook import Conclusion
from qmworkbench.reporting.parameters import ParityParameters, StrategyCardParameters, home
from qmworkbench.reporting.run_sheet import Sheet
from qmworkbench.reporting.tables import Column, Html, checks_table, number, section, subsection, table, text, tiles
from qmworkbench.reporting.tear_tables import percent
from qmworkbench.research.backtests.period_bars import boundaries_of, read_period
from qmworkbench.research.backtests.runs import Run, RunManifest, RunRegistry
from qmworkbench.research.lookahead.lookahead import Lookahead, lookahead
from qmworkbench.research.lookahead.strategy_code import stale_examination
from qmworkbench.research.parity.drift import OUTSIDE, StrategyDrift
from qmworkbench.storage.refused import StorageRefused
from qmworkbench.strategies import catalog
from qmworkbench.strategies.definition import StrategyDefinition

_SYMBOLS: Final = 8
_FEW_TRADES: Final = 30


@dataclass(frozen=True, eq=False)
class Card:
    """A strategy, and what speaks for and against it: `run` is the newest kept backtest of this version with the
    approved parameters (None: none), `examined` a look-ahead examination made now, `drifts` its instances' sessions in
    the book, and `untold` why something of this could not be looked at."""

    asked: StrategyCardParameters
    entry: StrategyDefinition
    run: Run | None
    tried: int
    examined: Lookahead | None
    drifts: tuple[StrategyDrift, ...]
    untold: Mapping[str, str]


def load(parameters: StrategyCardParameters) -> Card:
    """Gather the evidence. Raises UnknownStrategy."""
    from qmworkbench.service.config import load as configuration

    p = parameters
    entry = catalog.get(p.strategy)
    data = configuration(cwd=home()).resolved("paths.data")
    untold: dict[str, str] = {}
    registry = RunRegistry(p.runs or data / "runs")
    run = _newest(registry, entry, untold)
    examined = _examined(p, entry, data, untold)
    drifts = _drifts(p, entry, untold)
    return Card(p, entry, run, registry.tried(run.manifest) if run is not None else 0, examined, drifts, untold)


def _newest(registry: RunRegistry, entry: StrategyDefinition, untold: dict[str, str]) -> Run | None:
    wanted = entry.hash({})
    for told in registry.runs(strategy=entry.strategy_id, kind="backtest"):
        if not isinstance(told, RunManifest):
            untold.setdefault("runs", f"run {told.run_id} is damaged: {told.why}")
        elif told.params_hash == wanted:
            return registry.find(told.run_id)
    untold["backtest"] = (
        f"no kept backtest of version {entry.version} with the approved parameters: "
        f"`qm backtest {entry.strategy_id} --data BARS` makes one"
    )
    return None


def _examined(p: StrategyCardParameters, entry: StrategyDefinition, data: Path, untold: dict[str, str]) -> Any:
    from qmworkbench.service.bar_sources import open_bars

    try:
        names, period = named(p.symbols), (p.first, p.last)
        source = open_bars(p.data, data=data, period=period, symbols=names)
        boundaries = boundaries_of(source, period)
        history = entry.history_sessions(entry.parameters({}), boundaries) + 1
        bars = read_period(source, symbols=names, period=period, history_sessions=history)
        return lookahead(entry, bars, {}, cuts=12, most_symbols=_SYMBOLS)
    except Exception as error:  # a card is made of what can be looked at; what cannot is told on it
        untold["look-ahead"] = f"{type(error).__name__}: {error}"
        return None


def _drifts(p: StrategyCardParameters, entry: StrategyDefinition, untold: dict[str, str]) -> tuple[StrategyDrift, ...]:
    if p.book_dir is None:
        untold["parity"] = "no book was named: give book_dir, such as data/books/local/main"
        return ()
    from qmworkbench.reporting.parity_review import load as parity

    try:
        found = parity(ParityParameters(book_dir=p.book_dir))
    except (StorageRefused, ValueError, OSError) as error:
        untold["parity"] = str(error)
        return ()
    runs = {run.strategy_id for run in found.record.opened.runs if run.definition_id == entry.strategy_id}
    mine = tuple(one for one in found.drift.strategies if one.strategy in runs)
    if not mine:
        untold["parity"] = f"no instance of {entry.strategy_id} ran in the newest session of {p.book_dir}"
    return mine


# --- pieces ----------------------------------------------------------------------------------------------------------


def identity(card: Card) -> Html:
    """What it is, who answers for it, and how far it is trusted."""
    entry = card.entry
    entries = [
        ("Status", entry.status.value, "as the catalog grants it"),
        ("Version", entry.version, f"approved set {entry.hash({})}"),
        ("Owner", escape(entry.owner), ", ".join(kind.value for kind in entry.asset_classes)),
        ("Warm-up", f"{entry.warmup_bars(entry.parameters({})):,}", "bars before its first signal"),
    ]
    said = f'<p class="lead">{escape(entry.objective)}</p>'
    return Html(f'<div class="sheet">{said}<div class="headline">{tiles(entries)}</div></div>')


def rules(card: Card) -> Html:
    """Its rules in words, and every parameter with what it may be."""
    entry = card.entry
    window = entry.window(entry.parameters({}))
    rows = [
        {"what": "Entry", "said": entry.entry},
        {"what": "Confirmed by", "said": entry.confirming},
        {"what": "Ruled out by", "said": entry.disqualifying},
        {"what": "Wrong when", "said": entry.invalidation},
        {"what": "Stop", "said": entry.exits.stop},
        {"what": "Target", "said": entry.exits.target},
        {"what": "Exit signal", "said": entry.exits.signal},
        {"what": "Size", "said": entry.sizing},
        {"what": "Entry window", "said": f"from bar {window.from_bar}, {window.bars_left} or more to come"},
    ]
    words = table(rows, [Column("what", "", kind="keep"), Column("said", "", kind="prose")], empty="")
    params = [
        {"name": spec.name, "approved": spec.approved, "range": spec.range_text, "meaning": spec.meaning}
        for spec in entry.parameter_specs
    ]
    columns = [
        Column("name", "Parameter", kind="keep"),
        Column("approved", "Approved", text, "num"),
        Column("range", "Allowed", kind="keep"),
        Column("meaning", "What it is"),
    ]
    listed = "".join(f"<li>{escape(one)}</li>" for one in entry.assumptions)
    return section(
        "Rules",
        words,
        subsection("Parameters", table(params, columns, empty="It has none.")),
        subsection("What it assumes", f'<ul class="reasons">{listed}</ul>'),
    )


def history(card: Card) -> Html:
    """What was done to validate it, as the catalog keeps it."""
    rows = [
        {
            "data": piece.data,
            "method": piece.method,
            "result": piece.result,
            "version": piece.version or card.entry.version,
            "granted": f"{piece.approves.value} by {piece.by}" if piece.approves is not None else "",
        }
        for piece in card.entry.validation
    ]
    columns = [
        Column("data", "Data", kind="prose"),
        Column("method", "What was done", kind="prose"),
        Column("result", "Result", kind="prose"),
        Column("version", "Version", kind="keep"),
        Column("granted", "Granted"),
    ]
    return section("Validation history", table(rows, columns, empty="The catalog keeps no evidence.", stack=True))


def latest_backtest(card: Card) -> Html:
    """The newest kept backtest with the approved parameters, as its tear sheet tells it."""
    if card.run is None:
        return section("Latest backtest", f'<div class="none">{escape(card.untold["backtest"])}</div>')
    found = Sheet(card.run, card.tried)
    told = card.run.manifest
    note = f"Run {told.run_id}, {told.data.source}, {told.data.first} to {told.data.last}, {told.terms['sizing']}."
    pieces = (tear_sheet.lead(found), tear_sheet.summary(found), tear_sheet.curve(found), tear_sheet.costs(found))
    return section("Latest backtest", f'<div class="sheet">{"".join(pieces)}</div>', note=note)


def examination(card: Card) -> Html:
    """The look-ahead examination made now, analysis by analysis."""
    found = card.examined
    if found is None:
        return section("Look-ahead", f'<div class="none">{text(card.untold["look-ahead"])}</div>')
    rows = [
        {
            "name": one.name.replace("_", " "),
            "passed": CheckStatus.PASS if one.passed else CheckStatus.FAIL,
            "comparisons": one.comparisons,
            "said": "; ".join(f"{what.column} of {what.symbol}: {what.said}" for what in one.findings[:3]),
        }
        for one in found.analyses
    ]
    columns = [
        Column("name", "Analysis", kind="keep"),
        Column("passed", "", _chip, "keep"),
        Column("comparisons", "Compared", number(0), "num"),
        Column("said", "Found", kind="prose"),
    ]
    note = (
        f"{len(found.sessions)} sessions, {len(found.symbols)} symbols, {found.entries:,} entries of {found.data}, "
        f"code {found.code_hash}."
    )
    return section("Look-ahead", table(rows, columns, empty=""), note=note)


def _chip(status: CheckStatus) -> str:
    from qmworkbench.reporting.tables import chip

    return chip(status)


def parity(card: Card) -> Html:
    """How its sessions tracked their backtests, instance by instance."""
    if not card.drifts:
        return section("Parity", f'<div class="none">{text(card.untold.get("parity", ""))}</div>')
    columns = [
        Column("strategy", "Instance", kind="keep"),
        Column("sessions", "Sessions", number(0), "num"),
        Column("trades", "Trades", number(0), "num"),
        Column("mean_bps", "Apart", number(1, "bps", sign=True), "num"),
        Column("error_bps", "±", number(1), "num"),
        Column("unexplained_share", "Unexplained", lambda value: percent(value, 1), "num"),
        Column("verdict", "Verdict", kind="keep"),
        Column("why", "Why", kind="prose"),
    ]
    rows = [{column.key: getattr(one, column.key) for column in columns} for one in card.drifts]
    return section("Parity", table(rows, columns, empty=""))


# --- the verdict -----------------------------------------------------------------------------------------------------

_LINES: Final = {
    "code": Line(
        check_id="card.examined_code",
        section="§3",
        title="The code that was examined is the code that is here",
        looked_at="the look-ahead evidence of the catalog entry",
        expectation="the same code and parameters, where the status needs it",
        remedy="run qm lookahead again and add its evidence to the entry",
    ),
    "lookahead": Line(
        check_id="card.lookahead",
        section="§3",
        title="It does not see the future",
        looked_at="four analyses on real bars, made now",
        expectation="something compared, nothing found",
        remedy="do not promote: mend the column that is named",
    ),
    "backtest": Line(
        check_id="card.backtest",
        section="§2 Backtesting",
        title="There is a backtest of what would be promoted",
        looked_at="the newest kept run of this version with the approved parameters",
        expectation="one, with 30 closed trades or more",
        remedy="run qm backtest over bars enough",
    ),
    "parity": Line(
        check_id="card.parity",
        section="M: layer 2",
        title="Sessions track their backtests",
        looked_at="the drift of each instance over the book's sessions",
        expectation="none outside its tolerance",
        remedy="find out why before it is trusted further: qm parity",
    ),
}


def checks(card: Card) -> list[Check]:
    """What a promotion asks for, looked at."""
    stale = stale_examination(card.entry)
    made = [_LINES["code"].judged(not stale, stale or "nothing stale")]
    found = card.examined
    if found is None:
        made.append(_LINES["lookahead"].warned("not looked at", card.untold["look-ahead"]))
    else:
        compared = sum(one.comparisons for one in found.analyses)
        told = f"{compared:,} comparisons, {len(found.findings)} findings, {found.entries:,} entries"
        made.append(_LINES["lookahead"].judged(found.passed, told))
    made.append(_backtested(card))
    if not card.drifts:
        made.append(_LINES["parity"].warned("not looked at", card.untold.get("parity", "")))
    else:
        outside = [one.strategy for one in card.drifts if one.verdict == OUTSIDE]
        told = f"{len(card.drifts)} instances, {', '.join(outside) or 'none'} outside"
        made.append(_LINES["parity"].judged(not outside, told))
    return made


def _backtested(card: Card) -> Check:
    line = _LINES["backtest"]
    if card.run is None:
        return line.warned("none", card.untold["backtest"])
    closed = int(card.run.manifest.metrics.get("trades") or 0)
    told = f"{card.run.run_id}, {closed} closed trades"
    return line.warned(told, "too few to tell skill from luck") if closed < _FEW_TRADES else line.judged(True, told)


def evidence(card: Card) -> Html:
    """The checks as a table."""
    return section("Evidence for a promotion", checks_table(checks(card), empty=""))


def conclusion(card: Card) -> Conclusion:
    """GO where nothing speaks against it and everything was looked at or told as missing."""
    made = checks(card)
    missing = [one.title for one in made if one.status is CheckStatus.WARN]
    failed = [one.title for one in made if one.status is CheckStatus.FAIL]
    said = "nothing speaks against it" if not failed else f"{len(failed)} against it"
    headline = f"{card.entry.strategy_id} {card.entry.version}, {card.entry.status.value}: {said}"
    headline += f"; {len(missing)} not shown yet" if missing else ""
    reasons = [f"{one.title}: {one.value}. {one.detail}" for one in made if one.status is not CheckStatus.PASS]
    facts = {"parameters": card.entry.hash({}), "bars": card.examined.data if card.examined is not None else "none"}
    where = f"{card.entry.title} · {card.entry.owner}"
    return Conclusion(verdict_of(made), headline, reasons=reasons, where=where, facts=facts)
