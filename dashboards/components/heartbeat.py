"""The pulse of the page: tells the browser that this server lives, and how the platform is (§20)."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import param
from panel.custom import JSComponent

from dashboards.components.region import SCRIPTS


class Heartbeat(JSComponent):
    """`beat` is JSON {n, veil}; the browser answers each with the numbers of the views it has drawn, to `on_shown`."""

    beat = param.String(default="null")

    _esm: ClassVar[str | Path] = SCRIPTS / "heartbeat.js"

    def __init__(self, veil: Mapping[str, Any], on_shown: Callable[[Mapping[str, Any]], None]) -> None:
        self._n = 0
        self._on_shown = on_shown
        super().__init__(beat=_text(0, veil))
        self.on_msg(self._received)

    def pulse(self, veil: Mapping[str, Any]) -> None:
        """One more beat. `veil` is view_models.status.veil()."""
        self._n += 1
        self.beat = _text(self._n, veil)

    def _received(self, event: Any) -> None:
        data = getattr(event, "data", event)
        shown = data.get("shown") if isinstance(data, Mapping) else None
        if isinstance(shown, Mapping):
            self._on_shown(shown)


def _text(n: int, veil: Mapping[str, Any]) -> str:
    return json.dumps({"n": n, "veil": dict(veil)}, ensure_ascii=False)
