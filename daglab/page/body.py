"""A notebook as static HTML: every cell a section with its code, its outputs, its console and its errors."""

from __future__ import annotations

from collections.abc import Iterator

from daglab.page import console, harmless, outputs, source
from daglab.page.notebook import Cell, Error, Notebook

KINDS = {
    "syntax": "Syntax error",
    "multiple-defs": "Defined more than once",
    "cycle": "Cells that depend on each other",
    "interruption": "Interrupted",
    "ancestor-prevented": "Not run",
    "ancestor-stopped": "Not run",
    "exception": "Error",
}


def render(notebook: Notebook) -> str:
    """The cells as HTML, to stand inside of `<main>`: sections of the class `cell`, with ids `cell-1` and so on.

    Nothing around it may be an element that an output may hold (`div`, `p`, `span`, `table`, ...): an HTML parser could
    take an output's end tag for its. `html`, `body`, `main`, `section`, `article` are never in an output.
    """
    return "\n".join(_cell(cell, notebook) for cell in notebook.cells)


def _cell(cell: Cell, notebook: Notebook) -> str:
    label = harmless.text(cell.label[:1].upper() + cell.label[1:])
    parts = [
        *(_code(cell, label) if cell.code.strip() and notebook.shows_code else ()),
        *_outputs(cell),
        *(_traceback(text) for text in cell.tracebacks),
        *_console(cell),
    ]
    kind = "cell" if any(parts) else "cell empty"
    return "\n".join([f'<section class="{kind}" id="cell-{cell.index}" aria-label="{label}">', *parts, "</section>"])


def _code(cell: Cell, label: str) -> Iterator[str]:
    kind = "code hidden" if cell.hidden else "code"  # what the notebook hides is not printed either
    yield f'<details class="{kind}"><summary>Code of {label[:1].lower()}{label[1:]}</summary>'
    yield f'<pre class="source"><code>{source.highlighted(cell.code)}</code></pre></details>'


def _outputs(cell: Cell) -> Iterator[str]:
    for number, forms in enumerate(cell.outputs):
        shown = harmless.html(outputs.nodes(forms), f"c{cell.index}-{number}-" if number else f"c{cell.index}-")
        if shown.strip():
            yield f'<section class="output">{shown}</section>'
    for error in cell.errors:
        yield _error(error)


def _error(error: Error) -> str:
    kind = harmless.text(KINDS.get(error.kind, error.kind) or "Error")
    state = "stopped" if error.kind.startswith("ancestor") else "error"
    message = harmless.text(error.message[: outputs.LONGEST_TEXT].strip())
    return f'<section class="output {state}"><p><strong>{kind}</strong></p><pre class="text">{message}</pre></section>'


def _traceback(text: str) -> str:
    return (
        f'<section class="traceback"><pre class="text">{harmless.text(text[-outputs.LONGEST_TEXT :])}</pre></section>'
    )


def _console(cell: Cell) -> Iterator[str]:
    shown = harmless.html(console.nodes(cell.console), f"c{cell.index}-console-")
    if shown:
        yield f'<section class="printed">{shown}</section>'
