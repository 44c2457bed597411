"""What would be decided with now, beside what the last session was decided with (§5 Safety Check, §8)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qmworkbench.domain.events.session import RunSpec, SessionOpened
    from qmworkbench.service.config import Config

Change = tuple[str, str, str]


def changes_since_last(config: "Config") -> tuple[str, list[Change]]:
    """The book's last session ("" if it has none) and each difference as (what, then, now), in order of name."""
    last = last_opened(config)
    if last is None:
        return "", []
    then, now = _facts_then(last), _facts_now(config, last)
    names = sorted(then.keys() | now.keys())
    absent = "(not there)"
    changed = [(name, then.get(name, absent), now.get(name, absent)) for name in names]
    return last.session_id, [change for change in changed if change[1] != change[2]]


def last_opened(config: "Config") -> "SessionOpened | None":
    """The opening of the newest session on record, None for a book without one."""
    from qmworkbench.domain.events.session import SessionOpened
    from qmworkbench.storage.journal_reader import JournalReader

    if not config.paths.journal.exists():
        return None
    with JournalReader(config.paths.journal) as journal:
        opened = [event for _, event in journal.session_events() if isinstance(event, SessionOpened)]
    return opened[-1] if opened else None


def _facts_then(last: "SessionOpened") -> dict[str, str]:
    facts = {
        "code": last.code_version,
        "account_currency": last.account_currency,
        "allocator.max_candidates": str(last.max_candidates),
        "allocator.max_owned": str(last.max_owned),
    }
    return facts | _limits(last.limits) | _flat("scan", last.scan_settings) | _runs(last.runs)


def _facts_now(config: "Config", last: "SessionOpened") -> dict[str, str]:
    from qmworkbench.service.code_version import code_version
    from qmworkbench.service.plan import as_plain
    from qmworkbench.service.runs import configured_runs, default_runs

    market = last.instruments[0].asset_class
    entries = config.settings.strategies
    runs = default_runs(market) if entries is None else configured_runs(entries, market)
    facts = {
        "code": code_version(),
        "account_currency": config.settings.account_currency,
        "allocator.max_candidates": str(config.settings.allocator.max_candidates),
        "allocator.max_owned": str(config.settings.allocator.max_owned),
    }
    return facts | _limits(config.limits(market)) | _flat("scan", as_plain(config.scan(market))) | _runs(runs)


def _limits(limits: Any) -> dict[str, str]:
    import msgspec

    return _flat("limits", msgspec.to_builtins(limits))


def _runs(runs: "tuple[RunSpec, ...]") -> dict[str, str]:
    import msgspec

    found: dict[str, str] = {}
    for run in runs:
        plain = msgspec.to_builtins(run)
        found |= _flat(f"strategies.{plain.pop('strategy_id')}", plain)
    return found


def _flat(name: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Nested plain data by dotted names, every value as text; lists in order, empty ones as "none"."""
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(f"{name}.{key}", value)
        elif isinstance(value, list | tuple):
            found[f"{name}.{key}"] = ", ".join(str(part) for part in value) or "none"
        else:
            found[f"{name}.{key}"] = "off" if value is None else str(value)
    return found
