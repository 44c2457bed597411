"""Is the platform healthy? Judged bottom-up: platform, strategies, portfolio (M: Three-Layer Mental Model, §7).

Once the platform is red the layers above it are not judged at all: whatever they show is unreliable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dashboards.reading import LinkState, Reading
from dashboards.view_models import formats

UNRELIABLE: Final = "unreliable"
STALE_PRICES: Final = "stale prices"
_NEAR_LIMIT_PCT: Final = 75


@dataclass(frozen=True)
class Layer:
    """One layer: its `tone` (ok, warn, bad, dim), one or two words, and what they rest on."""

    name: str
    tone: str
    word: str
    detail: str


@dataclass(frozen=True)
class Verdict:
    """The three layers, lowest first. `mark` is what every number above the platform carries, "" where it can be
    relied on; `price_mark` what those carry that are made from market prices, which a late feed alone already spoils.
    """

    platform: Layer
    strategies: Layer
    portfolio: Layer
    mark: str = ""
    price_mark: str = ""

    @property
    def layers(self) -> tuple[Layer, Layer, Layer]:
        return self.platform, self.strategies, self.portfolio


def judge(reading: Reading) -> Verdict:
    """The verdict on a reading. Never raises; what is missing counts against the platform, not for it."""
    snapshot = reading.snapshot or {}
    if stopped(reading):
        calm = Layer("Platform", "dim", "stopped", "the session is closed and the platform has ended")
        return Verdict(calm, _strategies(snapshot), _portfolio(snapshot, stale=False))
    platform = _platform(reading, snapshot)
    if platform.tone == "bad":
        above = "fix the platform first"
        return Verdict(
            platform,
            Layer("Strategies", "dim", UNRELIABLE, above),
            Layer("Portfolio", "dim", UNRELIABLE, above),
            UNRELIABLE,
            UNRELIABLE,
        )
    stale = _stale_feed(snapshot) != ""
    return Verdict(platform, _strategies(snapshot), _portfolio(snapshot, stale), "", STALE_PRICES if stale else "")


def stopped(reading: Reading) -> bool:
    """The platform ended after its session closed: its last word stands, and that it is gone is no trouble."""
    gone = reading.link.state in (LinkState.ABSENT, LinkState.DOWN, LinkState.ENDED)
    return gone and (reading.snapshot or {}).get("phase") == "closed"


def _stale_feed(snapshot: Mapping[str, Any]) -> str:
    feed = section(snapshot, "feed")
    state = str(feed.get("state", "good"))
    if state == "good":
        return ""
    detail = str(feed.get("detail") or "")
    return f"market data {state}" + (f": {detail}" if detail else "")


def _platform(reading: Reading, snapshot: Mapping[str, Any]) -> Layer:
    if reading.link.state not in (LinkState.OK, LinkState.ENDED):
        return Layer("Platform", "bad", "no contact", reading.link.detail)
    health = reading.health or {}
    bad = _broken(health, snapshot)
    if bad:
        return Layer("Platform", "bad", "failed", "; ".join(bad))
    weak = _weak(health, snapshot)
    if weak:
        return Layer("Platform", "warn", "degraded", "; ".join(weak))
    return Layer("Platform", "ok", "healthy", _counted(health))


def _counted(health: Mapping[str, Any]) -> str:
    parts = rows(health, "components")
    return f"all {formats.plural(len(parts), 'component')} healthy" if parts else "no component reports"


def _broken(health: Mapping[str, Any], snapshot: Mapping[str, Any]) -> list[str]:
    """What makes the platform red (§7 Critical Health Conditions)."""
    found = []
    status = str(health.get("status", ""))
    if status not in ("healthy", "degraded", "failed"):
        found.append("health is not known")
    failed = [part for part in rows(health, "components") if part.get("status") == "failed"]
    critical = [part for part in failed if part.get("critical")]
    if status == "failed":
        found += [_part(part) for part in critical or failed] or ["health says failed and names no component"]
    broker = section(snapshot, "broker")
    if snapshot.get("session_id") and broker.get("connected") is False and not any("broker" in each for each in found):
        found.append(f"execution broker disconnected: {broker.get('detail') or 'no answer'}")
    unresolved = rows(section(snapshot, "reconciliation"), "unresolved")
    if unresolved:
        symbols = ", ".join(str(each.get("symbol") or each.get("kind")) for each in unresolved[:3])
        found.append(f"{formats.plural(len(unresolved), 'break')} with the broker unresolved: {symbols}")
    return found


def _weak(health: Mapping[str, Any], snapshot: Mapping[str, Any]) -> list[str]:
    found = [_part(part) for part in rows(health, "components") if part.get("status") != "healthy"]
    stale = _stale_feed(snapshot)
    if stale and snapshot.get("session_id") and not any("arket data" in each for each in found):
        found.append(stale)
    if section(snapshot, "reconciliation").get("result") == "incomplete":
        found.append("the last reconciliation could not read the broker whole")
    lateness = section(snapshot, "lateness")
    if lateness.get("drifted") is True:
        found.append(f"boundaries run late: {formats.milliseconds(lateness.get('p95_ms'))} at the 95th percentile")
    return found or (["health says degraded and names no component"] if health.get("status") == "degraded" else [])


def _part(part: Mapping[str, Any]) -> str:
    detail = str(part.get("detail") or "")
    name = formats.words(part.get("component"))
    return f"{name}: {detail}" if detail else f"{name} {part.get('status')}"


def _strategies(snapshot: Mapping[str, Any]) -> Layer:
    runs = rows(snapshot, "runs")
    if not runs:
        return Layer("Strategies", "dim", "none running", "no strategy instance runs in this session")
    ended = [run for run in runs if run.get("ended")]
    book = section(snapshot, "trading_state")
    if severity(book.get("state")) > 0 and len(ended) < len(runs):
        # The worse of book and strategy counts, whatever each strategy says of itself.
        return Layer("Strategies", "warn", "held by the book", str(book.get("shown") or "the book's state is unknown"))
    halted = [run for run in runs if not run.get("ended") and run.get("state") != "active"]
    if halted:
        names = "; ".join(f"{run.get('strategy_id')}: {run.get('shown')}" for run in halted)
        return Layer("Strategies", "warn", f"{len(runs) - len(halted) - len(ended)} of {len(runs)} active", names)
    if len(ended) == len(runs):
        return Layer("Strategies", "dim", f"{len(runs)} ended", "every run reached its end")
    word = f"{len(runs) - len(ended)} active" + (f", {len(ended)} ended" if ended else "")
    return Layer(
        "Strategies", "ok", word, ", ".join(str(run.get("strategy_id")) for run in runs if not run.get("ended"))
    )


def _portfolio(snapshot: Mapping[str, Any], stale: bool) -> Layer:
    account = section(snapshot, "account")
    pnl = formats.decimal(account.get("day_pnl"))
    if pnl is None:
        return Layer("Portfolio", "dim", "no P&L yet", "the day's P&L is known once the account and every mark are")
    loss = section(section(snapshot, "risk"), "daily_loss")
    used = formats.decimal(loss.get("pct")) or formats.decimal("0")
    word = f"{formats.money(pnl, signed=True)} {account.get('currency', '')}".strip()
    detail = f"{formats.percent(used, signed=False, places=0)} of the daily loss limit used"
    if used is not None and used >= 100:
        return Layer("Portfolio", "bad", word, detail)
    if used is not None and used >= _NEAR_LIMIT_PCT:
        return Layer("Portfolio", "warn", word, detail)
    return Layer("Portfolio", "warn" if stale else "ok", word, f"{detail}; prices are stale" if stale else detail)


def severity(state: Any) -> int:
    """How strict a trading state is: active 0, reducing 1, halted and whatever is not known 2."""
    return {"active": 0, "reducing": 1}.get(str(state), 2)


def section(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A nested object of the snapshot, empty where it is absent or not an object."""
    value = content.get(name)
    return value if isinstance(value, Mapping) else {}


def rows(content: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    """A list of objects of the snapshot, without whatever in it is none."""
    value = content.get(name)
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, (list, tuple)) else []
