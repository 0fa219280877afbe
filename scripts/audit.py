"""`make audit`: unsafe code, known holes in what is installed, secrets in the tree and in all of git's history.

Prints a line for each part. Exits with 1 when anything is found that does not stand below with its reason, or when a
reason stands below for what is not there any more. What could not be looked at is said, and is no failure, unless
DAGLAB_REQUIRE=all, as in the pipeline, where everything can be reached.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

REPOSITORY = Path(__file__).resolve().parent.parent
LARGEST = 1 << 26  # bytes of a file that is scanned
MOST_SHOWN = 20

# What bandit finds and is meant: its test and the file -> why. Whole tests are left out in pyproject.toml.
_MARKUP = "What is marked was made harmless by daglab.page, escaped by daglab.svg, or is a template's own."
_XML = "expat (2.4.1 and later) ends entities that grow, and Python's parser loads none from elsewhere."
_EMPTY = "The default is empty text, and no password."
_CHANCE = "Jitter, samples, a mark that no text holds: nothing that must not be guessed."
_MADE_UP = "Made-up data of a measurement or an attack."
_LOOPBACK = "The address is one of loopback that the script has made itself."
MEANT: dict[tuple[str, str], str] = {
    ("B101", "daglab/weaviate/comparisons.py"): "For the type checker: nothing depends on it.",
    ("B101", "scripts/smoke.py"): "A test: asserts are what it is for, and nothing runs it with -O.",
    ("B104", "daglab/dev/services.py"): "It asks whether the config names all interfaces, and then goes to loopback.",
    ("B105", "daglab/deployment/selection.py"): "The token of a parser.",
    ("B105", "daglab/output.py"): "The name of a variable.",
    ("B105", "scripts/attack_dashboard.py"): _MADE_UP,
    ("B107", "daglab/storage/gcs_json.py"): _EMPTY,
    ("B107", "daglab/storage/gcs_xml.py"): _EMPTY,
    (
        "B108",
        "daglab/migrating/comparing/trials.py",
    ): "Text that stands for a folder when two runs are compared; nothing is made there.",
    ("B310", "scripts/bench/dashboard.py"): _LOOPBACK,
    ("B310", "scripts/bench/deployments.py"): _LOOPBACK,
    ("B704", "daglab/dashboard/pages.py"): _MARKUP,
    ("B704", "daglab/page/writing.py"): _MARKUP,
    **{("B311", f"daglab/{file}.py"): _CHANCE for file in ("web", "weaviate/verbatim", "weaviate/examining/diagnoses")},
    **{("B311", f"scripts/bench/{file}.py"): _MADE_UP for file in ("dashboard", "migrate", "stats", "weaviate")},
    **{("B311", f"scripts/faults/{file}.py"): _MADE_UP for file in ("exports", "transfers", "writers")},
    ("B311", "scripts/attack_dashboard.py"): _MADE_UP,
    **{
        (test, f"daglab/storage/{file}.py"): _XML
        for test in ("B314", "B405")
        for file in ("aws_answers", "azure", "gcs_xml")
    },
}
# How many of them are meant where that is not one: the next of its kind is looked at, too.
SEVERAL: dict[tuple[str, str], int] = {
    ("B101", "scripts/smoke.py"): 12,
    ("B108", "daglab/migrating/comparing/trials.py"): 2,
    ("B311", "daglab/weaviate/examining/diagnoses.py"): 2,
    ("B311", "scripts/bench/dashboard.py"): 2,
    ("B311", "scripts/faults/exports.py"): 2,
    ("B311", "scripts/faults/transfers.py"): 2,
    ("B311", "scripts/faults/writers.py"): 5,
    ("B405", "daglab/storage/azure.py"): 2,
    ("B704", "daglab/dashboard/pages.py"): 6,
    ("B704", "daglab/page/writing.py"): 2,
}
NOT_LOOKED_AT = "NOT LOOKED AT"

# Where a secret is known by its form.
PATTERNS = {
    "AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----[\s\\nr\"']{1,6}[A-Za-z0-9+/=]{48,}",
    "GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{60,})",
    "GitLab token": r"\bglpat-[\w-]{20,}",
    "PyPI token": r"\bpypi-AgE[\w-]{50,}",
    "Slack token": r"\bxox[abeoprs]-[\w-]{20,}",
    "Google API key": r"\bAIza[\w-]{35}\b",
    "model provider's key": r"\bsk-[A-Za-z0-9_-]{32,}",
    "JSON web token": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
    "Azure account key": r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}==",
    "Dagster+ token": r"\b(?:user|agent:\w+):[0-9a-f]{32}\b",
    "signature in an address": r"[?&](?:X-Amz-Signature|sig|X-Goog-Signature)=[A-Za-z0-9%+/]{32,}",
}
# And by its name, where the value looks like no word.
NAMED = re.compile(
    r"(?i)(?:token|secret|passw\w{0,4}|api_?key|access_?key)[\w\"']{0,12}\s{0,2}[:=]\s{0,2}[\"']([A-Za-z0-9+/_=-]{24,})[\"']"
)
_ANY = re.compile("|".join(f"(?P<p{number}>{text})" for number, text in enumerate(PATTERNS.values())))
LEAST_ENTROPY = 4.0  # bits a letter: words and repeated letters have less

# Secrets of tests: the beginning of their SHA-256 -> why they may stand there. Nothing else is allowed by its place.
ALLOWED: dict[str, str] = {
    "0011cc25eb432071": "The key of Azurite, the emulator, the same for everybody (tests/integration/conftest.py).",
    "e8a0614b6747a06f": "The example key of AWS's documentation (tests/integration/test_s3_signatures.py).",
    "25489351ef2a7664": "A made-up session token beside it.",
    "a1b5680ef71c47b2": "A signature that a test computes with a made-up key (tests/unit/test_storage_gcs.py).",
}


@dataclass
class Report:
    """What was found that must not be, what is said besides, and whether anything could not be looked at."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def unseen(self) -> bool:
        """Whether a note says that something was not looked at."""
        return any(note.startswith(NOT_LOOKED_AT) for note in self.notes)


