"""All that a release does up to the upload: `make release-dry-run`.

    python scripts/release.py [--tag v1.2.3] [--notes FILE] [--output DIR]

daglab's version has to be the newest entry of CHANGELOG.md (`## 1.2.3 (2026-11-30)`), below an `## Unreleased` that is
empty or not there, and the tag where one is given; the tree has to be clean; the package is built and checked; and the
entry becomes the notes. Exits with 1 and names everything that stands in the way.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import package

import daglab

CHECKOUT = Path(__file__).resolve().parent.parent
ENTRY = re.compile(r"^## (\S+)(?: \((\d{4}-\d\d-\d\d)\))?$", re.MULTILINE)


def entries(changelog: str) -> list[tuple[str, str | None, str]]:
    """Name, date and text of each entry of a changelog, the newest first."""
    found = list(ENTRY.finditer(changelog))
    ends = [*(each.start() for each in found[1:]), len(changelog)]
    return [(each[1], each[2], changelog[each.end() : end].strip()) for each, end in zip(found, ends, strict=False)]


def refusals(version: str, tag: str | None, changelog: str) -> list[str]:
    """Why this version can't be released with this changelog."""
    named = entries(changelog)
    found = []
    if named and named[0][0] == "Unreleased":
        if named[0][2]:
            found.append("CHANGELOG.md: there are lines under Unreleased; they belong into the entry of a version")
        del named[0]
    if not named or named[0][0] != version:
        newest = named[0][0] if named else "none"
        found.append(f"CHANGELOG.md: the newest entry is {newest}, daglab is {version}: write `## {version} (date)`")
    elif not (named[0][1] and named[0][2]):
        found.append(f"CHANGELOG.md: the entry of {version} has no date, or says nothing")
    if tag is not None and tag != f"v{version}":
        found.append(f"the tag is {tag}, but daglab is {version}: its tag is v{version}")
    return found


def notes(version: str, changelog: str) -> str:
    """The text of a version's entry; empty without one."""
    return next((text for name, _, text in entries(changelog) if name == version), "")


def main() -> int:
    """Go all the way; 0 when a release could be made now."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tag", help="The tag that is released.")
    parser.add_argument("--notes", type=Path, help="Write the notes to this file instead of showing them.")
    parser.add_argument("--output", type=Path, default=CHECKOUT / "dist")
    options = parser.parse_args()
    changelog = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = refusals(daglab.__version__, options.tag, changelog)
    if changes := _git("status", "--porcelain"):
        found.append(f"the tree is not clean:\n{changes}")
    found += package.make(options.output)
    if not package.addresses(next(options.output.glob("*.whl"))):
        found.append("pyproject.toml: [project.urls] is missing, and a released package can't be given any later")
    if found:
        print("No release:", *found, sep="\n- ", file=sys.stderr)
        return 1
    text = notes(daglab.__version__, changelog)
    if options.notes:
        options.notes.write_text(text + "\n", encoding="utf-8")
    else:
        print(f"daglab {daglab.__version__} could be released now, with these notes:\n\n{text}")
    return 0


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.rstrip()


if __name__ == "__main__":
    sys.exit(main())
