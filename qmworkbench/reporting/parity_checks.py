"""Whether a session tracks its backtest: every difference explained, every strategy within tolerance (M: layer 2)."""

from typing import Final

from qmworkbench.domain.checks import Check, CheckStatus, Verdict, verdict_of
from qmworkbench.operations.lines import Line, listed, several
from qmworkbench.reporting.notebook import Conclusion
from qmworkbench.reporting.parity_review import ParitySource, in_money
from qmworkbench.research.parity.drift import OUTSIDE, WITHIN

_EXPLAINED: Final = Line(
    check_id="parity.explained",
    section="M: layer 2",
    title="Every difference has its cause",
    looked_at="signals, orders and trades of the session against the backtest of its bars",
    expectation="no difference without a cause on record",
    remedy="look each up with `qm parity SESSION` and `qm why SYMBOL`: what nobody can explain is a defect",
)
_COMPARED: Final = Line(
    check_id="parity.compared",
    section="M: layer 2",
    title="Every instance was compared",
    looked_at="the session's runs against the catalog",
    expectation="the version that ran, and bars of every symbol it traded",
    remedy="compare with the code of that day, or bring the bars back (`qm archive restore`)",
)
_ADDS_UP: Final = Line(
    check_id="parity.adds_up",
    section="M: layer 2",
    title="The causes add up",
    looked_at="P&L by cause against the whole difference",
    expectation="equal to a few cents",
    remedy="a difference without a cause in money is a defect of the comparison; report it",
)
_TRACKS: Final = Line(
    check_id="parity.tracks",
    section="M: layer 2",
    title="Every strategy tracks its backtest",
    looked_at="drift of each strategy over the sessions",
    expectation="within tolerance, where there are trades enough to tell",
    remedy="pause the strategy until it is known why; if costs are the cause, correct what the backtest assumes",
)


def checks(source: ParitySource) -> list[Check]:
    """What must hold before a strategy's health is called good."""
    found, by = source.found, source.tolerance
    share = found.unexplained_share
    outside = [one for one in source.drift.strategies if one.verdict == OUTSIDE]
    within = [one for one in source.drift.strategies if one.verdict == WITHIN]
    apart = found.recorded_pnl - found.expected_pnl - sum(found.pnl_by_cause.values())
    allowed = 0.01 * (1 + len(found.pairs))
    unjudged = len(source.drift.strategies) - len(within) - len(outside)
    judged = f"{len(within)} within, {len(outside)} outside, {unjudged} with too few trades"
    return [
        _explained(source, share, by.unexplained),
        _COMPARED.warned(
            several(len(found.left_out), "instance"), listed(f"{n}: {w}" for n, w in found.left_out.items())
        )
        if found.left_out
        else _COMPARED.judged(True, several(len(found.strategies), "instance")),
        _ADDS_UP.judged(abs(apart) <= allowed, f"{apart:+,.2f} {found.account_currency} left over"),
        _TRACKS.judged(not outside, judged, detail="; ".join(f"{one.strategy}: {one.why}" for one in outside)),
    ]


def _explained(source: ParitySource, share: float | None, allowed: float) -> Check:
    if share is None:
        return _EXPLAINED.not_applicable("no strategy said or did anything")
    lost = sum(level.unexplained for level in source.found.levels)
    value = f"{share:.1%} unexplained"
    if share > allowed:
        return _EXPLAINED.judged(False, value, detail=f"{several(lost, 'thing')} without a cause; {allowed:.0%} may be")
    if share > 0:
        return _EXPLAINED.warned(value, f"{several(lost, 'thing')} without a cause")
    return _EXPLAINED.judged(True, value)


def conclusion(source: ParitySource) -> Conclusion:
    """GO where all is explained and every strategy that can be judged tracks; an open session is incomplete."""
    made = checks(source)
    share = source.found.unexplained_share
    told = "nothing to compare" if share is None else f"{share:.1%} unexplained"
    outside = [one.strategy for one in source.drift.strategies if one.verdict == OUTSIDE]
    headline = f"{told}; {in_money(source)}" + (f"; {listed(outside)} outside tolerance" if outside else "")
    reasons = [
        f"{check.title}: {check.value}. {check.detail} {check.remedy}".replace("  ", " ")
        for check in made
        if check.status in (CheckStatus.FAIL, CheckStatus.WARN)
    ]
    verdict = verdict_of(made)
    if not source.record.is_closed:
        verdict, headline = Verdict.INCOMPLETE, f"the session is still open; so far {headline}"
    return Conclusion(verdict, headline, reasons=reasons, where=source.session.where, facts=source.session.facts())
