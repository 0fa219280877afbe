"""IPython's magics that are no code afterwards: dropped, shown, or kept as text, and what is said of each."""

from __future__ import annotations

import re

from daglab.migrating import cells
from daglab.migrating.magic import expansion, rewrites

# Nothing of these is left; the cell's result is the same without.
DROPPED = {
    "alias_magic": "",
    "autoawait": "marimo awaits at the top of a cell by itself",
    "autocall": "",
    "automagic": "",
    "autosave": "marimo has a setting of its own, `save.autosave`",
    "autoreload": "marimo has a setting of its own, `runtime.auto_reload`",
    "aimport": "marimo has a setting of its own, `runtime.auto_reload`",
    "clear": "",
    "cls": "",
    "colors": "",
    "config": "",
    "connect_info": "",
    "debug": "marimo shows tracebacks by itself, and `marimo edit` has a debugger",
    "dhist": "",
    "doctest_mode": "",
    "gui": "",
    "hist": "",
    "history": "",
    "killbgscripts": "",
    "load_ext": "",
    "logoff": "",
    "logon": "",
    "logstart": "",
    "logstate": "",
    "logstop": "",
    "lsmagic": "",
    "magic": "",
    "matplotlib": "marimo shows figures by itself",
    "notebook": "",
    "page": "",
    "pastebin": "",
    "pdb": "",
    "pdef": "",
    "pdoc": "",
    "pfile": "",
    "pinfo": "",
    "pinfo2": "",
    "pprint": "",
    "profile": "",
    "psearch": "",
    "psource": "",
    "pycat": "",
    "qtconsole": "",
    "quickref": "",
    "rehashx": "",
    "reload_ext": "",
    "tb": "",
    "unload_ext": "",
    "who": "marimo has a panel for the variables",
    "whos": "marimo has a panel for the variables",
    "watermark": "",
    "xmode": "",
}
# Nothing of these is left, and the result may not be the same.
MISSED = {
    "precision": "numbers are shown with all their digits",
    "reset": "names are not taken away; marimo has each of them once",
    "reset_selective": "names are not taken away; marimo has each of them once",
    "subshell": "there are no subshells",
}
# Kept as text, with the reason.
KEPT = {
    "alias": "aliases of commands have no counterpart",
    "bookmark": "bookmarks of folders have no counterpart",
    "dirs": "IPython's stack of folders has no counterpart",
    "ed": "it opens an editor",
    "edit": "it opens an editor",
    "load": "it asks for a file's text in its place",
    "loadpy": "it asks for a file's text in its place",
    "macro": "macros have no counterpart",
    "popd": "IPython's stack of folders has no counterpart",
    "pushd": "IPython's stack of folders has no counterpart",
    "recall": "IPython's history has no counterpart",
    "rep": "IPython's history has no counterpart",
    "rerun": "IPython's history has no counterpart",
    "save": "IPython's history has no counterpart",
    "store": "IPython's own store of variables has no counterpart",
    "tensorboard": "it needs Jupyter's own page",
    "unalias": "aliases of commands have no counterpart",
    "who_ls": "the list of names has no counterpart",
}
# Holoviews' options for what is shown: only the looks change without them. A comment keeps what they said.
LOOKS = ("opts", "output")
# Cells in other languages.
LANGUAGES = {
    "R": "R",
    "ai": "a prompt",
    "cpp": "C++",
    "cu": "CUDA",
    "cuda": "CUDA",
    "cython": "Cython",
    "fortran": "Fortran",
    "javascript": "JavaScript",
    "js": "JavaScript",
    "julia": "Julia",
    "kql": "KQL",
    "mermaid": "Mermaid",
    "octave": "Octave",
    "pyspark": "Spark's Python",
    "q": "q",
    "rust": "Rust",
    "scala": "Scala",
    "spark": "Spark",
    "stata": "Stata",
    "typescript": "TypeScript",
}


