"""`daglab dashboard`: the project's own page, served on loopback or written to a file."""

from __future__ import annotations

import functools
import os
import threading
import webbrowser
from pathlib import Path

import click

from daglab import errors, events, files, output
from daglab.dashboard import board, routes, server
from daglab.settings import config

FILE_PATIENCE = 30.0  # seconds for what a file is to show


def serve(settings: config.Config, port: int, *, opens: bool, as_json: bool) -> None:
    """Serve the page until a signal ends it."""
    what = board.make(settings)
    with server.make(port, functools.partial(routes.answer, what)) as serving:
        url = f"http://{server.HOST}:{serving.server_port}"
        thread = threading.Thread(target=serving.serve_forever, args=(0.1,), daemon=True)
        thread.start()
        board.document(what, 0.0)  # so that it is known when the first page is asked for
        try:
            _tell(settings, url, serving.server_port, as_json=as_json)
            if opens:
                threading.Thread(target=_open, args=(f"{url}/",), daemon=True).start()
            while thread.is_alive():
                thread.join(1.0)
        finally:
            serving.shutdown()


def _tell(settings: config.Config, url: str, port: int, *, as_json: bool) -> None:
    if as_json:
        output.document({"ok": True, "url": url, "port": port, "pid": os.getpid(), "project": str(settings.root)})
    else:
        output.data(f"{url}/")
        output.note("Ctrl-C ends it. Nobody is asked who they are: other users of this machine can see it, too.")
    output.flush()
    if port != settings.dashboard.port and not settings.export.base_url:
        output.note(f"Links to exports lead to port {settings.dashboard.port} (dashboard.port), and this is {port}.")


def _open(address: str) -> None:
    try:
        if not webbrowser.open(address):
            raise webbrowser.Error("it did not start")
    except (webbrowser.Error, OSError) as error:
        output.note(f"{address} could not be opened in a browser: {error}.")


def write(settings: config.Config, path: Path) -> int:
    """Write the page as one file that needs nothing else; its bytes."""
    page = routes.whole(board.make(settings), FILE_PATIENCE, served=False).encode("utf-8", "replace")
    files.write_atomic(path, page)
    return len(page)


@click.command(name="dashboard")
@click.option("--port", type=click.IntRange(1, 65535), help="The port to listen on.  [default: dashboard.port, 3030]")
@click.option("--open", "opens", is_flag=True, help="Open the page in a browser.")
@click.option(
    "--output",
    "target",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the page as it is now to one HTML file, and serve nothing.",
)
@output.connection_options
@output.json_option
def command(port: int | None, opens: bool, target: Path | None, as_json: bool) -> None:
    """Serve a page that shows how things stand.

    It has health, figures, charts, a timeline, usage, exports and runs in flight, at http://127.0.0.1:3030/, and is
    made anew every few seconds; /health, /metrics and /api/snapshot are for programs. Exports are served where links
    to them lead. It listens on loopback alone, changes nothing, and ends with Ctrl-C.

    \b
    Examples:
      daglab dashboard --open
      daglab dashboard --output /srv/www/shop.html
      daglab dashboard --port 8030 --json
    """
    settings = config.load(output.flags())
    if target is None:
        try:
            serve(settings, port or settings.dashboard.port, opens=opens, as_json=as_json)
        except (KeyboardInterrupt, errors.Terminated) as stop:
            raise click.exceptions.Exit(errors.stop_code(stop)) from None
        return
    if port or opens:
        raise errors.WrongUsage("--output writes a file, and nothing is served.", "Leave out --port and --open.")
    settings.refuse_own(target)
    if files.is_special(target):
        raise errors.InvalidInput(f"{target} is not an ordinary file.", "Name a file that may be replaced.")
    with events.recording(settings.root, "dashboard") as event:
        event.target = str(target)
        event.bytes = write(settings, target)
    if as_json:
        output.document({"ok": True, "output": str(target.absolute()), "bytes": event.bytes})
    else:
        output.data(str(target))
