"""What a catalog entry must say before it is one: owner, texts, ranges, evidence for its status (§3, §8)."""

import re
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from qmworkbench.strategies.definition import StrategyDefinition, StrategyStatus, Validation


class EntryIncomplete(ValueError):
    """A catalog entry that does not say all it must, or contradicts itself; the message names strategy and field."""


_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_TEXTS: Final = ("version", "title", "objective", "entry", "confirming", "disqualifying", "invalidation", "sizing")


def entry_faults(entry: "StrategyDefinition") -> list[str]:
    """Everything that is missing or contradicts itself in a catalog entry, each sentence naming strategy and field.

    Whether its parameter values fit their ranges is for `StrategyDefinition.parameters` to say.
    """
    faults = [*_texts(entry), *_parameters(entry), *_names(entry), *_evidence(entry)]
    return [f"strategy {entry.strategy_id or '(no id)'} {fault}" for fault in faults]


def _texts(entry: "StrategyDefinition") -> Iterator[str]:
    if not _ID.fullmatch(entry.strategy_id):
        yield f"has the id {entry.strategy_id!r}: 1 to 40 of a-z 0-9 . _ - beginning with a letter or digit"
    if not entry.owner.strip():
        yield "has no owner; every catalog entry names who answers for it"
    texts = {name: getattr(entry, name) for name in _TEXTS}
    texts |= {f"exits.{name}": getattr(entry.exits, name) for name in ("stop", "target", "signal")}
    texts |= {f"features.{name}": meaning for name, meaning in entry.features.items()}
    texts |= {f"assumptions[{at}]": text for at, text in enumerate(entry.assumptions)}
    for name, text in texts.items():
        if not text.strip():
            yield f"says nothing under {name}; write a sentence, or that there is none and why"
    if not entry.assumptions:
        yield "states no assumption; say what has to hold for its signals to mean something"
    if not entry.asset_classes:
        yield "names no instruments (asset_classes); say which markets it trades"


def _parameters(entry: "StrategyDefinition") -> Iterator[str]:
    seen: set[str] = set()
    for spec in entry.parameter_specs:
        if spec.name in seen:
            yield f"has two parameters called {spec.name}"
        seen.add(spec.name)
        if not spec.meaning.strip():
            yield f"gives parameter {spec.name} no meaning; say what it does"


def _names(entry: "StrategyDefinition") -> Iterator[str]:
    """Parameters that the rules refer to must be there, features be known by their prefix."""
    window, exits = entry.entry_window, entry.exits
    named: dict[str, object] = {
        "entry_window.from_bar": window.from_bar,
        "entry_window.until_bar": window.until_bar,
        "entry_window.bars_left": window.bars_left,
        "exits.trail_bps": exits.trail_bps,
        "exits.max_hold_bars": exits.max_hold_bars,
    }
    if not hasattr(exits.flat, "value"):
        named["exits.flat"] = exits.flat
    known = {spec.name for spec in entry.parameter_specs}
    for place, name in named.items():
        if isinstance(name, str) and name not in known:
            yield f"names parameter {name!r} under {place}, and has none of that name ({', '.join(sorted(known))})"
    for feature in entry.features:
        if not feature.startswith("f_"):
            yield f"has a feature {feature!r} that must start with f_"


def _evidence(entry: "StrategyDefinition") -> Iterator[str]:
    """A status is a claim; what makes it true is in the validation history."""
    for at, piece in enumerate(entry.validation):
        for name in ("data", "method", "result"):
            if not getattr(piece, name).strip():
                yield f"says nothing under validation[{at}].{name}"
        if piece.on and not _is_date(piece.on):
            yield f"dates validation[{at}] {piece.on!r}; give a date such as 2018-03-02"
        if piece.approves is not None and not (piece.by.strip() and piece.on):
            yield f"has validation[{at}] that approves {piece.approves.value} without saying by whom (by) and when (on)"
    for needed in _NEEDED.get(entry.status.value, ()):
        if not any(_approves(piece, needed) for piece in entry.validation):
            yield (
                f"is {entry.status.value}, yet no entry of its validation history approves {needed}: add that "
                "evidence (approves, by, on), or lower the status"
            )
    if entry.status.value in _NEEDED:
        yield from _examined(entry)


def _examined(entry: "StrategyDefinition") -> Iterator[str]:
    """Trust with an account needs a passed look-ahead examination of exactly the parameters that were approved."""
    passed = [piece.lookahead for piece in entry.validation if piece.lookahead is not None]
    mine = [one for one in passed if one.params_hash == entry.hash({})]
    remedy = (
        f"run `qm lookahead {entry.strategy_id} --data FILE --evidence` and add what it prints, or lower the status"
    )
    if not mine:
        other = f" (there is one of parameters {passed[-1].params_hash})" if passed else ""
        yield (
            f"is {entry.status.value}, yet its validation history holds no passed look-ahead examination of its "
            f"approved parameters {entry.hash({})}{other}: {remedy}"
        )
    elif not any(set(one.analyses) >= set(_analyses()) and one.entries > 0 for one in mine):
        lacking = [name for name in _analyses() if name not in mine[-1].analyses] or ["any entry to look at"]
        yield f"is {entry.status.value}, yet its look-ahead examination lacks {', '.join(lacking)}: {remedy}"


def _analyses() -> tuple[str, ...]:
    from qmworkbench.strategies.definition import LOOKAHEAD_ANALYSES  # which is made of what is checked here

    return LOOKAHEAD_ANALYSES


_NEEDED: Final = {"paper-approved": ("paper-approved",), "live-approved": ("paper-approved", "live-approved")}


def _approves(piece: "Validation", status: str) -> bool:
    approved: StrategyStatus | None = piece.approves
    return approved is not None and approved.value == status


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