def secrets(text: str) -> Iterator[tuple[str, str]]:
    """What looks like a secret in a text: its kind and itself."""
    kinds = list(PATTERNS)
    for hit in _ANY.finditer(text):
        yield kinds[int((hit.lastgroup or "p0")[1:])], hit[0]
    for hit in NAMED.finditer(text):
        if any(letter.isdigit() for letter in hit[1]) and entropy(hit[1]) >= LEAST_ENTROPY:
            yield "secret by its name", hit[1]


def entropy(text: str) -> float:
    """Bits a letter, by how often each letter stands in the text."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())


def mark(secret: str) -> str:
    """How a secret stands in `ALLOWED`: it is not repeated here."""
    return hashlib.sha256(secret.encode()).hexdigest()[:16]


def scan(repository: Path, allowed: dict[str, str]) -> Report:
    """Secrets in the files of a working tree, and in every file and message that git keeps; a place for each."""
    report = Report()
    found: dict[str, tuple[str, str]] = {}
    seen = 0
    for place, content in (*tree(repository), *history(repository)):
        seen += 1
        for kind, secret in secrets(content.decode("utf-8", "replace")):
            found.setdefault(mark(secret), (kind, place))
    for key, (kind, place) in sorted(found.items(), key=lambda item: item[1][1]):
        if key not in allowed:
            report.problems.append(f"{place}: {kind} ({key})")
    report.notes.append(f"{seen} files and messages, {len(found)} known dummies of tests")
    if _git(repository, "rev-parse", "--is-shallow-repository").strip() == b"true":
        report.notes.append("the history is cut off (a shallow clone): what is older was not looked at")
    return report


def tree(repository: Path) -> Iterator[tuple[str, bytes]]:
    """The files of the working tree that git knows or would take, with their content."""
    for name in _git(repository, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split(b"\0"):
        path = repository / name.decode("utf-8", "surrogateescape")
        if name and path.is_file() and not path.is_symlink() and path.stat().st_size <= LARGEST:
            yield str(path.relative_to(repository)), path.read_bytes()


def history(repository: Path) -> Iterator[tuple[str, bytes]]:
    """Every version of a file, every commit's and tag's message that git keeps, also of branches that are gone."""
    command = ["git", "-C", str(repository), "cat-file", "--batch", "--batch-all-objects", "--unordered"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as asked:
        answer: IO[bytes] = asked.stdout  # type: ignore[assignment]  # it is a pipe
        while head := answer.readline().split():
            name, kind, size = head[0].decode(), head[1], int(head[2])
            content = answer.read(size + 1)[:-1]
            if kind != b"tree" and size <= LARGEST:
                yield f"git {kind.decode()} {name[:12]}", content


def unsafe() -> Report:
    """What bandit finds, beside what is meant."""
    command = [sys.executable, "-m", "bandit", "-q", "-r", "daglab", "scripts", "-c", "pyproject.toml", "-f", "json"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        return Report([f"bandit does not work: {(done.stderr.strip().splitlines() or ['it says nothing'])[-1]}"])
    report = weighed(answer["results"], MEANT, SEVERAL)
    report.problems[:0] = [f"{each['filename']}: {each['reason']}" for each in answer["errors"]]
    return report


def weighed(
    results: Iterable[Mapping[str, Any]], meant: Mapping[tuple[str, str], str], several: Mapping[tuple[str, str], int]
) -> Report:
    """What bandit has found beside what is meant: all of a kind in a file where there are more than are meant."""
    report = Report()
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for each in results:
        found.setdefault((each["test_id"], str(Path(each["filename"]))), []).append(each)
    for key, those in found.items():
        test, file = key
        wanted = several.get(key, 1) if key in meant else 0
        if len(those) > wanted:
            of_those = f" ({wanted} of {len(those)} are meant)" if wanted else ""
            report.problems += [
                f"{file}:{each['line_number']}: {test} {each['issue_text']}{of_those}" for each in those
            ]
        elif len(those) < wanted:
            report.problems.append(f"{file}: {test} is there {len(those)} times, not {wanted}: say so in SEVERAL")
    gone = sorted({*meant, *several} - {*found})
    report.problems += [f"{file}: {test} is not there any more: take it out of MEANT" for test, file in gone]
    report.notes.append(f"{sum(map(len, found.values()))} places are meant")
    return report


def holes() -> Report:
    """Known holes in the packages of this environment, by pip-audit, as far as its data can be had."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--skip-editable"]
    try:
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=600)
        return judged(json.loads(done.stdout)["dependencies"])
    except subprocess.TimeoutExpired:
        return Report(notes=[f"{NOT_LOOKED_AT}: pip-audit came to no end within 600 s"])
    except (ValueError, KeyError):
        said = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        return Report(notes=[f"{NOT_LOOKED_AT}: pip-audit reaches no data ({said[:200]})"])


