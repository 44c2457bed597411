"""From an executed notebook to the body of a page: results shown, code hidden, tracebacks without values (§17, §21)."""

import re
from base64 import b64encode
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any, Final

from qmworkbench.reporting.page import Failure
from qmworkbench.service.redaction import Redactor

# Cells that papermill adds, and the one that only repeats the parameters.
_LEFT_OUT: Final = frozenset({"injected-parameters", "papermill-error-cell-tag", "remove_cell", "parameters"})
_IMAGES: Final = ("image/png", "image/jpeg")
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")
_FRAME: Final = re.compile(
    r"^(?:File (?P<file>\S+?):(?P<line>\d+)|Cell In\[(?P<cell>\d+)\], line (?P<cell_line>\d+))"
    r"(?:, in (?P<name>[\w.<>]+))?"
)
_SCRIPT: Final = re.compile(r"<script\b.*?</script\s*>", re.S | re.I)
# Refusals of ours are written for people and hold no values but the ones they are about; messages of other libraries
# may hold anything.
_TELLABLE: Final = frozenset(
    "ApprovalRefused BacktestRefused ChainBroken ConfigRefused DataRefused LeaseTaken NoSession NotASession "
    "PackageMissing ParameterError ReportRefused RunRefused ShelfRefused StorageRefused StoreDamaged StoreInUse "
    "StoreMissing StoreNewer StrategyFault UnknownStrategy VenueError".split()
)
_MESSAGE_MAX: Final = 600


def body_of(notebook: Any, redactor: Redactor) -> str:
    """The notebook's markdown and results as HTML, in order. Scripts are left out: a page runs none."""
    pieces = [_cell(cell, redactor) for cell in notebook.cells if not _tags(cell) & _LEFT_OUT]
    return "\n".join(piece for piece in pieces if piece)


def _tags(cell: Any) -> set[str]:
    return set(cell.metadata.get("tags", ()))


def _cell(cell: Any, redactor: Redactor) -> str:
    if cell.cell_type == "markdown":
        # The title is the page's own.
        source = re.sub(r"\A# .*\n?", "", str(cell.source))
        opening = ' class="intro"' if source != str(cell.source) else ""
        return f"<div{opening}>{markdown(source)}</div>" if source.strip() else ""
    if cell.cell_type != "code":
        return ""
    return "".join(_output(output, redactor) for output in cell.get("outputs", ()))


def markdown(source: str) -> str:
    """Markdown as HTML; raw HTML in it is escaped."""
    from mistune import create_markdown

    return str(create_markdown(escape=True, plugins=["table"])(source))


def _output(output: Any, redactor: Redactor) -> str:
    if output.output_type == "stream":
        if output.name != "stdout" or not output.text.strip():
            return ""
        return f"<pre>{escape(redactor.text(_ANSI.sub('', output.text)))}</pre>"
    if output.output_type == "error":
        return ""  # told once, above everything else
    return _best(output.get("data", {}), redactor)


def _best(data: Any, redactor: Redactor) -> str:
    """The richest form of a result that needs no script."""
    if "text/html" in data:
        shown = _SCRIPT.sub("", "".join(data["text/html"]))
        if shown.strip():
            return shown
    if "image/svg+xml" in data:
        svg = "".join(data["image/svg+xml"])
        return f"<figure>{_SCRIPT.sub('', svg[svg.find('<svg') :])}</figure>"
    for kind in _IMAGES:
        if kind in data:
            encoded = data[kind] if isinstance(data[kind], str) else b64encode(data[kind]).decode()
            return f'<figure><img alt="" style="max-width:100%" src="data:{kind};base64,{encoded.strip()}"></figure>'
    if "text/markdown" in data:
        return markdown("".join(data["text/markdown"]))
    if "text/plain" in data and not any(kind.startswith("application/") for kind in data):
        return f"<pre>{escape(redactor.text(''.join(data['text/plain'])))}</pre>"
    return ""


def failure_of(notebook: Any, redactor: Redactor) -> Failure | None:
    """What stopped the notebook, told without source and values; None where no cell failed."""
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", ()) if cell.cell_type == "code" else ():
            if output.output_type == "error":
                return Failure(
                    title="A cell of the notebook failed",
                    text=f"Cell {number} ended with {_message(output.ename, output.evalue, redactor)}.",
                    where=tuple(frames_of(output.traceback)),
                )
    return None


def _message(name: str, message: str, redactor: Redactor) -> str:
    if name == "SystemExit":
        return "an early exit (SystemExit): the rest was not run"
    if name not in _TELLABLE:
        return f"{name} (its message is left out, it may hold values)"
    told = redactor.text(message)
    return f"{name}: {told if len(told) <= _MESSAGE_MAX else told[: _MESSAGE_MAX - 1] + '…'}"


def frames_of(traceback: Iterable[str]) -> list[str]:
    """File, line and function of each frame, outermost first: where it happened, never with what."""
    found = []
    for line in _ANSI.sub("", "\n".join(traceback)).splitlines():
        frame = _FRAME.match(line.strip())
        if frame is None:
            continue
        inside = f" in {frame['name']}" if frame["name"] else ""
        place = (
            f"cell {frame['cell']}, line {frame['cell_line']}"
            if frame["cell"]
            else f"{_short(frame['file'])}:{frame['line']}"
        )
        found.append(place + inside)
    return found


def _short(file: str) -> str:
    """A path from its package on: where something lies on this machine is nobody's business."""
    parts = Path(file).parts
    for anchor in ("site-packages", "qmworkbench", "notebooks"):
        if anchor in parts:
            at = parts.index(anchor)
            return "/".join(parts[at + 1 :] if anchor == "site-packages" else parts[at:])
    return parts[-1] if parts else file


def scrubbed(notebook: Any, redactor: Redactor) -> Any:
    """The executed notebook as it may be kept: errors reduced to their frames, secrets wiped out of text."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()) if cell.cell_type == "code" else ():
            if output.output_type == "error":
                output.traceback = frames_of(output.traceback)
                output.evalue = _message(output.ename, output.evalue, redactor)
            elif output.output_type == "stream":
                output.text = redactor.text(output.text)
    return notebook
