"""Where the time of a benchmark goes: runs it once, and adds up what each daglab that it starts has spent.

    python scripts/bench/profiles.py NAME

Prints the functions that took most, by their own time, and by that of all they call; for `startup`, the imports. A
benchmark that measures within its own process is profiled itself.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import subprocess
import sys
import tempfile
from pathlib import Path

import pairs

HERE = Path(__file__).resolve().parent
MOST = 25  # lines of each table


def one(folder: Path, arguments: list[str]) -> None:
    """Run daglab in this process; its profile goes into the folder, however it ends."""
    from daglab import cli

    profile, sys.argv = cProfile.Profile(), ["daglab", *arguments]
    try:
        profile.runcall(cli.main)
    finally:
        profile.dump_stats(folder / f"{os.getpid()}.prof")


def imports(command: list[str]) -> str:
    """The imports of a command that took longest with all that they import, longest last."""
    done = subprocess.run([sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:") and "|" in line]
    return "\n".join(sorted(lines, key=_microseconds)[-MOST:])


def _microseconds(line: str) -> int:
    figure = line.split("|")[1].strip()
    return int(figure) if figure.isdigit() else 0


def profile(name: str) -> int:
    """Run a benchmark once; the exit code of it."""
    script = str(HERE / f"{name}.py")
    with tempfile.TemporaryDirectory(prefix="daglab-profile-") as folder:
        env = {**os.environ, pairs.PROFILE: folder}
        own = str(Path(folder, "bench"))
        command = [sys.executable, "-m", "cProfile", "-o", own, script, "--rounds", "1", "--json"]
        done = subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=False)
        found = [str(path) for path in Path(folder).glob("*.prof")] or [own]
        if done.returncode == 0:
            print(f"{name}: {len(found)} processes")
            stats = pstats.Stats(*found).strip_dirs()
            stats.sort_stats("tottime").print_stats(MOST)
            stats.sort_stats("cumulative").print_stats(MOST)
    return done.returncode


def main() -> int:
    """Print where the time goes."""
    if sys.argv[1:2] == ["--one"]:
        one(Path(os.environ[pairs.PROFILE]), sys.argv[2:])
        return 0
    names = sorted(path.stem for path in HERE.glob("*.py") if "__main__" in path.read_text(encoding="utf-8"))
    names = [name for name in names if name not in ("profiles", "benchmarks")]
    if len(sys.argv) != 2 or sys.argv[1] not in names:
        print(f"Name one of: {', '.join(names)}", file=sys.stderr)
        return 2
    if sys.argv[1] == "startup":
        print(imports(["-m", "daglab", "--help"]))
    return profile(sys.argv[1])


if __name__ == "__main__":
    sys.exit(main())
