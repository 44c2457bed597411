"""A region of the page: shows a view as JSON, and can send it again to a browser that missed it (§9, TRAPS "Panel")."""

import json
from pathlib import Path
from typing import Any, ClassVar, Final

import param
from panel.custom import JSComponent

SCRIPTS: Final = Path(__file__).with_name("js")


class Region(JSComponent):
    """`view` is the JSON text {"n": number, "v": what is shown}; the number rises with every sending.

    The browser reports the number it has drawn. Text, because one string crosses the websocket faster than a tree of
    objects and is compared at once.
    """

    region = param.String(default="", doc="The region's name on the page.")
    view = param.String(default="null")

    _esm: ClassVar[str | Path] = ""

    def __init__(self, name: str, view: Any) -> None:
        self._shown = ""
        self._sent = 0
        text = _encoded(view)
        super().__init__(region=name, view=_numbered(1, text), sizing_mode="stretch_width", margin=0)
        self._shown, self._sent = text, 1

    @property
    def sent(self) -> int:
        """The number of the newest view."""
        return self._sent

    def put(self, view: Any) -> None:
        """Put a view on the page; one that is shown already costs nothing."""
        text = _encoded(view)
        if text != self._shown:
            self._shown = text
            self.renew()

    def renew(self) -> None:
        """Send the present view again, to a browser that has not drawn it."""
        self._sent += 1
        self.view = _numbered(self._sent, self._shown)


def _encoded(view: Any) -> str:
    return json.dumps(view, ensure_ascii=False, separators=(",", ":"))


def _numbered(number: int, text: str) -> str:
    return f'{{"n":{number},"v":{text}}}'
