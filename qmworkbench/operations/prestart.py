"""Pre-start checks of environment and safety: the right account, the right limits, nothing live by accident (§5)."""

from decimal import Decimal
from typing import Final

from qmworkbench.domain.checks import Check
from qmworkbench.domain.limits import Limits
from qmworkbench.domain.numbers import cents
from qmworkbench.domain.sessions import Environment
from qmworkbench.operations.evidence import Blocklist, LimitsSeen, PreStartEvidence
from qmworkbench.operations.lines import SIGNED_BY_POLICY, Line, listed, several

# Above this share of equity a limit is more likely a slip of the pen than a decision.
_LOSS_WARN_PCT: Final = Decimal(10)

_ENVIRONMENT: Final = "§5 Environment Check"
_SAFETY: Final = "§5 Safety Check"

CONFIGURATION = Line(
    check_id="preflight.configuration",
    section=_ENVIRONMENT,
    title="The configuration can be used",
    looked_at="qm.toml, environment, flags",
    expectation="every setting exists and its value makes sense",
    remedy="correct the setting where it is set; `qm config show` says where each value comes from",
)
ENVIRONMENT = Line(
    check_id="preflight.environment",
    section=_ENVIRONMENT,
    title="The environment is the intended one",
    looked_at="environment setting",
    expectation="backtest or local, or paper or live confirmed by a person",
    remedy="set environment in qm.toml to the one you mean",
)
CREDENTIALS = Line(
    check_id="preflight.credentials",
    section=_ENVIRONMENT,
    title="The broker credentials belong to this environment",
    looked_at="credential profile",
    expectation="none where none are needed, otherwise issued for this environment",
    remedy="load the credentials of this environment; one environment's key is refused in another",
)
DATA_PROVIDER = Line(
    check_id="preflight.data_provider",
    section=_ENVIRONMENT,
    title="The market data provider is the intended one",
    looked_at="data settings and the opened source",
    expectation="a source this environment may trade from",
    remedy="name the file with --data or data.file, or leave it out for the demo market",
)
EXECUTION_BROKER = Line(
    check_id="preflight.execution_broker",
    section=_ENVIRONMENT,
    title="The execution broker is the intended one",
    looked_at="the broker that was built for this environment",
    expectation="the simulated venue in backtest and local, a real account only in paper and live",
    remedy="correct environment; a real broker cannot be reached from backtest or local",
)
MODE_SHOWN = Line(
    check_id="preflight.mode_shown",
    section=_ENVIRONMENT,
    title="The screen shows this trading mode",
    looked_at="the mode the command center will show",
    expectation="the environment in force, in words, on every page",
    remedy="restart the command center for this book; do not trade by a page that names another mode",
)
LIVE_INTENT = Line(
    check_id="preflight.live_intent",
    section=_SAFETY,
    title="Live trading is intended, not accidental",
    looked_at="environment and arming",
    expectation="not live, or live and armed for this session by a named person",
    remedy="set environment to local or paper, or arm live as the runbook describes",
)
MAX_DAILY_LOSS = Line(
    check_id="preflight.max_daily_loss",
    section=_SAFETY,
    title="The maximum daily loss is right",
    looked_at="limits.max_daily_loss",
    expectation="a loss that stops entries well before it hurts the account",
    remedy="set limits.max_daily_loss in qm.toml",
)
MAX_POSITION_SIZE = Line(
    check_id="preflight.max_position_size",
    section=_SAFETY,
    title="The maximum position size is right",
    looked_at="limits.max_position_*",
    expectation="a size one position may reach, within the account's equity",
    remedy="set limits.max_position_notional and limits.max_position_equity_pct in qm.toml",
)
MAX_TRADES = Line(
    check_id="preflight.max_trades",
    section=_SAFETY,
    title="The maximum number of trades a day is right",
    looked_at="limits.max_trades_per_day",
    expectation="at least one entry a day, and a number somebody chose",
    remedy="set limits.max_trades_per_day in qm.toml",
)
LIMITS_APPROVED = Line(
    check_id="preflight.limits_approved",
    section=_SAFETY,
    title="The limits are the ones that were approved",
    looked_at="the limits' hash against the signed one, and against the last session's",
    expectation="the signed limits where somebody signed any; every change under a version of its own",
    remedy="undo the change, or raise limits.version and have the owner sign: limits.approved_by, limits.approved_hash",
)
BLOCKED_LIST = Line(
    check_id="preflight.blocked_list",
    section=_SAFETY,
    title="The blocked list is loaded",
    looked_at="limits.blocked_symbols and permanent blocks on record",
    expectation="every symbol blocked in either place is blocked in this session",
    remedy="stop: a blocked symbol could be bought; start again, and report it if it stays",
)


