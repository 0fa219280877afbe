"""From a Jupyter notebook to the cells of marimo's, stage by stage."""

from __future__ import annotations

from daglab.migrating import cells, dagstermill, imports, order, tags, texts
from daglab.migrating.displaying import displays
from daglab.migrating.magic import installs, magics
from daglab.migrating.naming import futures, names, stars

# In this order: what is Python after the magics is looked at by those below.
STAGES: tuple[cells.Stage, ...] = (
    order.apply,
    magics.apply,
    texts.keep,
    futures.apply,
    displays.apply,
    dagstermill.apply,
    tags.apply,
    stars.apply,
    names.apply,
    texts.keep,
    installs.complete,  # of what is still imported
    texts.show,
    imports.settle,
)


def draft(original: cells.Jupyter) -> cells.Draft:
    """All that daglab does by itself to a notebook; nothing of it is executed."""
    made = texts.begin(original)
    for stage in STAGES:
        made = stage(made)
    return made
