"""Code that makes an asset of a notebook, in the project's package: where it goes, and what its owner has to add."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from daglab import asset_pages, errors, files, inventory, parse, render
from daglab.authoring import definitions
from daglab.exporting import exports
from daglab.settings import config

PACKAGE = "notebook_assets"
LONGEST_SLUG = 100  # characters
_LOADS_A_FOLDER = re.compile(r"\bload_from_defs_folder\b|\bload_defs\b")
_LOADS_A_PACKAGE = re.compile(r"\bload_\w+_from_package_(module|name)\b")


@dataclass(frozen=True)
class Module:
    """A module that is to be written: `text` for `path`, the asset and what it depends on as `a/b`.

    `package` is a second file, which makes a package of the folder, where that is not one yet. `add` are the lines that
    the project's definitions lack to load it; none where they load it by themselves.
    """

    path: Path
    text: str
    notebook: str
    asset: str
    deps: tuple[str, ...]
    package: tuple[Path, str] | None
    definitions: Path
    add: tuple[str, ...]


def plan(settings: config.Config, notebook: Path, asset: str | None, module: str | None) -> Module:
    """The module for a notebook of the project; `asset` is its key (None: the notebook's name), nothing is written.

    `module` is what Dagster loads (`shop.definitions`, `defs.py`), None for what the project says. Raises `NotSetUp`
    where nobody says, and `InvalidInput` for a notebook that is none, or lies outside of the project.
    """
    exports.check_notebook(notebook)
    if files.inside(settings.root, notebook) is None:
        raise errors.InvalidInput(f"{notebook} lies outside of the project {settings.root}.", "Move it there.")
    key = parse.asset_key(asset or notebook.stem)
    deps = _targets(notebook)
    if key in deps:
        raise errors.InvalidInput(
            f"{'/'.join(key)} is the asset that the notebook is for, and an asset has one way to be made.",
            f"Give its page a key of its own: --asset reports/{key[-1]}",
        )
    file, prefix = _loaded(settings.root, module or definitions.find(settings.root))
    text = files.read_text(file, "definitions")
    package: tuple[Path, str] | None = None
    add: tuple[str, ...] = ()
    if _LOADS_A_FOLDER.search(text) and (file.parent / "defs").is_dir():  # as `dg` lays projects out
        path = file.parent / "defs" / f"notebook_{_slug(key)}.py"
    else:
        path = file.parent / PACKAGE / f"{_slug(key)}.py"
        init = path.with_name("__init__.py")
        package = None if init.exists() else (init, render.render("project/notebook_assets.py.j2"))
        where = f"from {prefix} import {PACKAGE}" if prefix else f"import {PACKAGE}"
        add = (
            ()
            if PACKAGE in text or _LOADS_A_PACKAGE.search(text)
            else (where, f"*{PACKAGE}.every(),  # in Definitions(assets=[...])")
        )
    if files.inside(settings.root, path) is None:
        raise errors.InvalidInput(f"{path} leads out of the project.", "Look at it: ls -l")
    start = asset_pages.project_root(path.parent)
    own = Path(os.path.relpath(os.path.realpath(notebook), os.path.realpath(start))).as_posix()
    names = ["/".join(each) for each in deps]
    code = render.render("project/notebook_asset.py.j2", notebook=own, key="/".join(key), deps=names)
    return Module(path, code, own, "/".join(key), tuple(names), package, file, add)


def write(module: Module, *, force: bool, dry: bool = False) -> bool:
    """Write it; whether that replaces one. Dry writes nothing. Raises `Taken` where one is there without `force`."""
    replaced = module.path.exists()
    if replaced and not force:
        raise errors.Taken(f"{module.path} is there already.", "Write over it with --force.")
    if dry:
        return replaced
    if replaced:
        files.write_atomic(module.path, module.text)
    else:
        files.write_new(module.path, module.text)
    if module.package and not module.package[0].exists():
        files.write_new(*module.package)
    return replaced


def _targets(notebook: Path) -> list[tuple[str, ...]]:
    """The assets that the notebook says it is for."""
    target = inventory.read(notebook)["target"] or ""
    kind, _, names = str(target).partition(":")
    return parse.asset_keys(names) if kind == "asset" and names else []


def _loaded(root: Path, module: str | None) -> tuple[Path, str]:
    """The file that Dagster loads, and the package it lies in as code names it; empty for none."""
    hint = "Name what Dagster loads with --module shop.definitions, or --module defs.py."
    if module is None:
        raise errors.NotSetUp("The project does not say, or not in one place, what Dagster is to load.", hint)
    if module.endswith(".py"):
        file = root / module
        found = [(file, ".".join(Path(os.path.normpath(module)).parent.parts))]
    else:
        above, _, name = module.rpartition(".")
        found = []
        for base in (root, root / "src"):
            folder = base.joinpath(*above.split("."))
            found += [(folder / f"{name}.py", above), (folder / name / "__init__.py", module)]
    for file, prefix in found:
        if file.is_file() and files.inside(root, file) is not None:
            return file, prefix
    raise errors.NotSetUp(f"There is no {module} in {root}.", hint)


def _slug(key: tuple[str, ...]) -> str:
    """A module's name, as Dagster joins a key's parts in the name of its op."""
    slug = "__".join(re.sub(r"\W+", "_", part, flags=re.ASCII).strip("_") for part in key)
    slug = slug[:LONGEST_SLUG].strip("_") or "page"
    return f"page_{slug}" if slug[0].isdigit() else slug