def environment_checks(seen: PreStartEvidence) -> list[Check]:
    """§5 Environment Check."""
    return [
        _configuration(seen),
        _environment(seen),
        _credentials(seen),
        _data_provider(seen),
        _execution_broker(seen),
        _mode_shown(seen),
    ]


def safety_checks(seen: PreStartEvidence) -> list[Check]:
    """§5 Safety Check."""
    limits = [_max_daily_loss, _max_position_size, _max_trades, _limits_approved]
    lines = [MAX_DAILY_LOSS, MAX_POSITION_SIZE, MAX_TRADES, LIMITS_APPROVED]
    if seen.limits is None:
        judged = [line.not_looked_at("the configuration was refused, so no limits are in force") for line in lines]
    else:
        known = seen.limits
        judged = [line.signed(judge(known), seen.signatures) for line, judge in zip(lines, limits, strict=True)]
    return [_live_intent(seen), *judged, blocked_list(BLOCKED_LIST, seen.blocklist)]


def _configuration(seen: PreStartEvidence) -> Check:
    faults = seen.config_faults
    if not faults:
        return CONFIGURATION.judged(True, "sound")
    said = "; ".join(
        f"{fault.source}: {fault.key} {fault.value} {fault.problem}".replace("  ", " ") for fault in faults[:5]
    )
    return CONFIGURATION.judged(
        False,
        f"{several(len(faults), 'setting')} cannot be used",
        detail=said,
        remedy="; ".join(dict.fromkeys(f"{fault.key}: {fault.remedy}" for fault in faults[:5])),
    )


def _environment(seen: PreStartEvidence) -> Check:
    check = ENVIRONMENT.judged(True, seen.environment.value, looked_at=f"environment ({seen.environment_source})")
    return ENVIRONMENT.signed(check, seen.signatures)


def _credentials(seen: PreStartEvidence) -> Check:
    known = seen.credentials
    if not known.needed:
        return CREDENTIALS.judged(True, "none loaded, none needed", detail=known.detail)
    if not known.fingerprint:
        return CREDENTIALS.judged(False, "none loaded", detail=known.detail)
    return CREDENTIALS.judged(
        known.belongs_to == seen.environment.value,
        f"key {known.fingerprint} of {known.belongs_to or 'an unknown environment'}",
        detail=known.detail,
    )


def _data_provider(seen: PreStartEvidence) -> Check:
    data = seen.data
    kind = data.source.partition(":")[0]
    check = DATA_PROVIDER.judged(
        kind in data.approved_sources,
        data.source or "none",
        threshold=f"one of {', '.join(data.approved_sources)}",
        threshold_source=f"environment {seen.environment}",
    )
    return DATA_PROVIDER.signed(check, seen.signatures)


def _execution_broker(seen: PreStartEvidence) -> Check:
    broker = seen.broker
    simulated_only = seen.environment in SIGNED_BY_POLICY
    holds = broker.simulated if simulated_only else not broker.simulated
    check = EXECUTION_BROKER.judged(holds, broker.name, detail=broker.detail)
    return EXECUTION_BROKER.signed(check, seen.signatures)


def _mode_shown(seen: PreStartEvidence) -> Check:
    page = seen.page
    if not page.wanted:
        return MODE_SHOWN.not_applicable("headless: there is no page to show a mode", value="no page")
    check = MODE_SHOWN.judged(
        page.shown_mode == seen.environment.value, page.shown_mode or "nothing", detail=page.detail
    )
    return MODE_SHOWN.signed(check, seen.signatures)


def _live_intent(seen: PreStartEvidence) -> Check:
    if seen.environment is not Environment.LIVE:
        return LIVE_INTENT.judged(
            not seen.live_armed,
            f"{seen.environment}, live is {'armed' if seen.live_armed else 'not armed'}",
            remedy="disarm live: this environment is not live",
        )
    check = LIVE_INTENT.judged(seen.live_armed, f"live is {'armed' if seen.live_armed else 'not armed'}")
    return LIVE_INTENT.signed(check, seen.signatures)


