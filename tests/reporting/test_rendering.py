"""From notebook to page: code hidden, scripts left out, failures told without values or secrets."""

from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from qmworkbench.reporting.rendering import body_of, failure_of, frames_of, scrubbed
from qmworkbench.service.redaction import Redactor

SECRET = "hunter2hunter2"
REDACTOR = Redactor([SECRET])
OURS = "/srv/app/qmworkbench/analytics/trades.py:42"
TRACEBACK = [
    "\x1b[31m----------\x1b[39m",
    "\x1b[31mKeyError\x1b[39m      Traceback (most recent call last)",
    f"\x1b[36mCell\x1b[39m\x1b[36m \x1b[39m\x1b[32mIn[4]\x1b[39m\x1b[32m, line 1\x1b[39m\n----> 1 x = look({SECRET!r})",
    f"\x1b[36mFile \x1b[39m\x1b[32m{OURS}\x1b[39m, in \x1b[36mlook\x1b[39m(key='{SECRET}')",
    "     41 def look(key):\n---> 42     return {}[key]",
    "\x1b[36mFile \x1b[39m\x1b[32m/usr/lib/python3/site-packages/polars/frame.py:7\x1b[39m, in \x1b[36mget\x1b[39m(x)",
    f"\x1b[31mKeyError\x1b[39m: '{SECRET}'",
]


def notebook(*cells: Any) -> Any:
    return new_notebook(cells=list(cells))


def code(source: str = "x = 1", *outputs: Any, tags: tuple[str, ...] = ()) -> Any:
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def shown(data: dict[str, str]) -> str:
    return body_of(notebook(code("x", new_output("display_data", data=data))), REDACTOR)


def test_markdown_and_results_are_shown_and_code_is_not() -> None:
    body = body_of(
        notebook(
            new_markdown_cell("# Title\n\nWhat *this* is <b>bold</b>."),
            code("secret_code = 1", new_output("execute_result", data={"text/html": "<table></table>"})),
            code("book_dir = 'x'", tags=("parameters",)),
            code("book_dir = 'y'", new_output("stream", text="hello"), tags=("injected-parameters",)),
        ),
        REDACTOR,
    )
    assert "<em>this</em>" in body
    assert "&lt;b&gt;" in body
    assert "<table></table>" in body
    assert not any(word in body for word in ("Title", "secret_code", "book_dir", "hello"))


def test_the_richest_form_without_a_script_is_shown() -> None:
    assert shown({"text/html": "<script>alert(1)</script>", "text/plain": "42"}) == "<pre>42</pre>"
    assert shown({"text/html": "a<script src='x'>1</script >b"}) == "ab"
    assert (
        shown({"image/svg+xml": "<?xml?><svg><path/></svg>", "text/plain": "fig"})
        == "<figure><svg><path/></svg></figure>"
    )
    assert 'src="data:image/png;base64,iVBO"' in shown({"image/png": "iVBO\n"})
    assert shown({"application/javascript": "alert(1)", "text/plain": "js"}) == ""
    assert "<h2>x</h2>" in shown({"text/markdown": "## x"})


def test_what_was_printed_is_shown_without_secrets_and_errors_are_not() -> None:
    body = body_of(
        notebook(
            code("print()", new_output("stream", name="stdout", text=f"token={SECRET} <b>")),
            code("warn()", new_output("stream", name="stderr", text="a warning with values")),
            code("1/0", new_output("error", ename="E", evalue="v", traceback=TRACEBACK)),
        ),
        REDACTOR,
    )
    assert SECRET not in body
    assert "&lt;b&gt;" in body
    assert "warning" not in body
    assert "Traceback" not in body


def test_a_failure_says_where_and_never_with_what() -> None:
    nb = notebook(code(), code("x", new_output("error", ename="KeyError", evalue=f"'{SECRET}'", traceback=TRACEBACK)))
    failure = failure_of(nb, REDACTOR)
    assert failure is not None
    assert failure.where == ("cell 4, line 1", "qmworkbench/analytics/trades.py:42 in look", "polars/frame.py:7 in get")
    assert "KeyError" in failure.text
    assert "Cell 2" in failure.text
    assert SECRET not in str(failure)
    assert "srv" not in str(failure)
    assert failure_of(notebook(code()), REDACTOR) is None


def test_our_own_refusals_are_told_in_full_but_for_secrets() -> None:
    said = f"b has no session 'x'; it has main-2018-03-02 (password: {SECRET})"
    nb = notebook(code("x", new_output("error", ename="StoreMissing", evalue=said, traceback=[])))
    failure = failure_of(nb, REDACTOR)
    assert failure is not None
    assert "it has main-2018-03-02" in failure.text
    assert SECRET not in failure.text


def test_an_early_exit_is_called_one() -> None:
    nb = notebook(code("x", new_output("error", ename="SystemExit", evalue="0", traceback=[])))
    failure = failure_of(nb, REDACTOR)
    assert failure is not None
    assert "early exit" in failure.text


def test_what_is_kept_of_a_notebook_holds_no_source_lines_of_errors() -> None:
    nb = notebook(
        code("x", new_output("error", ename="KeyError", evalue=f"'{SECRET}'", traceback=TRACEBACK)),
        code("y", new_output("stream", text=f"Authorization: Bearer {SECRET}")),
    )
    kept = nbformat.writes(scrubbed(nb, REDACTOR))
    assert SECRET not in kept
    assert "return {}[key]" not in kept
    assert frames_of([]) == []
