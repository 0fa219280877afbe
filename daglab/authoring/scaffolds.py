"""Notebooks for a target: where one goes, what stands in it, and that it is sound before it is written."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any

from daglab import __version__, errors, files, parse, processes
from daglab.authoring import notebook_templates
from daglab.deployment import selection
from daglab.settings import config

LONGEST_SLUG = 100  # bytes
# What a notebook imports lies behind its own folder.
HIDDEN = sys.stdlib_module_names | {"daglab", "dagster", "jinja2", "marimo", "requests", "tabulate", "yaml"}
_PLAIN_KEY = re.compile(r"[^\"\\*\n\r]+")  # Dagster's selections have no way to write the others
_WORD = re.compile(r"[A-Za-z_][\w/]*", re.ASCII)  # needs no quotes there
_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Target:
    """What the notebook is for: some assets (most often one), a job, a selection, or a Weaviate collection.

    A selection is in Dagster's language; `cluster` is the collection's, None for the only one of the config.
    """

    assets: tuple[tuple[str, ...], ...] = ()
    job: str | None = None
    selection: str | None = None
    collection: str | None = None
    cluster: str | None = None

    @property
    def name(self) -> str:
        """As people read it: `a/b, c`, the job's name, the selection, or the collection's name."""
        return self.job or self.selection or self.collection or ", ".join("/".join(key) for key in self.assets)

    @property
    def recorded(self) -> str:
        """As events and documents have it: `asset:a/b,c`, `job:NAME`, `selection:TEXT`, or `collection:NAME`."""
        if self.collection:
            return f"collection:{self.collection}"
        if self.selection:
            return f"selection:{self.selection}"
        return f"job:{self.job}" if self.job else f"asset:{self.name.replace(', ', ',')}"

    @property
    def attach_to(self) -> str | None:
        """What an export is attached to; nothing for several assets."""
        if self.job:
            return f"job:{self.job}"
        return f"asset:{self.name}" if len(self.assets) == 1 else None

    @property
    def expression(self) -> str | None:
        """The assets in Dagster's language, None for a job and for keys that can't be written in it."""
        names = ["/".join(key) for key in self.assets]
        if self.selection or self.job or self.collection or not all(_PLAIN_KEY.fullmatch(name) for name in names):
            return self.selection
        plain = [bool(_WORD.fullmatch(name)) and name not in selection.RESERVED for name in names]
        return " or ".join(
            f"key:{name}" if is_plain else f'key:"{name}"' for name, is_plain in zip(names, plain, strict=True)
        )


@dataclass(frozen=True)
class Wishes:
    """How the notebook is to be; `module` is what runs in the kernel, `sample` rows to try things out with."""

    template: str = "default"
    title: str | None = None
    author: str | None = None
    module: str | None = None
    attach: bool = True
    variables: Mapping[str, str] = field(default_factory=dict)
    sample: Sequence[Mapping[str, Any]] = ()


def read_target(asset: str | None, job: str | None, chosen: str | None, collection: str | None = None) -> Target:
    """What is asked for. Raises `WrongUsage` for none and for several, and for what is no selection."""
    if sum(map(bool, (asset, job, chosen, collection))) != 1:
        raise errors.WrongUsage(
            "One of --asset, --job, --from-selection and --collection is needed, and only one.",
            "daglab scaffold --asset orders",
        )
    if collection:
        return Target(collection=collection)
    if job:
        return Target(job=job)
    if asset:
        return Target(assets=(parse.asset_key(asset),))
    text = chosen or ""
    if re.fullmatch(r"[\w/.,\s-]+", text) and not re.search(r"\b(and|or|not)\b", text, re.IGNORECASE):
        return Target(assets=tuple(parse.asset_keys(text)))
    selection.read(text)
    return Target(selection=text)


def file_name(target: Target) -> str:
    """The notebook's name: it starts with the kind of its target, so that no `json.py` hides a module.

    The parts of a key are joined by two underscores, as Dagster does in the name of an asset's op.
    """
    first = target.assets[0] if target.assets else (target.name,)
    slug = "__".join(re.sub(r"\W+", "_", part).strip("_") for part in first).strip("_")
    # A file's name has room for 255 bytes, and a temporary one beside it needs some of them.
    slug = slug.encode("utf-8", "ignore")[:LONGEST_SLUG].decode("utf-8", "ignore") or "unnamed"
    more = f"_and_{len(target.assets) - 1}_more" if len(target.assets) > 1 else ""
    kind = "job" if target.job else "selection" if target.selection else "collection" if target.collection else "asset"
    return f"{kind}_{slug}{more}.py"


def place(settings: config.Config, target: Target, name: str | None) -> Path:
    """Where the notebook goes: into the notebooks folder, under a name of its own or the one that is asked for.

    Raises `InvalidInput` for a name that is no notebook's, and for a place outside of the project.
    """
    folder = settings.root / settings.notebooks_dir
    if name is not None and (not name.endswith(".py") or name.startswith((".", "-")) or PurePath(name).name != name):
        raise errors.InvalidInput(
            f"{name!r} is not the name of a notebook.", f"It lies in {folder}: give a name alone, such as orders.py."
        )
    if name is not None and not name.isprintable():
        raise errors.InvalidInput(f"{name!r} is not the name of a notebook.", "Give a name on one line.")
    if name is not None and (PurePath(name).stem in HIDDEN or name in ("__init__.py", "__main__.py")):
        raise errors.InvalidInput(
            f"A notebook called {name} would hide the Python module of that name.", "Choose another name."
        )
    path = folder / (name or file_name(target))
    if files.inside(settings.root, path) is None:
        raise errors.InvalidInput(
            f"{path} lies outside of the project {settings.root}.", "Set notebooks_dir to a folder of the project."
        )
    return path


def notebook(root: Path, target: Target, path: str, wishes: Wishes) -> str:
    """The notebook's code; names are data in it, whatever they hold. `path` is its own, from the project's root.

    Raises `InvalidInput` for a template that makes no sound notebook.
    """
    template = notebook_templates.find(root, wishes.template)
    values = {
        "author": wishes.author,
        "attach": wishes.attach,
        "attach_to": target.attach_to,
        "created": date.today().isoformat(),
        "depth": len(PurePath(path).parent.parts),
        "cluster": target.cluster,
        "collection": target.collection,
        "attach_option": f"--attach {shlex.quote(target.attach_to)}" if target.attach_to else None,
        "export": f"daglab export {shlex.quote(path)}",
        "job": target.job,
        "keys": [list(key) for key in target.assets],
        "marimo_version": metadata.version("marimo"),
        "module": wishes.module,
        "sample": list(wishes.sample),
        "selection": target.expression,
        "target": target.recorded,
        "template": template.name,
        "title": wishes.title or f"Explore {target.name}",
        "version": __version__,
    }
    if own := sorted(values.keys() & wishes.variables.keys()):
        raise errors.WrongUsage(f"{own[0]} is daglab's own value in a template.", "Take another name.")
    return notebook_templates.text(root, template, {**wishes.variables, **values})


def write(
    settings: config.Config,
    target: Target,
    wishes: Wishes,
    *,
    name: str | None = None,
    force: bool = False,
) -> tuple[Path, bool, str]:
    """Write the notebook; its path, whether it has replaced one, and the SHA-256 of what is written.

    Raises `Taken` when there is one of that name and `force` is not set.
    """
    path = place(settings, target, name)
    text = notebook(settings.root, target, str(files.inside(settings.root, path)), wishes)
    template = notebook_templates.find(settings.root, wishes.template)
    if template.is_own:
        _check(text, template.path, processes.without_secrets(os.environ, settings.token_variables))
    replaced = path.exists()
    if replaced and force:
        files.write_atomic(path, text)
    else:
        files.write_new(path, text)
    return path, replaced, hashlib.sha256(text.encode()).hexdigest()


def variables(given: Sequence[str]) -> dict[str, str]:
    """Values for a template, written name=value. Raises `WrongUsage` for what is none."""
    found = parse.whole_pairs(given, "--template-vars")
    if wrong := [name for name in found if not _NAME.fullmatch(name)]:
        raise errors.WrongUsage(f"{wrong[0]!r} can't be a name in a template.", "Use letters, digits and _.")
    return found


def _check(text: str, template: Path, environ: Mapping[str, str]) -> None:
    """marimo's own opinion of what a project's template has made; daglab's are tried by its tests."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "notebook.py"
        path.write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "marimo", "check", str(path)]
        done = processes.run(command, timeout=60.0, cwd=Path(folder), env=environ)
    if done.returncode:
        said = parse.without_colours(done.stdout + done.stderr).replace(str(path), "it").strip()
        raise errors.InvalidInput(f"The template {template} makes no sound notebook:\n{said}", "Mend the template.")
