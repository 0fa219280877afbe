"""Packages that a notebook installs: `%pip install ...` and its kin as lines of the PEP 723 header."""

from __future__ import annotations

import ast
import dataclasses
import re
import sys
from dataclasses import dataclass

from daglab import parse
from daglab.migrating import cells, edits
from daglab.migrating.magic import rewrites

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_EXTRAS = rf"\s*\[\s*(?:{_NAME}\s*(?:,\s*{_NAME}\s*)*)?\]"
_VERSION = r"(?:===|~=|==|!=|<=|>=|<|>)\s*[A-Za-z0-9._*+!-]+"
_VALUE = r"(?:[A-Za-z_][\w.]*|'[^'\"]*'|\"[^'\"]*\")"
_TEST = rf"\(*\s*{_VALUE}\s*(?:===|~=|==|!=|<=|>=|<|>|in|not\s+in)\s*{_VALUE}\s*\)*"
_MARKER = rf"\s*;\s*{_TEST}(?:\s*(?:and|or)\s*{_TEST})*\s*"
_LINE = re.compile(rf"({_NAME})({_EXTRAS})?\s*(?:\(?{_VERSION}\s*(?:,\s*{_VERSION}\s*)*\)?)?\s*(?:{_MARKER})?")
_DIRECT = re.compile(rf"({_NAME})({_EXTRAS})?\s*@\s*(\S+)(?:\s+;.*)?")
_CONDA = re.compile(rf"(?:[\w.-]+::)?({_NAME})(?:\s*(==?|>=|<=|>|<|~=|!=)\s*([\w.*!+,<>=-]+))?")
_PYTHONS = re.compile(r"(?:.*/)?(?:python|pypy|pip|py)(?:\d[\d.]*)?|\{\s*sys\.executable\s*\}|\$sys\.executable|%pip")
_CONDAS = ("conda", "mamba", "micromamba", "%conda", "%mamba", "%micromamba")
_WITH_VALUE = """
-r --requirement -c --constraint -e --editable -i --index-url --extra-index-url -f --find-links -t --target -d --prefix
--root --src --no-binary --only-binary --platform --python-version --python --abi --implementation --proxy --retries
--timeout --trusted-host --cert --client-cert --cache-dir --log --exists-action --upgrade-strategy --progress-bar
--global-option --install-option -C --config-settings --report -b --build --index --default-index --group
--exclude-newer --resolution -n --name -p --channel --file --override --solver --keyring-provider
"""
_REDIRECT = re.compile(r"\d?(?:&>|[<>|]).*")


@dataclass(frozen=True)
class Install:
    """What one command installs, as PEP 508 has it, and what of it can't be said so."""

    requirements: tuple[str, ...] = ()
    unsaid: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def command(text: str, setting: rewrites.Setting) -> rewrites.Rewrite | None:
    """The rewrite of a shell line that installs something, with what else the line does left over; None for others."""
    segments = _segments(text)
    found = [_install(each) for each in segments]
    if not any(found):
        return None
    rest = " && ".join(text for text, install in zip(segments, found, strict=True) if install is None and text.strip())
    made = [each for each in found if each is not None]
    requirements = tuple(dict.fromkeys(line for each in made for line in each.requirements))
    notes = []
    if requirements:
        notes.append(setting.note("install", f"Put into the notebook's header: {', '.join(requirements)}."))
    for said in dict.fromkeys(text for each in made for text in each.unsaid):
        notes.append(setting.note("install", f"Not in the notebook's header: {said}.", needs_person=True))
    for said in dict.fromkeys(text for each in made for text in each.remarks):
        notes.append(setting.note("install", said))
    if not notes:
        notes.append(setting.note("install", "Dropped a line that installs nothing by name."))
    return rewrites.Rewrite((rest,) if rest else (), notes=tuple(notes), requirements=requirements)


def valid(line: str) -> bool:
    """Whether a line is a requirement as PEP 508 has it."""
    balanced = line.count("(") == line.count(")")
    return balanced and (_LINE.fullmatch(line) is not None or _DIRECT.fullmatch(line) is not None)


def _segments(text: str) -> list[str]:
    """The commands of a shell line, which stand between `&&` and `;` that are in no quotes."""
    found, start, quote = [], 0, ""
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == ";" or (char == "&" and text[at - 1 : at] == "&" and at > start):
            found.append(text[start:at].rstrip("&") if char == "&" else text[start:at])
            start = at + 1
    return [each.strip() for each in [*found, text[start:]] if each.strip()]


def _install(text: str) -> Install | None:
    """What a command installs; None for one that installs nothing."""
    words = rewrites.plain_words(text)
    while words and (words[0] in ("sudo", "-H", "-E", "yes", "|") or re.fullmatch(r"\w+=\S*", words[0])):
        del words[0]
    words = _arguments(words)
    if not words:
        return None
    conda, action = words[0] in _CONDAS, next((word for word in words[1:] if not word.startswith("-")), "")
    if action in ("uninstall", "remove"):
        return Install(remarks=("Dropped what takes packages away: a header only names those that are needed.",))
    if action not in (("install", "create", "update") if conda else ("install", "add", "sync")):
        return None
    return _read(words[words.index(action) + 1 :], conda=conda)


def _arguments(words: list[str]) -> list[str]:
    """The installer and its arguments, however it is called; nothing for another program."""
    if words[:1] == ["uv"] and words[1:2] in (["pip"], ["add"]):
        return words[1:] if words[1] == "pip" else words
    if words[:1] == ["%uv"]:
        return ["pip", *(words[2:] if words[1:2] == ["pip"] else words[1:])]
    if len(words) > 2 and words[1] == "-m" and _PYTHONS.fullmatch(words[0]):
        words = words[2:]
        words = words[1:] if words[0] == "uv" else words
    if words and (words[0] in _CONDAS or re.fullmatch(r"(?:.*/)?(?:%?pip)[\d.]*", words[0])):
        return words
    return []


