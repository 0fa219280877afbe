"""Builds the sdist and the wheel twice, compares the bytes, checks what is in them, and tries the wheel.

    python scripts/package.py [--output DIR] [--build-only] [--python 3.10 ...]

What git has is built (uncommitted changes, too; nothing untracked), dated by the last commit, each time from a copy
of its own under another umask; the wheel is made from the unpacked sdist. Without --build-only the wheel is installed
into fresh environments: see environments.py. Exits with 1 when anything is not as it should be.
"""

from __future__ import annotations

import argparse
import email.parser
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from email.message import Message
from pathlib import Path

import environments

import daglab

CHECKOUT = Path(__file__).resolve().parent.parent
# What nobody may forget, whatever git has.
WANTED = ("daglab/py.typed", "daglab/cli.py", "daglab/explanations.md", "daglab/templates/notebook/default.py.j2")
WANTED_OF_SDIST = (*WANTED, "LICENSE", "PKG-INFO", "README.md", "CHANGELOG.md", "constraints.txt", "tests/conftest.py")
UNWANTED = ("__pycache__", ".pyc", ".venv", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".coverage", ".DS_Store")
FIELDS = ("Name", "Version", "Summary", "Author", "License-Expression", "License-File", "Requires-Python", "Keywords")
PYTHONS = [f"Programming Language :: Python :: {version}" for version in environments.VERSIONS]


def build(workdir: Path, umask: int) -> list[Path]:
    """The sdist and the wheel, built in an empty folder from a copy of what git has."""
    tree, out, unpacked = workdir / "tree", workdir / "out", workdir / "unpacked"
    for name in tracked():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, tree / name)
    before = os.umask(umask)
    try:
        _hatchling(tree, "sdist", out)
        with tarfile.open(next(out.glob("*.tar.gz"))) as archive:
            archive.extractall(unpacked, filter="data")
        _hatchling(next(unpacked.iterdir()), "wheel", out)
    finally:
        os.umask(before)
    return sorted(out.iterdir())


def tracked() -> list[str]:
    """The files that git knows and that are there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (CHECKOUT / name).is_file()]


def epoch() -> str:
    """SOURCE_DATE_EPOCH: when the last commit was made."""
    command = ["git", "log", "-1", "--format=%ct"]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.strip()


def faults(built: Iterable[Path], names: Iterable[str]) -> list[str]:
    """What is wrong with a built sdist and wheel; `names` are the files that git has."""
    package = {name for name in names if name.startswith("daglab/")}
    found = []
    for path in built:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                inside = set(wheel.namelist())
                info = next(name for name in inside if name.endswith(".dist-info/METADATA"))
                metadata = email.parser.Parser().parsestr(wheel.read(info).decode())
            own = {name for name in inside if ".dist-info/" not in name}
            found += _differences(path, own, package, WANTED)
            found += [] if any(name.endswith("/licenses/LICENSE") for name in inside) else [f"{path.name}: no LICENSE"]
            found += incomplete(metadata)
        else:
            with tarfile.open(path) as sdist:
                inside = {name.partition("/")[2] for name in sdist.getnames()}
            found += _differences(path, {name for name in inside if name.startswith("daglab/")}, package, ())
            found += [f"{path.name}: {name} is missing" for name in WANTED_OF_SDIST if name not in inside]
            found += [f"{path.name}: {name} must not be there" for name in sorted(inside) if _unwanted(name)]
    return found


def incomplete(metadata: Message) -> list[str]:
    """What is missing in the metadata of a package, or wrong there."""
    classifiers = metadata.get_all("Classifier", [])
    found = [f"metadata: no {field}" for field in FIELDS if not metadata[field]]
    if metadata["Version"] != daglab.__version__:
        found.append(f"metadata: version {metadata['Version']}, but daglab is {daglab.__version__}")
    if metadata["Description-Content-Type"] != "text/markdown" or "# daglab" not in metadata.get_payload():
        found.append("metadata: the README is no description in Markdown")
    found += [f"metadata: no classifier {name}" for name in (*PYTHONS, "Typing :: Typed") if name not in classifiers]
    return found


def addresses(wheel: Path) -> list[str]:
    """The addresses of the project that a wheel names."""
    with zipfile.ZipFile(wheel) as archive:
        info = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return list(email.parser.Parser().parsestr(archive.read(info).decode()).get_all("Project-URL", []))


def make(output: Path) -> list[str]:
    """Build twice into `output`; what is wrong with the two."""
    with tempfile.TemporaryDirectory(prefix="daglab-package-") as scratch:
        first, second = (build(Path(scratch, name), umask) for name, umask in (("one", 0o022), ("another", 0o077)))
        pairs = zip(first, second, strict=True)
        differing = [f"{one.name}: two builds differ" for one, two in pairs if _differ(one, two)]
        output.mkdir(parents=True, exist_ok=True)
        for path in output.glob("daglab-*"):
            path.unlink()
        built = [Path(shutil.copy(path, output)) for path in first]
    for path in built:
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    return differing + faults(built, tracked())


def main() -> int:
    """Build, check, and try; 0 when all is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=CHECKOUT / "dist")
    parser.add_argument("--build-only", action="store_true")
    parser.add_argument("--python", nargs="+", default=environments.VERSIONS, metavar="VERSION")
    options = parser.parse_args()
    found = make(options.output)
    for fault in found:
        print(fault, file=sys.stderr)
    wheel = next(options.output.glob("*.whl"))
    if not addresses(wheel):
        print("note: pyproject.toml has no [project.urls]; a release is refused without them")
    if found or options.build_only:
        return int(bool(found))
    return environments.try_out(wheel, options.python)


def _hatchling(tree: Path, target: str, out: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(out)]
    env["SOURCE_DATE_EPOCH"] = epoch()
    subprocess.run(command, cwd=tree, env=env, check=True, capture_output=True)


def _differences(path: Path, inside: set[str], package: set[str], wanted: Iterable[str]) -> list[str]:
    found = [f"{path.name}: {name} is missing" for name in sorted((package | set(wanted)) - inside)]
    return found + [f"{path.name}: {name} must not be there" for name in sorted(inside - package)]


def _unwanted(name: str) -> bool:
    return any(part in name for part in UNWANTED)


def _differ(one: Path, two: Path) -> bool:
    return one.name != two.name or one.read_bytes() != two.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
