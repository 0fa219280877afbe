"""Installs the servers that tests talk to, and the providers' programs, into ~/.cache/daglab/servers.

    python scripts/servers.py [--azure-cli] [actionlint | versitygw | fake-gcs-server | azurite | clients | ...]

versitygw (S3 that checks signatures), fake-gcs-server, weaviate-VERSION, and actionlint, which reads our workflows,
need `go`, azurite needs `npm`; clients is a virtual environment with moto, the AWS CLI and the providers' own
libraries. The Azure CLI is 733 MB, and comes with --azure-cli alone, and so does the oldest Weaviate with its name.
Building a Weaviate takes 3 to 8 minutes on two cores, 2 GB of memory and 3 GB of disk. What is there is left as it is,
what can't be had here is said and left out; exits with 1 when an installation fails.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from pathlib import Path

HOME = Path(os.environ.get("DAGLAB_SERVERS") or Path.home() / ".cache" / "daglab" / "servers")
GO = {
    "versitygw": "github.com/versity/versitygw/cmd/versitygw@v1.8.0",
    "fake-gcs-server": "github.com/fsouza/fake-gcs-server@v1.56.1",
    "actionlint": "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12",
    "weaviate-1.39.0": "github.com/weaviate/weaviate/cmd/weaviate-server@v1.39.0",
    "weaviate-1.30.0": "github.com/weaviate/weaviate/cmd/weaviate-server@v1.30.0",
}
AZURITE = "azurite@3.35.0"
CLIENTS = [
    "moto[server]==5.2.5",
    "awscli==1.46.3",
    "boto3==1.44.5",
    "azure-storage-blob==12.31.1",
    "google-cloud-storage==3.17.1",
]
AZURE_CLI = ["azure-cli==2.91.0"]
# By the names that may be asked for, the program below HOME.
PROGRAMS = {
    "actionlint": "go/actionlint",
    "versitygw": "go/versitygw",
    "fake-gcs-server": "go/fake-gcs-server",
    "azurite": "npm/node_modules/.bin/azurite-blob",
    "clients": "clients/bin/moto_server",
    "weaviate-1.39.0": "go/weaviate-1.39.0/weaviate-server",
    "weaviate-1.30.0": "go/weaviate-1.30.0/weaviate-server",
    "azure-cli": "azure-cli/bin/az",
}
ASKED_FOR = ("azure-cli", "weaviate-1.30.0")  # installed by name alone


def wanted(name: str) -> str:
    """What is installed under a name, as its mark says it."""
    lists = {"clients": CLIENTS, "azure-cli": AZURE_CLI, "azurite": [AZURITE]}
    return "\n".join(lists.get(name) or [GO[name]])


def install(name: str) -> bool:
    """Install one under a lock of its own; False where it can't be had here. Raises when the installation fails."""
    HOME.mkdir(parents=True, exist_ok=True)
    mark = HOME / f"{name}.installed"
    with (HOME / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if mark.is_file() and mark.read_text() == wanted(name) and (HOME / PROGRAMS[name]).exists():
            return True
        installer = INSTALLERS[name]
        tool = "go" if name in GO else "npm" if name == "azurite" else None
        if tool and not shutil.which(tool):
            print(f"{name}: {tool} is not installed", flush=True)
            return False
        print(f"{name}: installing", flush=True)
        mark.unlink(missing_ok=True)
        installer(name)
        mark.write_text(wanted(name))
    return True


def _go(name: str) -> None:
    folder = (HOME / PROGRAMS[name]).parent  # versions of one server have the same name
    _run(["go", "install", "-trimpath", GO[name]], {"GOBIN": str(folder), "CGO_ENABLED": "0"})


def _npm(name: str) -> None:
    del name
    _run(["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(HOME / "npm"), AZURITE])


def _venv(name: str) -> None:
    folder = HOME / name
    venv.create(folder, with_pip=True, clear=True)
    _run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *wanted(name).split("\n")])


INSTALLERS: dict[str, Callable[[str], None]] = {
    **dict.fromkeys(GO, _go),
    "azurite": _npm,
    "clients": _venv,
    "azure-cli": _venv,
}


def _run(command: list[str], env: Mapping[str, str] | None = None) -> None:
    subprocess.run(command, env={**os.environ, **(env or {})}, check=True, stdin=subprocess.DEVNULL)


def main() -> int:
    """Install what is asked for, or all but those that have to be asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(PROGRAMS)}")
    parser.add_argument("--azure-cli", action="store_true", help="the Azure CLI, too")
    arguments = parser.parse_args()
    names = arguments.names or [name for name in PROGRAMS if name not in ASKED_FOR]
    if unknown := [name for name in names if name not in PROGRAMS]:
        parser.error(f"there is no {unknown[0]}; there are {', '.join(PROGRAMS)}")
    failed = []
    for name in [*names, *(["azure-cli"] if arguments.azure_cli else [])]:
        try:
            install(name)
        except (OSError, subprocess.CalledProcessError) as error:
            failed.append(name)
            print(f"{name}: {error}", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
