"""Exports of notebooks as HTML.

The HTML comes from `marimo export html` in a process of the project's own Python. What is said of marimo here
was seen in 0.22 to 0.25.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shlex
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from daglab import errors, files, notebooks, parse, processes
from daglab.exporting import export_parameters, exporters
from daglab.settings import config

NOTEBOOK_SUFFIXES = (".py", ".md", ".qmd")  # the ones that marimo takes
TAIL_LINES = 6
TEMPORARY = ".daglab-"
VARIABLE = "DAGLAB_EXPORT"  # a notebook that is exported finds it set
NO_MARIMO = re.compile(r": No module named marimo(\.__main__\b.*)?$")


@dataclass(frozen=True)
class Export:
    """An HTML that stands at `output`. Both paths are absolute, `exported_at` is in UTC, `id` is its own for ever.

    `parameters` are what the notebook was given, stars in place of secrets; `content_sha256` stands for what it shows,
    `results` are the values that it declares, `interactive` says how the page comes alive ("cdn", "none").
    `failed` holds the cells that failed, the root of it first; it is empty when the notebook is good.
    """

    id: str
    notebook: Path
    output: Path
    seconds: float
    bytes: int
    sha256: str
    exported_at: datetime
    failed: tuple[notebooks.FailedCell, ...]
    notebook_sha256: str = ""
    marimo_version: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    content_sha256: str = ""
    results: Mapping[str, Any] = field(default_factory=dict)
    interactive: str = "cdn"


def export_html(
    notebook: Path,
    output: Path,
    *,
    python: Sequence[str],
    arguments: Sequence[str] = (),
    timeout: float | None,
    exporter: exporters.Exporter | None = None,
    compress: bool = False,
    interactive: str = "cdn",
) -> Export:
    """Run a notebook with the marimo of `python`, and put the HTML at `output`, missing folders included.

    `python` is a program and its flags, `arguments` are for the notebook (`mo.cli_args()`), `timeout` is in seconds.
    `exporter` has imported marimo already, with that Python; without one it is started with this process's environment.
    The file shows its content without marimo's own page, which takes over where it can be loaded ("cdn"), or never does
    ("none"). With `compress` it is written with gzip, always the same bytes for the same page; size and hash are of
    what is written.
    The HTML of a notebook with failed cells is kept too. Whatever else goes wrong, an older `output` stays
    as it was. Dependencies that the notebook names in a PEP 723 header are not installed.

    Give a timeout: marimo waits for ever when a cell asks for `input()` or ends its process (`os._exit`, the system out
    of memory); an exporter ends with that process, but for the exit code 0. marimo also writes
    `__marimo__/session/<notebook>.json` beside the notebook; where marimo was imported already, it does not for a
    notebook with arguments, since several of these may run at a time.

    Raises InvalidInput for a notebook or output that can't be one, NotSetUp when there is no such notebook or
    Python, or it has no usable marimo, TimedOut, and NotGood when marimo itself fails, with the last lines it printed.
    """
    notebook, output = notebook.absolute(), output.absolute()
    check_notebook(notebook)
    _check_output(output, notebook)
    notebook_sha256 = hashlib.sha256(notebook.read_bytes()).hexdigest()  # before it runs: it may change itself
    with _temporary(output) as page:
        words = _words(notebook, page, arguments)
        if exporter is None:
            command = [*python, "-m", "marimo", *words]
            finished = processes.run(command, timeout=timeout, env={**os.environ, VARIABLE: "1"})
        else:
            finished = exporters.run(exporter, words, timeout, side_file=not arguments)
        if finished.timed_out:
            raise _timed_out(notebook, timeout)
        html = page.read_text(encoding="utf-8", errors="replace") if page.exists() else ""
        failed = _failed(notebook, python[0], finished, html)
        content = _readable(html, interactive, compress=compress)
        _put(page, content, output)
    return Export(
        id=os.urandom(16).hex(),
        notebook=notebook,
        output=output,
        seconds=finished.seconds,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        exported_at=datetime.now(timezone.utc),
        failed=failed,
        notebook_sha256=notebook_sha256,
        marimo_version=notebooks.marimo_version(html),
        parameters=export_parameters.recorded(export_parameters.seen(arguments)),
        interactive=interactive,
        **_told(html),
    )


def _readable(html: str, interactive: str, *, compress: bool) -> bytes:
    """The file that shows its content anywhere."""
    from daglab.page import writing

    content = writing.readable(html, interactive=interactive).encode("utf-8", "replace")
    if not compress:
        return content
    import gzip

    return gzip.compress(content, mtime=0)


def _told(html: str) -> dict[str, Any]:
    """What the notebook says in its page: what it shows, and the values that it declares."""
    from daglab.page import content, results

    return {"content_sha256": content.digest(html), "results": results.declared(html)}


def document(export: Export) -> dict[str, Any]:
    """The export as a JSON document: sizes in bytes, durations in seconds, times as ISO 8601 with the zone."""
    return {
        "id": export.id,
        "notebook": str(export.notebook),
        "output": str(export.output),
        "ok": not export.failed,
        "exported_at": export.exported_at.isoformat(),
        "seconds": round(export.seconds, 3),
        "bytes": export.bytes,
        "sha256": export.sha256,
        "notebook_sha256": export.notebook_sha256,
        "marimo_version": export.marimo_version,
        "parameters": dict(export.parameters),
        "content_sha256": export.content_sha256,
        "interactive": export.interactive,
        "results": dict(export.results),
        "failed": [
            {
                "cell": cell.index,
                "name": cell.name,
                "error": cell.error,
                "traceback": cell.traceback,
                "caused_by_ancestor": cell.caused_by_ancestor,
            }
            for cell in export.failed
        ],
    }


def with_suffix(output: Path, *, compress: bool) -> Path:
    """The name of an export that is compressed ends in .gz."""
    return output.with_name(f"{output.name}.gz") if compress and output.suffix != ".gz" else output


def default_output(settings: config.Config, notebook: Path) -> Path:
    """Where an export goes that nobody named a place for; no two notebooks get the same.

    Below exports/, as the notebook lies in the notebooks folder; from elsewhere in the project below
    exports/project/, and from outside below exports/elsewhere/. Raises InvalidInput where that leads out of the
    project, through a symbolic link.
    """
    if place := files.inside(settings.root / settings.notebooks_dir, notebook):
        place = Path(place)
    elif place := files.inside(settings.root, notebook):
        place = Path("project", place)
    else:
        mark = hashlib.sha256(os.fsencode(notebook.absolute())).hexdigest()[:8]
        place = Path("elsewhere", f"{notebook.stem}-{mark}{notebook.suffix}")
    name = place.stem if place.suffix == ".py" else place.name
    output = settings.root / "exports" / place.with_name(f"{name}.html")
    if files.inside(settings.root, output) is None:
        raise errors.InvalidInput(f"{output} leads out of the project.", "Name the place with --output FILE.")
    return output


def link(settings: config.Config, output: Path) -> str | None:
    """The address of an export: the project's folder is served at export.base_url, else by its dashboard.

    None for a file outside of the project, which has no address.
    """
    path = files.inside(settings.root, output)
    if path is None:
        return None
    base = settings.export.base_url or f"http://127.0.0.1:{settings.dashboard.port}"
    return f"{parse.base_url(base)}/{quote(path.as_posix())}"


def check_notebook(notebook: Path) -> None:
    """Raise NotSetUp for a notebook that is not there, InvalidInput for what can't be one.

    marimo would make a traceback of each of these.
    """
    if not os.path.exists(notebook):  # unlike Path.exists, it never raises
        raise errors.NotSetUp(
            f"There is no notebook {notebook}.", "Check the path; `daglab scaffold` writes a new one."
        )
    if notebook.suffix not in NOTEBOOK_SUFFIXES:
        raise errors.InvalidInput(
            f"{notebook} is not a marimo notebook: its name ends in none of {', '.join(NOTEBOOK_SUFFIXES)}.",
            f"`daglab migrate {_quoted(notebook)}` makes one from a Jupyter notebook."
            if notebook.suffix == ".ipynb"
            else "Name a marimo notebook; `daglab migrate NOTEBOOK.ipynb` makes one from a Jupyter notebook.",
        )
    if not os.path.isfile(notebook) or not os.access(notebook, os.R_OK):
        raise errors.InvalidInput(f"{notebook} can't be read as a file.", f"Look at it: ls -ld {_quoted(notebook)}")


def _check_output(output: Path, notebook: Path) -> None:
    hint = "Name an .html file for the export."
    there = os.path.exists(output)
    if _target(output) == _target(notebook) or (there and output.samefile(notebook)):
        raise errors.InvalidInput(f"The export would overwrite the notebook {notebook}.", hint)
    if os.path.isdir(output):
        raise errors.InvalidInput(f"{output} is a folder.", hint)
    if files.is_special(output):
        raise errors.InvalidInput(f"{output} is not an ordinary file.", hint)


@contextlib.contextmanager
def _temporary(output: Path) -> Iterator[Path]:
    """An empty file beside the output; it shows that the folder can be written before a notebook runs for hours."""
    target = _target(output)
    page = target.with_name(f"{TEMPORARY}{os.getpid()}-{os.urandom(8).hex()}.html")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear_up(target.parent)
        with contextlib.suppress(FileNotFoundError):
            target.stat()  # a name that is too long would show up at the end only
        page.touch(exist_ok=False)
    except OSError as error:
        reason = "its folder is a file" if isinstance(error, FileExistsError) else error.strerror
        raise errors.InvalidInput(
            f"{output} can't be written: {reason}.", "Choose a folder that you may write to."
        ) from error
    try:
        yield page
    finally:
        page.unlink(missing_ok=True)


def _clear_up(folder: Path) -> None:
    """Remove what exports that were killed have left here: their names hold the id of a process that is gone."""
    for left in folder.glob(f"{TEMPORARY}*.html"):
        pid = left.name.removeprefix(TEMPORARY).partition("-")[0]
        try:
            os.kill(int(pid), 0)
        except (ProcessLookupError, OverflowError):
            left.unlink(missing_ok=True)
        except (ValueError, PermissionError):
            continue  # not ours, or somebody's who is still at it


def _target(output: Path) -> Path:
    """Where a path leads: a symbolic link stays, its target is replaced."""
    return Path(os.path.realpath(output))


def _words(notebook: Path, page: Path, arguments: Sequence[str]) -> list[str]:
    """Absolute paths, for a name may start with a dash; without `--no-sandbox` a PEP 723 header may prompt."""
    return ["export", "html", str(notebook), "-o", str(page), "-f", "--no-sandbox", "--", *arguments]


def _put(page: Path, content: bytes, output: Path) -> None:
    target = _target(output)
    try:
        with page.open("wb") as file:
            file.write(content)
            file.flush()
            if target.exists():
                os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
            os.fsync(file.fileno())
        os.replace(page, target)
    except OSError as error:
        raise errors.InvalidInput(
            f"{output} can't be written: {error.strerror}.", "Choose another file for the export, or make room."
        ) from error


def _failed(notebook: Path, python: str, finished: processes.Finished, page: str) -> tuple[notebooks.FailedCell, ...]:
    """The failed cells; raises when marimo did not do its part. Its exit code 1 may mean either."""
    try:
        failed = tuple(notebooks.failed_cells(page)) if page else ()
    except errors.InvalidInput:
        if finished.returncode == 0:
            raise
        failed = ()
    if not page or (finished.returncode != 0 and not failed):
        raise _crashed(notebook, python, finished)
    if not failed and "is not a valid marimo notebook" in finished.stderr and not notebooks.has_code(page):
        # marimo exports an empty page with exit code 0 in place of a file that it can't make sense of.
        raise _not_a_notebook(notebook, python)
    return failed


def _crashed(notebook: Path, python: str, finished: processes.Finished) -> errors.DaglabError:
    lines = parse.without_colours(finished.stderr).strip().splitlines()
    last = lines[-1] if lines else ""
    if "NonMarimoPythonScriptError" in last:
        return _not_a_notebook(notebook, python)
    install = f"Install it: {_quoted(python)} -m pip install --upgrade marimo"
    if found := NO_MARIMO.search(last):
        hidden = "A file or folder named marimo in this directory hides the package: rename it."
        return errors.NotSetUp(f"{python} has no marimo.", hidden if found[1] else install)
    if finished.returncode == 2:  # click's code for wrong usage
        usage = next((line for line in lines if "No such" in line), last)
        return errors.NotSetUp(f"The marimo of {python} is too old: {usage}", install)
    if last.startswith(f"OSError: [Errno {errno.ENOSPC}]"):
        return errors.InvalidInput(f"marimo could not write the HTML of {notebook}: the disk is full.", "Make room.")
    how = f"exit code {finished.returncode}" if finished.returncode >= 0 else f"signal {-finished.returncode}"
    tail = "\n".join(["", *lines[-TAIL_LINES:]]) or " It printed nothing."
    return errors.NotGood(
        f"marimo could not export {notebook} ({how}).{tail}",
        f"See what it says of the file: {_quoted(python)} -m marimo check {_quoted(notebook)}",
    )


def _not_a_notebook(notebook: Path, python: str) -> errors.InvalidInput:
    new = notebook.with_name(f"{notebook.stem}_marimo.py")
    return errors.InvalidInput(
        f"{notebook} is not a marimo notebook.",
        f"Make one from a script: {_quoted(python)} -m marimo convert {_quoted(notebook)} -o {_quoted(new)}",
    )


def _timed_out(notebook: Path, timeout: float | None) -> errors.TimedOut:
    return errors.TimedOut(
        f"{notebook} was still running after {timeout or 0:g} s; it was stopped, and nothing was exported.",
        "Give it longer with --timeout SECONDS, or look for a cell that waits: input(), a lock, an endless loop.",
    )


def _quoted(path: object) -> str:
    return shlex.quote(str(path))
