"""`daglab stop`: end what `daglab dev` has started."""

from __future__ import annotations

import click

from daglab import events, output, scales
from daglab.dev import entrance, record
from daglab.settings import config


@click.command(name="stop")
@output.json_option
def command(as_json: bool) -> None:
    """End the `daglab dev` of this project, from any of its folders.

    Runs under way are cancelled. What a killed `daglab dev` has left behind is ended, too. Nothing to end is no error.

    \b
    Example:
      daglab stop
    """
    root = record.find(config.current_directory())
    with events.recording(root, "stop") as event:
        mark = record.stop(root)
        left = []
        if mark and record.remove(root, mark):  # where it had to be killed; a later one's record and page stay
            entrance.close(root)
        elif not mark and record.read(root):
            with record.held(root):
                left = record.clear_up(root)
                entrance.close(root)
        event.detail.update(stopped=mark is not None, left_behind=len(left))
        if as_json:
            output.document({"ok": True, "stopped": mark is not None, "left_behind": left})
        elif mark:
            output.data("Stopped: nothing is left running.")
        elif left:
            output.data(f"A killed one had left {scales.counted(len(left), 'process', 'processes')} behind, now ended.")
        else:
            output.data("Nothing was running.")
