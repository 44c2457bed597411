"""`qm reconcile`: our books against the broker's, now; every difference with before, after and cause (§14)."""

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import typer

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.failures import Cannot, CommandRefused
from qmworkbench.cli.operator import Why
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, Operator, config_of
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    from qmworkbench.domain.events import Event
    from qmworkbench.service.client import CoreApi
    from qmworkbench.service.config import Config

_PATIENCE_S: Final = 15.0
# A look that settled nothing is followed by another: an answer that erases exposure is read twice.
_SECOND_LOOK_S: Final = 2.0
_BREAK, _REPAIR, _END = "reconciliation.break_found", "reconciliation.repair_applied", "reconciliation.completed"
# What was read on the way and cannot be explained is a difference too, although the books then agree.
_ODD: Final = "broker.report_quarantined"
_KINDS: Final = (_BREAK, _REPAIR, _END, _ODD)
_DONE: Final = ("clean", "repaired")
_COLUMNS: Final = ("kind", "symbol", "severity", "before", "after", "cause")


def reconcile(
    reason: Why = "asked for on the command line",
    book: Book = None,
    environment: Environment = None,
    config: ConfigFile = None,
    operator: Operator = None,
    json: AsJson = False,
) -> None:
    """Compare with the broker now, and show every difference. A book whose session is closed is compared and not
    changed.

    Exit code 0: the books agree. 1: they did not, and ours now follow the broker's. 2: a difference is left, or the
    broker could not be read whole.
    """
    from qmworkbench.service.auth import operator_name
    from qmworkbench.service.client import CoreApi, NotRunning
    from qmworkbench.service.offline import demand_book

    out = begin(json=json)
    loaded = config_of(book, environment, config)
    demand_book(loaded)
    who = operator_name(operator)
    try:
        with CoreApi(loaded.paths) as api:
            found = _on_platform(api, reason, who)
    except NotRunning:
        found = _on_book(loaded, reason, who)
    _report(found, out)


def _on_platform(api: "CoreApi", reason: str, who: str) -> dict[str, Any]:
    from qmworkbench.domain.commands import RECONCILE_JOINED, Reconcile

    before = int(api.events(2**52, limit=1)["head"])
    answer = api.command(Reconcile(reason=reason), operator=who)
    if not answer.accepted:
        raise CommandRefused(answer.reason, answer.remedy)
    joined = answer.effect.startswith(RECONCILE_JOINED)
    begun = time.monotonic()
    seen, since = 0, begun
    while time.monotonic() < begun + _PATIENCE_S:
        events = api.events(before, types=_KINDS)["events"]
        ends = [at for at, event in enumerate(events) if event["type"] == _END and _ours(event, joined)]
        if len(ends) > seen:
            seen, since = len(ends), time.monotonic()
        if ends:
            result = events[ends[-1]]["result"]
            if result in _DONE or time.monotonic() - since >= _SECOND_LOOK_S:
                open_ones = () if result in _DONE else api.snapshot()["reconciliation"]["unresolved"]
                return _summary(events[: ends[-1] + 1], result, "platform", open_ones=open_ones)
        time.sleep(0.1)
    raise Cannot(
        f"the platform took the order and no comparison ended within {_PATIENCE_S:g} s",
        "look at the broker's connection with `qm status`",
    )


def _ours(end: Mapping[str, Any], joined: bool) -> bool:
    """Whether this comparison answers the command: the one it asked for, or the one that was under way already."""
    return joined or end["trigger"] == "operator"


