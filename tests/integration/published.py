"""What `daglab export` does with a notebook that has run, as a process that can be killed at a point of its choice.

Usage: python published.py FOLDER POINT OPTIONS-AS-JSON. The process kills itself (SIGKILL) at the point: `after put`
when that function has given back, `before record` when it is called. The hooks are laid over the product's functions
here, the product knows nothing of them. "Running the notebook" is writing an HTML, and a letter into the file `ran`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from daglab import errors, json_lines, parse, web
from daglab.attaching import asset_checks, attach, reports
from daglab.deployment import dagster_api
from daglab.exported import export_record
from daglab.exporting import exports, publishing, uploads
from daglab.settings import config
from daglab.storage import places

POINTS: dict[str, tuple[Any, str]] = {
    "put": (uploads, "put"),
    "signed": (uploads, "signed"),
    "sent": (reports, "by_rest"),
    "attach": (attach, "attach"),
    "told": (asset_checks, "report"),
    "append": (export_record, "append"),
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hook(point: str) -> None:
    """`after put`, `before append`; `intend upload` is when that intent is on record."""
    when, _, what = point.partition(" ")
    if not when:
        return
    module, name = (export_record, "intend") if when == "intend" else POINTS[what]
    real: Callable[..., Any] = getattr(module, name)

    def killing(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            die()
        done = real(*args, **kwargs)
        if when == "after" or args[2] == what:
            die()
        return done

    setattr(module, name, killing)


def break_something(what: str) -> None:
    """Between the checks and the first step: what was there is not there any more."""
    kind, _, path = what.partition(" ")
    if kind == "credentials":
        os.environ["AWS_SECRET_ACCESS_KEY"] = "another"
    if kind == "network":
        os.environ["AWS_ENDPOINT_URL"] = path
    if kind == "bucket":
        shutil.rmtree(path)
    if kind == "disk":

        def full(*_: Any, **__: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        setattr(json_lines, "append", full)  # noqa: B010 (mypy knows that a function is not to be replaced)
    if kind == "dagster":
        real = web.send

        def gone(*args: Any, **kwargs: Any) -> Any:
            if "report_asset" in args[2]:
                raise errors.Unreachable("The connection was refused.", "Start it.")
            return real(*args, **kwargs)

        setattr(web, "send", gone)  # noqa: B010


def run_notebook(folder: Path, text: str) -> exports.Export:
    """As `exports.export_html` leaves it."""
    with (folder / "ran").open("a") as file:
        file.write("x")
    notebook, html = folder / "nb.py", folder / "exports" / "nb.html"
    html.parent.mkdir(exist_ok=True)
    html.write_text(text)
    return exports.Export(
        id=os.urandom(16).hex(),
        notebook=notebook,
        output=html,
        seconds=1.0,
        bytes=len(html.read_bytes()),
        sha256=hashlib.sha256(html.read_bytes()).hexdigest(),
        exported_at=datetime.now(timezone.utc),
        failed=(),
        notebook_sha256=hashlib.sha256(notebook.read_bytes()).hexdigest(),
    )


def main() -> int:
    """Print the result as `daglab export --json` does; the exit code is the error's."""
    folder, point, options = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    settings = config.load({"dagster.url": options["url"]}, directory=folder)
    wish = publishing.Wish(
        aims=tuple(parse.attach_target(text) for text in options["attach"]),
        via=options.get("via", "rest"),
        python=sys.executable,
        place=places.parse(options["upload"]) if options.get("upload") else None,
        sign=options.get("sign"),
        check=options.get("check"),
    )
    try:
        wish = publishing.prepared(settings, wish, dagster_api.connect(settings))
        left = publishing.unfinished(settings, folder / "nb.py", folder / "exports" / "nb.html", {}, wish)
        hook(point)
        export = left or run_notebook(folder, options.get("html", "<p>the same</p>"))
        if not left:
            publishing.stand_by(settings, export, wish, None)
        break_something(options.get("break", ""))
        result: Any = publishing.publish(settings, export, wish)
    except errors.DaglabError as error:
        print(json.dumps({**(error.result or {}), "ok": False, "error": error.document()}))
        return error.exit_code
    print(json.dumps({**result, "taken_up": left is not None}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
