"""The finished page: verdict first, self-contained, nothing fetched from anywhere, printable on A4 (§17, §18)."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

import msgspec

from qmworkbench.domain.checks import Verdict
from qmworkbench.reporting.style import CSS

_KIND: Final = {Verdict.GO: "go", Verdict.NO_GO: "no-go", Verdict.INCOMPLETE: "incomplete"}
_SIGN: Final = {Verdict.GO: "✓", Verdict.NO_GO: "✕", Verdict.INCOMPLETE: "!"}
# A report asks nobody for anything: no script runs, nothing is loaded, no form is sent.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a report is incomplete. `where` are the frames of the traceback: file, line and function, no values."""

    title: str
    text: str
    where: tuple[str, ...] = ()


def banner(verdict: Verdict, headline: str, reasons: Sequence[str] = ()) -> str:
    """The verdict as the first thing to see, with its reasons beneath."""
    listed = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    reasons_html = f'<ul class="reasons">{listed}</ul>' if listed else ""
    return (
        f'<div class="verdict {_KIND[verdict]}" role="status"><b>{_SIGN[verdict]} {verdict.value}</b>'
        f"<span>{escape(headline)}</span></div>{reasons_html}"
    )


def page(
    *,
    title: str,
    where: str,
    verdict: Verdict,
    headline: str,
    reasons: Sequence[str],
    body: str,
    facts: Mapping[str, str],
    failure: Failure | None = None,
) -> str:
    """The whole document. `body` is finished HTML; everything else is text and is escaped here.

    `where` says book, session and environment, `facts` what the report was made from.
    """
    failed = failure_block(failure) if failure is not None else ""
    return sheet(
        title=title,
        where=where,
        body=f"{banner(verdict, headline, reasons)}\n{failed}{body}",
        facts=facts,
        name=f"{verdict.value} · {title} · {where}",
    )


def sheet(*, title: str, where: str, body: str, facts: Mapping[str, str], name: str = "") -> str:
    """A whole document without a verdict; `name` is what a browser's tab calls it."""
    listed = "".join(f"<dt>{escape(fact)}</dt><dd>{escape(value)}</dd>" for fact, value in facts.items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<link rel="icon" href="data:,"><title>{escape(name or f"{title} · {where}")}</title>'
        f"<style>{CSS}</style></head>\n"
        f'<body style="margin:0"><main class="qm"><header><h1>{escape(title)}</h1>'
        f'<span class="where">{escape(where)}</span></header>\n'
        f"{body}\n"
        f"<footer><dl>{listed}</dl></footer></main></body></html>\n"
    )


def failure_block(failure: Failure) -> str:
    """What went wrong while the report was made, told without values."""
    frames = "\n".join(failure.where)
    trace = f"<pre>{escape(frames)}</pre>" if frames else ""
    return (
        f'<section class="failure"><h2>{escape(failure.title)}</h2><p>{escape(failure.text)}</p>{trace}'
        "<p class='muted'>What follows is as far as it got. An incomplete report counts as NO-GO.</p></section>"
    )
