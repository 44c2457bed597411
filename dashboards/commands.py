"""Carries a person's commands from the page to the Core API and says what became of each (§10, §15, TRAPS "Panel").

The browser names and dates a command. An ordinary one is posted once: if the platform cannot be reached it is not
delivered, if it does not answer the same id is asked about again. An emergency is tried until it is answered, because a
late one is still wanted and the platform takes one id once.
"""

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from dashboards.core_api import ApiTrouble, CoreApi

ORIGIN: Final = "command center"
NAMELESS: Final = "command center, name not given"
EMERGENCY_TRIES_S: Final = 60.0
IN_HAND_MAX: Final = 8
_UNANSWERED_TRIES: Final = 3
_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_NAME_MAX: Final = 60

# Every command the page offers, with the fields it takes beside the reason.
FIELDS: Final[dict[str, dict[str, type]]] = {
    "pause": {},
    "resume": {
        "incident": str,
        "cause_understood": bool,
        "internal_state_repaired": bool,
        "risk_controls_verified": bool,
    },
    "emergency": {},
    "block": {"symbol": str, "scope": str},
    "unblock": {"symbol": str},
    "stop_strategy": {"strategy_id": str},
    "restart_strategy": {"strategy_id": str},
    "cancel_order": {"cl_ord_id": str},
    "replace_order": {"cl_ord_id": str},
    "close_position": {"strategy_id": str, "symbol": str},
    "drop_candidate": {"symbol": str},
    "reconcile": {},
    "accept_break": {"break_id": str},
    "release_entries": {},
    "decide": {"decision_id": str, "choice": str},
    "add_note": {"kind": str},
}


# Fields that a command may leave out: numbers, as text.
OPTIONAL: Final[dict[str, tuple[str, ...]]] = {"replace_order": ("order_qty", "limit_px", "stop_px")}
_NUMBER = re.compile(r"\d{1,12}(\.\d{1,12})?")


class OrderMalformed(ValueError):
    """What came from the browser is no command of this page."""


@dataclass(frozen=True)
class Outcome:
    """What became of a command. `state` is sending, retrying, accepted, refused, undelivered or unanswered."""

    command_id: str
    label: str
    state: str
    text: str = ""
    remedy: str = ""
    time: str = ""

    def as_row(self) -> dict[str, Any]:
        return asdict(self)


Tell = Callable[[Outcome], None]


def body_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """The request for the Core API from a browser's message. Raises OrderMalformed for what it cannot have sent."""
    command = message.get("command")
    if not isinstance(command, Mapping) or command.get("command") not in FIELDS:
        raise OrderMalformed("the page does not offer this command: reload it")
    identity, dated = message.get("command_id"), message.get("client_ts")
    if not isinstance(identity, str) or not _ID.fullmatch(identity):
        raise OrderMalformed("the command carries no usable id: reload the page")
    if not isinstance(dated, str) or not dated.endswith("Z"):
        raise OrderMalformed("the command is not dated: reload the page")
    name = str(command["command"])
    fields = FIELDS[name] | {"reason": str}
    for field, kind in fields.items():
        if not isinstance(command.get(field), kind):
            raise OrderMalformed(f"{field} is missing from the command {name}: reload the page")
    given = {field: command[field] for field in OPTIONAL.get(name, ()) if command.get(field)}
    for field, value in given.items():
        if not isinstance(value, str) or not _NUMBER.fullmatch(value):
            raise OrderMalformed(f"{field.removesuffix('_px').replace('_', ' ')} {value!r} is no number above zero")
    operator = str(message.get("operator") or "").strip()[:_NAME_MAX]
    if not operator and name != "emergency":
        raise OrderMalformed("no name was given: every command is signed with one")
    version = message.get("state_version")
    return {
        "command_id": identity,
        "client_ts": dated,
        "state_version": version if isinstance(version, int) and not isinstance(version, bool) else None,
        "operator": operator or NAMELESS,
        "origin": ORIGIN,
        "command": {"command": name, **{field: command[field] for field in fields}, **given},
    }


def label_of(command: Mapping[str, Any]) -> str:
    """A command as its outcome names it: "Block AAPL"."""
    name = str(command.get("command"))
    about = (
        command.get("symbol") or command.get("cl_ord_id") or command.get("strategy_id") or command.get("choice") or ""
    )
    words = {"emergency": "Emergency Liquidate & Halt", "decide": "Decision", "add_note": "Note"}
    verb = words.get(name, name.replace("_", " ").capitalize())
    return f"{verb} {str(about).replace('_', ' ')}".strip()