_LOOKING = re.compile(r"\b(?:holoviews|geoviews|hvplot)\b")
_PYLAB = ("import numpy", "import numpy as np", "import matplotlib", "from matplotlib import pylab, mlab, pyplot")
_PYLAB_STARS = ("from matplotlib.pylab import *", "from numpy import *")


def pylab(arguments: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`%pylab`: the imports that it makes."""
    stars = () if "--no-import-all" in arguments else _PYLAB_STARS
    lines = (*_PYLAB, "from matplotlib import pyplot as plt", *stars)
    return rewrites.Rewrite(lines, notes=(setting.note("magic", "`%pylab` is the imports that it makes."),))


def line(name: str, arguments: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """Magics that become no code: dropped, or kept as text."""
    if name in DROPPED:
        said = DROPPED[name]
        still = name == "matplotlib" and any(word in arguments for word in ("notebook", "widget", "ipympl", "nbagg"))
        said = "figures stand still; `mo.mpl.interactive(figure)` makes one interactive" if still else said
        text = f"Dropped `%{name}`{f': {said}' if said else ''}."
        return rewrites.dropped(setting.note("magic", text, needs_person=still))
    if name in MISSED:
        text = f"Dropped `%{name}`: {MISSED[name]}."
        return rewrites.dropped(setting.note("magic", text, needs_person=True))
    if name in KEPT:
        return rewrites.kept(f"`%{name}`: {KEPT[name]}")
    if name in LOOKS and has_looks(setting):
        return rewrites.Rewrite((commented(f"%{name} {arguments}"),), notes=(_unlike(f"%{name}", setting),))
    if name.startswith("%"):
        return rewrites.kept(f"`%{_brief(name)}` is none where it stands: a cell magic begins its cell")
    return rewrites.kept(f"`%{_brief(name)}` is a magic that daglab does not know")


def cell(name: str, body: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """Cells of HTML, Markdown and LaTeX; those of other languages are kept as text."""
    lower = name.lower()
    if lower in ("html", "svg"):
        scripted = "<script" in body.lower()
        said = "The page's scripts do not run in marimo." if scripted else f"`%%{name}` is mo.Html."
        note = setting.note("display", said, needs_person=scripted)
        return rewrites.Rewrite(value=f"daglab__mo.Html({expansion.literal(body)})", notes=(note,))
    if lower in ("markdown", "md", "latex"):
        wrap = lower == "latex" and not any(mark in body for mark in ("$", "\\(", "\\["))
        text = f"$$\n{body.strip()}\n$$" if wrap else body.strip("\n")
        note = setting.note("display", f"`%%{name}` is a markdown cell.")
        return rewrites.Rewrite(notes=(note,), cell=cells.Cell(text, "markdown"))
    if name in LANGUAGES:
        return rewrites.kept(f"it is {LANGUAGES[name]}")
    helps = "if what it has below it is Python, `marimo edit` takes it in a cell without the magic"
    return rewrites.kept(f"`%%{_brief(name)}` is a magic that daglab does not know; {helps}")


def has_looks(setting: rewrites.Setting) -> bool:
    """Whether the notebook has the package to which `LOOKS` belong."""
    return bool(_LOOKING.search(setting.text))


def without_looks(name: str, arguments: str, body: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """The Python below one of `LOOKS`."""
    return rewrites.Rewrite((commented(f"%%{name} {arguments}"), body), notes=(_unlike(f"%%{name}", setting),))


def commented(line: str) -> str:
    """A line as a comment."""
    return f"# {' '.join(line.split())}"


def _unlike(name: str, setting: rewrites.Setting) -> cells.Note:
    how = "hv.output(...)" if name.endswith("output") else "hv.opts.defaults(...)" if name == "%opts" else ".opts(...)"
    text = f"`{name}` is a comment now, so plots look otherwise: say the same by `{how}`."
    return setting.note("magic", text, needs_person=True)


def _brief(name: str) -> str:
    """A name as it may stand in a sentence, whatever it is."""
    return re.sub(r"[^\w.%!+-]", "?", name[:40])