def _max_daily_loss(seen: LimitsSeen) -> Check:
    limits, source = seen.limits, seen.source("max_daily_loss")
    loss = limits.max_daily_loss if seen.equity is None else limits.max_loss(seen.equity)
    value = f"{loss:,} {seen.currency}".strip()
    if seen.equity is None or seen.equity <= 0:
        return MAX_DAILY_LOSS.judged(True, value, threshold=value, threshold_source=source)
    share = loss / seen.equity * 100
    value += f" ({share:.1f} % of {cents(seen.equity):,})"
    if loss >= seen.equity:
        detail = "it could never stop anything: the account would be gone first"
        return MAX_DAILY_LOSS.judged(False, value, detail=detail, threshold="below equity", threshold_source=source)
    if share > _LOSS_WARN_PCT:
        detail = f"more than {_LOSS_WARN_PCT} % of equity (set at {source})"
        return MAX_DAILY_LOSS.warned(value, detail)
    doubts = [str(doubt) for doubt in limits.doubts(seen.equity) if doubt.name == "max_daily_loss"]
    if doubts:
        return MAX_DAILY_LOSS.warned(value, "; ".join(doubts))
    return MAX_DAILY_LOSS.judged(True, value, threshold=f"{loss:,}", threshold_source=source)


def _max_position_size(seen: LimitsSeen) -> Check:
    limits = seen.limits
    quantity = "no limit on units" if limits.max_position_qty is None else f"{limits.max_position_qty:,} units"
    value = (
        f"{limits.max_position_notional:,} {seen.currency}, {limits.max_position_equity_pct} % of equity, {quantity}"
    )
    source = seen.source("max_position_notional")
    doubts = [str(doubt) for doubt in limits.doubts(seen.equity) if doubt.name.startswith("max_position")]
    if doubts:
        return MAX_POSITION_SIZE.warned(value, "; ".join(doubts))
    return MAX_POSITION_SIZE.judged(True, value, threshold=f"{limits.max_position_notional:,}", threshold_source=source)


def _max_trades(seen: LimitsSeen) -> Check:
    most, source = seen.limits.max_trades_per_day, seen.source("max_trades_per_day")
    if most == 0:
        return MAX_TRADES.warned("0", f"no entry can pass all day (set at {source})")
    return MAX_TRADES.judged(True, f"{most}", threshold=f"{most}", threshold_source=source)


def _limits_approved(seen: LimitsSeen) -> Check:
    """The signed limits, or none where nobody has signed; and no change without a new version."""
    limits, before = seen.limits, seen.before
    value = f"version {limits.version}, {seen.limits_hash}"
    value += f", signed by {limits.approved_by}" if limits.approved_by else ", signed by nobody"
    changed = [] if before is None else changed_limits(before, limits)
    detail = f"changed since the last session: {'; '.join(changed)}" if changed else "as in the last session"
    detail = "the book's first session" if before is None else detail
    if limits.is_approved is False:
        signed = f"{limits.approved_by} signed {limits.approved_hash}. {detail}"
        return LIMITS_APPROVED.judged(
            False, value, detail=signed, threshold=limits.approved_hash, threshold_source=seen.source("approved_hash")
        )
    if changed and before is not None and limits.version == before.version:
        return LIMITS_APPROVED.warned(value, f"{detail}; limits.version is still {limits.version}")
    return LIMITS_APPROVED.judged(True, value, detail=detail)


def changed_limits(before: Limits, after: Limits) -> list[str]:
    """Which limits are others now, each as "name was -> is"; a signature is no limit."""
    names = [name for name in Limits.__struct_fields__ if name not in ("owner", "approved_by", "approved_hash")]
    return [
        f"{name} {before.texts[name]} -> {after.texts[name]}"
        for name in names
        if name != "version" and getattr(before, name) != getattr(after, name)
    ]


def blocked_list(line: Line, seen: Blocklist) -> Check:
    """What is blocked anywhere is blocked in this session; used before the start and before the market."""
    value = f"{len(seen.in_force)} in force: {listed(seen.in_force)}" if seen.in_force else "empty"
    if seen.missing:
        return line.judged(False, value, detail=f"blocked but not in force: {listed(seen.missing)}")
    detail = f"{len(seen.configured)} from the limits, {len(seen.recorded)} on record"
    return line.judged(True, value, detail=detail)
