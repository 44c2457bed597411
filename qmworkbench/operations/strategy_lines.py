"""The strategies of a day on two lines, however many: counts first, exceptions by name (§8; M: Pre-Flight 5)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from qmworkbench.domain.checks import Check, CheckStatus
from qmworkbench.domain.sessions import Environment
from qmworkbench.operations.evidence import StrategySeen
from qmworkbench.operations.lines import SIGNED_BY_POLICY, Line, Signatures, listed, several

# Which catalog status lets a strategy into an environment; the others take any but a retired one.
_STATUS_NEEDED: Final = {
    Environment.PAPER: ("paper-approved", "live-approved"),
    Environment.LIVE: ("live-approved",),
}
_NAMES: Final = 3
_REASONS: Final = 8


def strategies_ready(line: Line, strategies: tuple[StrategySeen, ...], environment: Environment) -> Check:
    """Every scheduled instance may run here; used before the start and before the market."""
    if not strategies:
        return line.judged(False, "no strategy is scheduled", remedy="schedule at least one strategy")
    wrong = {s.instance_id: why for s in strategies if (why := _why_not_ready(s, environment))}
    odd = {s.instance_id: why for s in strategies if (why := _worth_knowing(s))}
    value = _counted(strategies, [s.instance_id for s in strategies if s.instance_id in wrong or s.left_out])
    if wrong:
        return line.judged(False, value, detail=_grouped(wrong))
    if odd:
        return line.warned(value, _grouped(odd), remedy=_remedy(strategies))
    return line.judged(True, value)


def parameters_check(
    line: Line, strategies: tuple[StrategySeen, ...], environment: Environment, signatures: Signatures
) -> Check:
    """Parameters run as approved, or differ knowingly where no money is at stake.

    A set that an earlier session ran with and the ledger does not know means that records are missing: that fails
    everywhere.
    """
    running = [s for s in strategies if not s.left_out]
    differs = {s.instance_id: _difference(s) for s in running if s.params_hash != s.approved_hash}
    missing = {s.instance_id: s.unrecorded for s in running if s.unrecorded}
    value = _sets(running, list(differs))
    signed = _signed(running)
    if missing:
        remedy = "restore the ledger (approvals.jsonl) from a backup: records are missing at its end"
        return line.found(CheckStatus.FAIL, value, detail=_grouped(missing), remedy=remedy)
    if not differs:
        return line.signed(line.judged(True, value, detail=signed), signatures)
    detail = f"{_grouped(differs)}; {signed}" if signed else _grouped(differs)
    if environment in SIGNED_BY_POLICY:
        return line.signed(line.warned(value, detail, remedy=_APPROVE), signatures)
    return line.found(CheckStatus.FAIL, value, detail=detail, remedy=_APPROVE)


_APPROVE: Final = (
    "take the parameters out of qm.toml, or propose them (`qm strategy propose INSTANCE --as-configured`) and have the "
    "owner approve them: they are in force from the next session on"
)


def _why_not_ready(strategy: StrategySeen, environment: Environment) -> str:
    if not strategy.known:
        return strategy.detail or f"{strategy.strategy_id} is not in the catalog"
    takes_all = environment in SIGNED_BY_POLICY
    if strategy.left_out:
        return "" if takes_all else f"it cannot run: {strategy.left_out}"
    if strategy.status == "retired":
        return "it is retired"
    needed = _STATUS_NEEDED.get(environment)
    if needed is not None and strategy.status not in needed:
        return f"it is {strategy.status}, {environment} takes {' or '.join(needed)}"
    if strategy.unexamined and not takes_all:
        return strategy.unexamined
    if strategy.pending:
        return f"a promotion is pending: {strategy.pending}"
    if strategy.proposals and not takes_all:
        return f"a change waits for its owner's signature: {'; '.join(strategy.proposals)}"
    return "" if strategy.fits_market else "it does not trade this market"


def _worth_knowing(strategy: StrategySeen) -> str:
    """What is no reason to stay closed: left out where no account is at stake, a proposal, thin history."""
    told = []
    if strategy.left_out:
        told.append(f"left out, the others go on: {strategy.left_out}")
    if strategy.proposals:
        told.append(f"waits for its owner's signature: {'; '.join(strategy.proposals)}")
    if strategy.has_history_days < strategy.needs_history_days:
        told.append(f"has {strategy.has_history_days} of {strategy.needs_history_days} history days")
    return "; ".join(told)


def _remedy(strategies: Iterable[StrategySeen]) -> str:
    """The way out of what was found, each once."""
    told = dict[str, None]()
    for strategy in strategies:
        if strategy.left_out:
            told["correct what is named, or take the instance out of qm.toml"] = None
        if strategy.proposals:
            told["`qm strategy diff INSTANCE`, then approve or withdraw it"] = None
        if strategy.has_history_days < strategy.needs_history_days:
            told["give more history, or expect no signals until enough bars have been seen"] = None
    return "; ".join(told)


def _counted(strategies: Sequence[StrategySeen], unready: Sequence[str]) -> str:
    """Such as "36 of 36 ready: 18 donchian, 9 rsi-reversion, 9 sma-cross; all experimental"."""
    running = [s for s in strategies if not s.left_out]
    of = Counter(s.strategy_id for s in running)
    statuses = Counter(s.status or "of unknown status" for s in running)
    kinds = listed(f"{count} {name}" for name, count in sorted(of.items()))
    if len(statuses) == 1:
        standing = f"{'all ' if len(running) > 1 else ''}{next(iter(statuses))}"
    else:
        standing = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
    ready = f"{len(strategies) - len(unready)} of {len(strategies)} ready"
    if unready:
        ready += f" (not {listed(unready, _NAMES)})"
    return f"{ready}: {kinds}; {standing}" if running else ready


def _sets(running: Sequence[StrategySeen], differs: Sequence[str]) -> str:
    """Such as "36 of 36 as approved: 9 × donchian 1.0.0 4f1a…, …": those that run the same set are one entry."""
    if not running:
        return "none"
    groups: dict[tuple[str, str, str], list[str]] = {}
    for s in running:
        groups.setdefault((s.strategy_id, s.version, s.params_hash), []).append(s.instance_id)
    told = [
        f"{names[0] if len(names) == 1 else f'{len(names)} × {strategy}'} {version} {params_hash}"
        for (strategy, version, params_hash), names in groups.items()
    ]
    same = f"{len(running) - len(differs)} of {len(running)} as approved"
    return f"{same}{f' (not {listed(differs, _NAMES)})' if differs else ''}: {listed(told)}"


def _difference(strategy: StrategySeen) -> str:
    what = listed(strategy.changed) if strategy.changed else "not the approved set"
    version = _version(strategy)
    return f"runs {strategy.params_hash}, approved is {strategy.approved_hash} ({version}): {what}"


def _version(strategy: StrategySeen) -> str:
    """Which version is in force, who signed it, when, and since which session."""
    if not strategy.params_version:
        return f"the catalog's own set, {strategy.owner}" if strategy.owner else "the catalog's own set"
    since = f"from {strategy.effective_from} on" if strategy.effective_from else "from the first session on"
    return f"version {strategy.params_version}, signed by {strategy.approved_by} on {strategy.approved_on}, {since}"


def _signed(running: Sequence[StrategySeen]) -> str:
    """Who answers for what runs: the catalog's own sets counted by owner, signed versions by instance; what waits."""
    own = Counter(s.owner or "nobody" for s in running if not s.params_version)
    owners = listed(f"{count} of {owner}" for owner, count in sorted(own.items()))
    told = [f"on the catalog's own set: {owners}"] if own else []
    signed = {s.instance_id: _version(s) for s in running if s.params_version}
    told += [_grouped(signed)] if signed else []
    coming = {s.instance_id: "; ".join(s.coming) for s in running if s.coming}
    told += [f"to come: {_grouped(coming)}"] if coming else []
    waiting = {s.instance_id: "; ".join(s.proposals) for s in running if s.proposals}
    told += [f"waiting: {_grouped(waiting)}"] if waiting else []
    return "; ".join(told)


def _grouped(by_name: dict[str, str]) -> str:
    """Reasons with those they hold for, what many share said once; the rest counted where there are too many."""
    names: dict[str, list[str]] = {}
    for name, reason in by_name.items():
        names.setdefault(reason, []).append(name)
    told = [f"{listed(held, _NAMES)}: {reason}" for reason, held in names.items()]
    left = sum(len(held) for held in list(names.values())[_REASONS:])
    return "; ".join(told[:_REASONS]) + (f"; and {several(left, 'instance')} more" if left else "")