def _on_book(config: "Config", reason: str, who: str) -> dict[str, Any]:
    from qmworkbench.domain.commands import Reconcile
    from qmworkbench.domain.events.reconciliation import ReconciliationResult
    from qmworkbench.service.offline import open_offline

    with open_offline(config, "qm reconcile") as opened:
        if opened.session_open:
            answer = opened.command(Reconcile(reason=reason), who)
            if not answer.accepted:
                raise CommandRefused(answer.reason, answer.remedy)
            last = opened.shell.state.reconciliation
            result = last.result or ReconciliationResult.INCOMPLETE
            still = _plain(last.unresolved.values())
            return _summary(_plain(opened.heard), result.value, "book", open_ones=still)
        seen = opened.look_at_broker()
        if not seen.complete:
            return _summary([], ReconciliationResult.INCOMPLETE.value, "look", detail=seen.error)
        breaks = opened.compare(seen)
    result = ReconciliationResult.UNRESOLVED if breaks else ReconciliationResult.CLEAN
    return _summary(_plain(breaks), result.value, "look")


def _plain(events: "Iterable[Event]") -> list[dict[str, Any]]:
    import msgspec

    return [msgspec.to_builtins(event) for event in events]


def _summary(
    events: Iterable[Mapping[str, Any]],
    result: str,
    through: str,
    *,
    detail: str = "",
    open_ones: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """What was found: every break, and whether our books now follow the broker's for it. `open_ones` are those that an
    earlier comparison has found and nothing has settled: they are not found anew, and they are what a person looks for.
    """
    breaks: dict[str, dict[str, Any]] = {}
    for event in events:
        if event["type"] == _BREAK:
            breaks[event["break_id"]] = _open(event)
        elif event["type"] == _REPAIR and event["break_id"] in breaks:
            breaks[event["break_id"]]["repaired"] = True
        elif event["type"] == _END:
            detail = event.get("detail") or detail
        elif event["type"] == _ODD:
            breaks[event["exec_id"]] = {
                "break_id": "",
                "kind": event["kind"],
                "symbol": "",
                "severity": "P0",
                "before": "absent",
                "after": f"{event['exec_id']} of {event['cl_ord_id']}",
                "cause": event["detail"],
                "repaired": False,
            }
    told = {(entry["kind"], entry["symbol"]) for entry in breaks.values()}
    for n, entry in enumerate(open_ones):
        if (entry["kind"], entry["symbol"]) not in told:
            breaks[f"open {n}"] = _open(entry)
    if breaks and result == "clean":
        result = "repaired"
    return {"result": result, "breaks": list(breaks.values()), "detail": detail, "through": through}


def _open(item: Mapping[str, Any]) -> dict[str, Any]:
    """A difference that nothing has settled yet."""
    return {"break_id": item["break_id"], **{name: item[name] for name in _COLUMNS}, "repaired": False}


def _report(found: dict[str, Any], out: Output) -> None:
    from qmworkbench.domain.events.reconciliation import MONEY_KINDS

    breaks = found["breaks"]

    def human() -> None:
        if breaks:
            rows = [
                [*(str(entry[name]) for name in _COLUMNS), "yes" if entry["repaired"] else "no"] for entry in breaks
            ]
            out.table([*_COLUMNS, "repaired"], rows, title="before is ours, after is the broker's")
        out.line(_SENTENCE[found["result"]] + (f": {found['detail']}" if found["detail"] else ""))
        for entry in breaks:
            if entry["kind"] in MONEY_KINDS and not entry["repaired"] and found["through"] != "look":
                told = entry["kind"].replace("_", " ")
                out.line(f"once you know why {told} differs: qm accept {entry['break_id']} --reason WHY")
        if found["through"] == "look":
            out.line("no session is open in this book, so nothing was changed and nothing put on record")

    out.result(found, human)
    code = {"clean": Exit.OK, "repaired": Exit.NO_GO}.get(found["result"], Exit.FAILED)
    if code is not Exit.OK:
        raise typer.Exit(code)


_SENTENCE: Final = {
    "clean": "the books agree",
    "repaired": "the books differed; ours now follow the broker's",
    "unresolved": "the books differ, and a person has to find out why",
    "incomplete": "the broker could not be read whole, so nothing is concluded",
}
