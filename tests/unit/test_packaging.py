"""What the scripts of packaging, releasing and measuring judge by."""

from __future__ import annotations

import importlib.util
import io
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import daglab

SCRIPTS = Path(__file__).resolve().parent.parent.parent / "scripts"
CLASSIFIERS = "".join(f"Classifier: Programming Language :: Python :: 3.{minor}\n" for minor in (10, 11, 12, 13))
METADATA = f"""Name: daglab
Version: {daglab.__version__}
Summary: Pairs.
Author: somebody
License-Expression: MIT
License-File: LICENSE
Requires-Python: >=3.10
Keywords: dagster
{CLASSIFIERS}Classifier: Typing :: Typed
Description-Content-Type: text/markdown

# daglab
"""
FILES = ["daglab/py.typed", "daglab/cli.py", "daglab/explanations.md", "daglab/templates/notebook/default.py.j2"]
BESIDE = ["LICENSE", "PKG-INFO", "README.md", "CHANGELOG.md", "constraints.txt", "tests/conftest.py"]


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script as a module; it finds those beside it."""
    path = SCRIPTS / f"{name}.py"
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, module)
    spec.loader.exec_module(module)
    return module


def built(folder: Path, wheel: list[str], sdist: list[str], metadata: str = METADATA) -> list[Path]:
    """A wheel and an sdist with these files."""
    paths = [folder / "daglab-1.whl", folder / "daglab-1.tar.gz"]
    with zipfile.ZipFile(paths[0], "w") as archive:
        for name in [*wheel, "daglab-1.dist-info/licenses/LICENSE"]:
            archive.writestr(name, "")
        archive.writestr("daglab-1.dist-info/METADATA", metadata)
    with tarfile.open(paths[1], "w:gz") as tar:
        for name in sdist:
            tar.addfile(tarfile.TarInfo(f"daglab-1/{name}"), io.BytesIO())
    return paths


def test_a_whole_package_has_no_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = script("package", monkeypatch)
    assert package.faults(built(tmp_path, FILES, [*FILES, *BESIDE]), [*FILES, "docs/x.md"]) == []


@pytest.mark.parametrize(
    ("wheel", "sdist", "fault"),
    [
        (FILES[1:], [*FILES, *BESIDE], "daglab-1.whl: daglab/py.typed is missing"),
        ([*FILES, "tests/conftest.py"], [*FILES, *BESIDE], "daglab-1.whl: tests/conftest.py must not be there"),
        (FILES, [*FILES, *BESIDE[1:]], "daglab-1.tar.gz: LICENSE is missing"),
        (FILES, [*FILES[1:], *BESIDE], "daglab-1.tar.gz: daglab/py.typed is missing"),
        (
            FILES,
            [*FILES, *BESIDE, "tests/__pycache__/a.pyc"],
            "daglab-1.tar.gz: tests/__pycache__/a.pyc must not be there",
        ),
    ],
)
def test_what_is_missing_or_too_much_is_named(
    wheel: list[str], sdist: list[str], fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fault in script("package", monkeypatch).faults(built(tmp_path, wheel, sdist), FILES)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("Summary: Pairs.\n", "metadata: no Summary"),
        ("License-File: LICENSE\n", "metadata: no License-File"),
        ("Classifier: Typing :: Typed\n", "metadata: no classifier Typing :: Typed"),
        (f"Version: {daglab.__version__}\n", f"metadata: version None, but daglab is {daglab.__version__}"),
        ("# daglab\n", "metadata: the README is no description in Markdown"),
    ],
)
def test_incomplete_metadata_is_named(line: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = built(tmp_path, FILES, [*FILES, *BESIDE], METADATA.replace(line, ""))
    assert fault in script("package", monkeypatch).faults(paths, FILES)


CHANGELOG = """# Changelog

## 1.2.0 (2026-11-30)

- New.

## 1.1.0 (2026-10-30)

- Old.
"""


@pytest.mark.parametrize(
    ("changelog", "tag", "refused"),
    [
        (CHANGELOG, None, ""),
        (CHANGELOG, "v1.2.0", ""),
        (CHANGELOG.replace("## 1.2.0", "## Unreleased\n\n## 1.2.0"), None, ""),
        (CHANGELOG, "v1.3.0", "its tag is v1.2.0"),
        (CHANGELOG.replace("1.2.0", "1.3.0"), None, "the newest entry is 1.3.0"),
        (CHANGELOG.replace("## 1.2.0", "## Unreleased\n\n- More.\n\n## 1.2.0"), None, "lines under Unreleased"),
        (CHANGELOG.replace("- New.\n", ""), None, "says nothing"),
        (CHANGELOG.replace(" (2026-11-30)", ""), None, "has no date"),
        ("# Changelog\n\n## Unreleased\n", None, "the newest entry is none"),
        ("", None, "the newest entry is none"),
    ],
)
def test_a_release_without_its_entry_is_refused(
    changelog: str, tag: str | None, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = script("release", monkeypatch).refusals("1.2.0", tag, changelog)
    assert (len(found), refused in "".join(found)) == (int(bool(refused)), True)


def test_the_notes_are_the_entry_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    release = script("release", monkeypatch)
    assert (release.notes("1.2.0", CHANGELOG), release.notes("1.1.0", CHANGELOG)) == ("- New.", "- Old.")
    assert release.notes("1.0.0", CHANGELOG) == ""


def test_the_lowest_versions_are_those_of_pyproject_without_the_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    pyproject = """[build-system]
requires = ["hatchling>=1.2"]
[project]
dependencies = ["click>=8.1", "jinja2>=3.1.2"]
[project.optional-dependencies]
dagster = ["dagster>=1.5.14"]
dev = ["daglab[dagster]", "mypy>=1.1", "pytest>=8.0", "types-PyYAML"]
[project.scripts]
"""
    pins = script("lowest", monkeypatch).pins(pyproject)
    assert pins == ["click==8.1", "jinja2==3.1.2", "pytest==8.0"]


def test_a_python_of_another_version_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environments = script("environments", monkeypatch)
    running = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for version in (running, "3.99"):
        (tmp_path / f"python{version}").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert environments.find(running) == str(tmp_path / f"python{running}")
    assert environments.find("3.99") is None


def test_lines_and_branches_have_to_be_over_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    coverage = script("quality/check_coverage", monkeypatch)
    good, edge, few = (coverage.Module(name, *of) for name, of in {"a": (99, 91), "b": (90, 99), "c": (99, 50)}.items())
    assert coverage.short([good, edge, few], 90, branches=True) == [edge, few]
    assert coverage.short([good, edge, few], 90, branches=False) == [edge]


def test_an_exception_from_what_is_asked_for_stays_no_longer_than_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    coverage = script("quality/check_coverage", monkeypatch)
    modules = [coverage.Module(name, lines, 100) for name, lines in {"needed": 95, "good": 95.1, "short": 10}.items()]
    assert coverage.idle(modules, 95, dict.fromkeys(("needed", "good", "gone"), "why")) == ["gone", "good"]
