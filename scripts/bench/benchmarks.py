"""Runs the benchmarks one after the other, keeps their figures, and writes them into docs/performance.md.

    python scripts/bench/benchmarks.py [--rounds N] [--compare] [NAME]...

Without names it is all of them. The figures are kept in docs/performance.json. With --compare nothing is written: each
ratio is set beside the one that is kept, and one that is more than 15 % worse is measured once more, since a busy
machine tilts a ratio, too; it is named when it was worse both times. Exits with 1 then, and when a benchmark fails;
the others run on.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pairs

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent.parent / "docs"
STORED, PAGE = DOCS / "performance.json", DOCS / "performance.md"
WORSE = 1.15
Cases = dict[str, pairs.Row]

# What runs, in the order of the page, with its own options.
BENCHES: dict[str, tuple[str, ...]] = {
    "startup": (),
    "discover": (),
    "run": (),
    "wait": (),
    "follow": (),
    "export": (),
    "batch": (),
    "migrate": ("--sample", "10"),
    "dev": (),
    "stats": (),
    "track": (),
    "state": (),
    "record": (),
    "notebook": (),
    "dashboard": (),
    "health": (),
    "weaviate": (),
}
# Cases that have to be asked for: their figures stay until somebody does.
SELDOM = {"weaviate": ("`stats` of a million objects",)}
HEADS = {"ratio": "ratio", "bound": "bound", "cpu_ratio": "CPU ratio", "rounds": "rounds"}
UNITS = {"ms": "ms", "s": "s", "us": "µs", "kib": "KiB", "mib": "MiB"}


def table(cases: Mapping[str, Mapping[str, float]]) -> str:
    """The figures as Markdown: a row for each case, a column for each figure that any of them has."""
    keys = pairs.columns(cases)
    lines = [["", *map(head, keys)]]
    lines += [[name, *(pairs.text(row.get(key)) for key in keys)] for name, row in cases.items()]
    first, *rest = ["|" + "|".join(f" {cell} " if cell else " " for cell in line) + "|\n" for line in lines]
    return first + "|---" * (len(keys) + 1) + "|\n" + "".join(rest)


def head(key: str) -> str:
    """The head of a column: `base_peak_mib` becomes `beside: peak MiB`."""
    if key in HEADS:
        return HEADS[key]
    words = [UNITS.get(word, word) for word in key.removeprefix("base_").split("_")]
    return ("beside: " if key.startswith("base_") else "") + " ".join(words)


def written(page: str, name: str, cases: Mapping[str, Mapping[str, float]]) -> str:
    """The page with the table of one benchmark written anew; all else stays. Raises where it has no place for it."""
    begin, end = f"<!-- {name}: written by make bench -->\n", f"<!-- end of {name} -->\n"
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"The page has no place for {name}: {begin.strip()} ... {end.strip()}")
    return f"{before}{begin}{table(cases)}{end}{after}"


def kept(stored: Mapping[str, Any], name: str, measured: Cases) -> Cases:
    """What is stored of a benchmark from now on: what was measured, and the seldom ones of before."""
    before: Cases = stored.get(name, {}).get("cases", {})
    return {**measured, **{case: before[case] for case in SELDOM.get(name, ()) if case in before.keys() - measured}}


def worse(stored: Cases, measured: Cases) -> list[str]:
    """A line for each ratio that is more than 15 % worse than the stored one. What only one of them has is left out."""
    found = []
    for case, row in measured.items():
        before, now = stored.get(case, {}).get("ratio"), row.get("ratio")
        if before and now and now > before * WORSE:
            found.append(f"{case}: {now:.3g}, {100 * (now / before - 1):.0f} % worse than {before:.3g}")
    return found


def beyond(measured: Cases) -> list[str]:
    """A line for each ratio that is beyond its bound."""
    rows = ((case, row["ratio"], row["bound"]) for case, row in measured.items() if "bound" in row and "ratio" in row)
    return [f"{case}: {ratio:.3g} is beyond its bound of {bound:g}" for case, ratio, bound in rows if ratio > bound]


def machine() -> dict[str, Any]:
    """On what it is measured."""
    return {"python": platform.python_version(), "system": platform.system(), "cores": os.cpu_count()}


def measure(name: str, rounds: int | None) -> Cases | None:
    """The cases of one benchmark, as it prints them; None when it fails, which it has told on stderr."""
    command = [sys.executable, str(HERE / f"{name}.py"), "--json", *BENCHES[name]]
    command += ["--rounds", str(rounds)] if rounds else []
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        return None
    cases: Cases = json.loads(done.stdout)["cases"]
    return cases


def bench(names: Sequence[str], rounds: int | None) -> list[str]:
    """Measure, keep and write; what went wrong."""
    wrong = []
    for name in names:
        cases = measure(name, rounds)
        if cases is None:
            wrong.append(f"{name} failed")
            continue
        print(f"{name}\n{table(cases)}", flush=True)
        for line in beyond(cases):
            print(f"{name}: {line}", file=sys.stderr)
        stored = read()
        stored[name] = {**machine(), "cases": kept(stored, name, cases)}
        ordered = {each: stored[each] for each in BENCHES if each in stored}
        STORED.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), name, stored[name]["cases"]), encoding="utf-8")
    return wrong


def compare(names: Sequence[str], rounds: int | None) -> list[str]:
    """Measure, and set beside what is kept; each ratio that is worse, twice."""
    stored, wrong = read(), []
    for name in names:
        before = stored.get(name, {}).get("cases", {})
        cases = measure(name, rounds)
        if cases is not None and worse(before, cases):
            again = measure(name, rounds)
            cases = again and better(cases, again)
        lines = ["failed"] if cases is None else worse(before, cases)
        print(f"{name}: {'; '.join(lines) or 'as good as before'}", flush=True)
        wrong += [f"{name}: {line}" for line in lines]
    return wrong


def better(first: Cases, second: Cases) -> Cases:
    """Of each case the row with the smaller ratio."""
    none = float("inf")
    return {
        case: min(row, second.get(case, row), key=lambda each: each.get("ratio", none)) for case, row in first.items()
    }


def read() -> dict[str, Any]:
    """What is kept."""
    found: dict[str, Any] = json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else {}
    return found


def main() -> int:
    """Run them; 0 when all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(BENCHES)}")
    parser.add_argument("--rounds", type=int, help="how many pairs each measures  [default: its own]")
    parser.add_argument("--compare", action="store_true", help="write nothing; name what is worse than what is kept")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    names = options.names or list(BENCHES)
    wrong = (compare if options.compare else bench)(names, options.rounds)
    for line in wrong:
        print(line, file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