def _read(words: list[str], *, conda: bool) -> Install:
    requirements: list[str] = []
    unsaid: list[str] = []
    remarks: list[str] = []
    rest = iter(words)
    for word in rest:
        if _REDIRECT.fullmatch(word):
            break
        if word.startswith("-"):
            flag, equals, value = word.partition("=")
            if not equals and flag[:2] in ("-r", "-e", "-c", "-i", "-f") and len(flag) > 2 and flag[1] != "-":
                flag, value = flag[:2], flag[2:]
            elif not equals and (flag in _WITH_VALUE.split() or (conda and flag == "-c")):
                value = next(rest, "")
            unsaid += _option(flag, value, conda=conda)
            continue
        (line, problem) = _conda(word) if conda else _pip(word)
        requirements += [line] if line else []
        unsaid += [problem] if problem else []
    if conda and requirements:
        remarks.append("Packages of conda are taken by the same names from PyPI, where some have others.")
    return Install(tuple(requirements), tuple(unsaid), tuple(remarks))


def _option(flag: str, value: str, *, conda: bool) -> list[str]:
    if conda:
        return [f"the packages of {value}"] if flag == "--file" else []
    if flag in ("-r", "--requirement"):
        return [f"the requirements in {_shown(value)}"]
    if flag in ("-e", "--editable"):
        return [f"{_shown(value)}, which is installed from its source"]
    if flag in ("-c", "--constraint"):
        return [f"the constraints in {_shown(value)}"]
    if flag in ("-i", "--index-url", "--extra-index-url", "--index", "--default-index", "-f", "--find-links"):
        return [f"the package index {_shown(value)}"]
    return []


def _pip(word: str) -> tuple[str, str]:
    """A requirement and nothing, or nothing and what it is instead."""
    line = word.strip()
    if direct := _DIRECT.fullmatch(line):
        return (line, "") if _shown(direct[3]) == direct[3] and "://" in direct[3] else ("", _shown(direct[3]))
    if _LINE.fullmatch(line) and valid(line) and not line.endswith((".whl", ".zip", ".tar.gz", ".txt")):
        return line, ""
    if any(mark in line for mark in ("{", "$", "`")):
        return "", f"{line}, which is only known when the notebook runs"
    return "", f"{_shown(line)}, which is no package by name"


def _conda(word: str) -> tuple[str, str]:
    hit = _CONDA.fullmatch(word)
    if not hit:
        return "", f"{_shown(word)}, which is no package by name"
    name, operator, version = hit[1], hit[2], hit[3]
    if name in ("python", "pip", "conda", "mamba"):
        return "", ""
    if not operator:
        return name, ""
    if operator == "=":
        number, build = version.partition("=")[::2]
        line = f"{name}=={number}" if build or number.endswith("*") else f"{name}=={number}.*"
    else:
        line = f"{name}{operator}{version}"
    return (line, "") if valid(line) else ("", f"{word}, a version that only conda understands")


def _shown(text: str) -> str:
    """An address without what may be a secret in it; other text as it is."""
    return parse.display_url(text) if "://" in text or "@" in text else text


def complete(draft: cells.Draft) -> cells.Draft:
    """The draft with all lines of its header, and what is to be said of it; none where it installs nothing.

    A header that lists some packages must list all: marimo itself, and what the notebook imports, as far as a package
    is so well known that its name can't belong to somebody else.
    """
    requirements, codes = draft.requirements, [cell.code for cell in draft.cells if cell.kind == "code"]
    if not requirements:
        return draft
    there = {_plain_name(line) for line in requirements}
    text = "\n".join(codes)
    imported = dict.fromkeys(name for code in codes for name in _imported(code))
    more = [KNOWN[name] for name in imported if name in KNOWN and _plain_name(KNOWN[name]) not in there]
    own = ["marimo[sql]" if "daglab__mo.sql" in text else "marimo"]
    own += ["daglab"] if "daglab__helpers" in text else []
    own += ["sqlalchemy"] if "daglab__sqlalchemy" in text else []
    lines = [*requirements, *(line for line in (*own, *dict.fromkeys(more)) if _plain_name(line) not in there)]
    unknown = [
        name
        for name in imported
        if name not in KNOWN and name not in sys.stdlib_module_names and _plain_name(name) not in there
    ]
    said = ["The header lists what the notebook installs, marimo, and the best known packages that it imports."]
    if unknown:
        said.append(f"The header does not list what brings these modules: {', '.join(unknown[:20])}.")
    done = dataclasses.replace(draft, requirements=tuple(lines))
    return cells.with_notes(done, *(cells.Note("install", each) for each in said))


def _imported(code: str) -> list[str]:
    """The modules that code imports from elsewhere, without what lies in them."""
    tree = edits.parsed(code) if "import" in code else None
    found: list[str] = []
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Import):
            found += [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append(node.module.partition(".")[0])
    return found


def _plain_name(line: str) -> str:
    """A requirement's name as PyPI compares it."""
    hit = re.match(_NAME, line)
    return re.sub(r"[-_.]+", "-", hit[0]).lower() if hit else line


# Module -> package, of such that everybody has.
KNOWN = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
_SAME = """
altair bokeh boto3 dagster dask datasets duckdb fastapi flask gensim geopandas httpx ipywidgets joblib keras lightgbm
matplotlib networkx nltk numba numpy openai openpyxl pandas plotly polars pyarrow pydantic pytest requests scipy seaborn
shapely spacy sqlalchemy statsmodels sympy tensorflow torch torchvision tqdm transformers xgboost
"""
KNOWN |= {name: name for name in _SAME.split()}