class CommandSender:
    """Posts commands from threads of its own, each id once; `tell` hears of every step, from those threads."""

    def __init__(self, api: CoreApi, *, emergency_tries_s: float = EMERGENCY_TRIES_S, pause_s: float = 1.0) -> None:
        self._api = api
        self._emergency_tries_s = emergency_tries_s
        self._pause_s = pause_s
        self._room = threading.BoundedSemaphore(IN_HAND_MAX)
        self._lock = threading.Lock()
        self._taken: set[str] = set()
        self._stop = threading.Event()

    def send(self, message: Mapping[str, Any], tell: Tell) -> None:
        """Take a browser's message. Returns at once; the same id again is not sent again."""
        try:
            body = body_of(message)
        except OrderMalformed as error:
            identity = message.get("command_id")
            tell(Outcome(str(identity), "Command", "refused", str(error), "", _now()))
            return
        with self._lock:
            if body["command_id"] in self._taken:
                return
            self._taken.add(body["command_id"])
        begun = Outcome(
            body["command_id"], label_of(body["command"]), "sending", "Sending to the platform…", "", _now()
        )
        tell(begun)
        carry = self._emergency
        if body["command"]["command"] != "emergency":  # which waits for nothing and nobody
            if not self._room.acquire(blocking=False):
                text = f"{IN_HAND_MAX} commands are without an answer already"
                tell(replace(begun, state="refused", text=text, remedy="wait for them, or use `qm` in a terminal"))
                return
            carry = self._with_room
        # Daemons, so that a platform that hangs does not keep this process from ending.
        threading.Thread(target=carry, args=(body, begun, tell), name="command", daemon=True).start()

    def close(self) -> None:
        """Stop trying; what is on its way goes on."""
        self._stop.set()

    def _with_room(self, body: Mapping[str, Any], begun: Outcome, tell: Tell) -> None:
        try:
            self._ordinary(body, begun, tell)
        finally:
            self._room.release()

    def _ordinary(self, body: Mapping[str, Any], begun: Outcome, tell: Tell) -> None:
        for attempt in range(_UNANSWERED_TRIES):
            try:
                tell(_answered(begun, *self._api.command(body)))
                return
            except ApiTrouble as trouble:
                if not trouble.delivered and attempt == 0:
                    remedy = trouble.link.remedy
                    tell(
                        replace(
                            begun, state="undelivered", text=f"Nothing was done: {trouble.link.detail}.", remedy=remedy
                        )
                    )
                    return
                # The same id again: either its first answer comes back, or it never arrived and is too old by now.
                text = f"{trouble.link.detail}; asking what became of it"
                tell(replace(begun, state="retrying", text=text, remedy=""))
            if self._stop.wait(self._pause_s):
                return
        text = "The platform has not answered; whether it took the command is not known."
        tell(
            replace(
                begun,
                state="unanswered",
                text=text,
                remedy="look at the trading state and the journal before giving it again",
            )
        )

    def _emergency(self, body: Mapping[str, Any], begun: Outcome, tell: Tell) -> None:
        deadline = time.monotonic() + self._emergency_tries_s
        attempt = 0
        while not self._stop.is_set():
            attempt += 1
            try:
                tell(_answered(begun, *self._api.command(body)))
                return
            except ApiTrouble as trouble:
                if time.monotonic() >= deadline:
                    text = f"Given up after {attempt} attempts: {trouble.link.detail}."
                    tell(
                        replace(
                            begun, state="undelivered", text=text, remedy="in a terminal, now: qm emergency --direct"
                        )
                    )
                    return
                text = f"{trouble.link.detail}; trying again (attempt {attempt})"
                tell(
                    replace(
                        begun, state="retrying", text=text, remedy="do not wait: in a terminal, qm emergency --direct"
                    )
                )
            self._stop.wait(self._pause_s)


def _answered(begun: Outcome, code: int, answer: Mapping[str, Any]) -> Outcome:
    if answer.get("accepted") is True:
        return replace(begun, state="accepted", text=str(answer.get("effect") or ""), remedy="")
    reason = str(answer.get("reason") or f"the platform answered {code} without a reason")
    return replace(begun, state="refused", text=reason, remedy=str(answer.get("remedy") or ""))


def _now() -> str:
    return datetime.now(UTC).strftime("%H:%M:%S UTC")
