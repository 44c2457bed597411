"""`qm status`: platform, strategies, portfolio, bottom-up, each with age and source (M: Three-Layer Model)."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from qmworkbench.cli.exit_codes import Exit
from qmworkbench.cli.options import AsJson, Book, ConfigFile, Environment, config_of
from qmworkbench.cli.output import Output, begin

if TYPE_CHECKING:
    from qmworkbench.service.config import Config

LAYERS = ("platform", "strategies", "portfolio")


class Line(NamedTuple):
    """One thing that was looked at. `state` is ok, warn, fail or idle; `at` when its source last changed."""

    layer: str
    name: str
    state: str
    value: str
    source: str
    at: datetime | None = None

    def as_data(self, now: datetime) -> dict[str, Any]:
        """The line for a program; `age_s` None where there is no time to count from."""
        age_s = None if self.at is None else round((now - self.at).total_seconds(), 1)
        return {**self._asdict(), "age_s": age_s}


def status(book: Book = None, environment: Environment = None, config: ConfigFile = None, json: AsJson = False) -> None:
    """How the book is, from the bottom up: with a red platform the layers above it say nothing.

    Exit code 1 where something of the platform is red.
    """
    from qmworkbench.cli.status_lines import lines_of

    out = begin(json=json)
    loaded = config_of(book, environment, config)
    with_view = view_now(loaded)
    found = lines_of(loaded, *with_view)
    now = datetime.now(UTC)
    red = any(line.layer == "platform" and line.state == "fail" for line in found)
    content = {
        "book": loaded.book,
        "environment": loaded.environment.value,
        "at": now,
        "red": red,
        "layers": {layer: [line.as_data(now) for line in found if line.layer == layer] for layer in LAYERS},
    }
    out.result(content, lambda: _show(out, found, now, red))
    if red:
        raise typer.Exit(Exit.NO_GO)


def view_now(config: "Config") -> tuple[dict[str, Any], str, str]:
    """What the screens show, where it comes from, and why a running platform could not be asked ("" if it could). A
    platform that was asked has told its components' health too, as `health`.
    """
    from qmworkbench.service.client import ApiError, CoreApi, NotRunning

    trouble = ""
    try:
        with CoreApi(config.paths) as api:
            return api.snapshot() | {"health": api.health()}, "core API", ""
    except NotRunning:
        pass
    except ApiError as error:
        trouble = str(error)
    return _recorded_view(config), "journal", trouble


def _recorded_view(config: "Config") -> dict[str, Any]:
    """The same content from the record alone, for a book on which nothing answers."""
    import msgspec

    from qmworkbench.service.analytics_watch import recorded
    from qmworkbench.service.chronicle import Chronicle
    from qmworkbench.service.lateness import Lateness
    from qmworkbench.service.offline import read_state
    from qmworkbench.service.platform import LATENESS_TOLERANCE_MS
    from qmworkbench.service.views import view_of

    state = read_state(config).state
    content = view_of(state, Chronicle(), None, Lateness(LATENESS_TOLERANCE_MS))
    content["analytics"] = recorded(config.paths, state, config.analytics()).shown()
    plain = msgspec.json.decode(msgspec.json.Encoder(decimal_format="string").encode(content))
    assert isinstance(plain, dict)
    return plain


def _show(out: Output, found: list[Line], now: datetime, red: bool) -> None:
    for layer in LAYERS:
        rows = [
            [line.state.upper() if line.state == "fail" else line.state, line.name, line.value, _age(line.at, now),
             line.source]
            for line in found
            if line.layer == layer
        ]  # fmt: skip
        out.table(["", "what", "value", ">age", "from"], rows, title=layer)
        out.line()
        if layer == "platform" and red:
            out.line("the platform is red: what follows is as it was last known, and not to be relied on\n")


def _age(at: datetime | None, now: datetime) -> str:
    if at is None:
        return ""
    seconds = (now - at).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(0.0, seconds):.1f} s"