def judged(packages: list[dict[str, Any]]) -> Report:
    """What pip-audit says of packages: those with holes, and those that it knows nothing of."""
    report = Report()
    skipped = [each for each in packages if "skip_reason" in each]
    for each in packages:
        for hole in each.get("vulns") or ():
            fixed = ", ".join(hole["fix_versions"]) or "no version yet"
            report.problems.append(f"{each['name']} {each['version']}: {hole['id']}, mended in {fixed}")
    known = len(packages) - len(skipped)
    if not known:
        report.notes.append(f"{NOT_LOOKED_AT}: pip-audit's data can't be had for any of {len(packages)} packages")
    else:
        names = ", ".join(str(each["name"]) for each in skipped)
        report.notes.append(f"{known} packages{f'; nothing is known of {names}' if skipped else ''}")
    return report


def agreeing() -> Report:
    """Whether the packages of this environment go together, by `pip check`."""
    command = [sys.executable, "-m", "pip", "check", "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Report(done.stdout.strip().splitlines() if done.returncode else [], ["packages go together"])


def main() -> int:
    """Look at everything; 1 when anything is wrong, or could not be looked at and has to be."""
    wrong, requires = False, os.environ.get("DAGLAB_REQUIRE") == "all"
    parts: dict[str, Callable[[], Report]] = {
        "code": unsafe,
        "packages": holes,
        "pip check": agreeing,
        "secrets": lambda: scan(REPOSITORY, ALLOWED),
    }
    for name, look in parts.items():
        report = look()
        failed = bool(report.problems) or (requires and report.unseen)
        wrong = wrong or failed
        print(f"{name:10} {'WRONG' if failed else 'ok'}: {'; '.join(report.notes)}")
        for problem in report.problems[:MOST_SHOWN]:
            print(f"  {problem}")
        if len(report.problems) > MOST_SHOWN:
            print(f"  and {len(report.problems) - MOST_SHOWN} more")
    return 1 if wrong else 0


def _git(repository: Path, *words: str) -> bytes:
    return subprocess.run(["git", "-C", str(repository), *words], check=True, capture_output=True).stdout


if __name__ == "__main__":
    sys.exit(main())
