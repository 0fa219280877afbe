"""Every command line of the README and the docs, executed: each in a project of its own with what the line names."""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from daglab import processes
from daglab.exported import export_record
from tests import conftest, doc_pages, doc_project, forks, weaviates

pytestmark = pytest.mark.long

# The examples that are run whole: test_doc_pages.py and test_examples.py.
SCRIPTS = {".sh", ".py"}
# The lines of other programs that are executed here not at all, or by other tests, and why.
OTHERS: Mapping[str, str] = {
    r"pip (install|download|wheel|check)|^(pipx|uv) |^wheel=": "a package index: scripts/package.py tries it",
    r"^(python3 -m venv .*|\. .venv/bin/activate)$": "an environment is what these tests run in",
    r"^(sudo |systemctl |journalctl )": "root, and systemd: tests/test_examples.py looks at the units",
    r"^docker |^(cp|mkdir -p|git -C) .*(daglab|shop)": "Docker, or a checkout beside a project: tests/test_examples.py",
    r"^(kubectl|helm) ": "Kubernetes",
    r"^make ": "this repository's own work: it is what runs the tests",
    r"^marimo edit ": "goes on until it is ended: tests/integration/test_notebook_pages.py has it in a browser",
    r"^cd |^export DAGLAB_TRACE=1$": "where the lines after it run, and with what",
}
# What is done before the lines that match, in the same project: the first that matches.
BEFORE: Mapping[str, tuple[str, ...]] = {
    r"exports resign \S*3f2a": ("export orders.py --upload s3://reports/nightly --sign 1d",),
    r"^cd \.daglab/events": ("metrics reset --yes",),
    r"backup restore /mnt": ("backup create --output /mnt/backups",),
    r"backup restore": ("backup create",),
    r"collections restore docs": (
        "collections backup Docs --output docs.jsonl.gz",
        "collections rm Docs --cluster staging --yes",
    ),
    r"collections restore .*--dry-run": (
        "collections backup Docs --output Docs-20261122-060000.jsonl.gz",
        "collections rm Docs --yes",
    ),
    r"collections restore": ("collections backup Docs --output Docs-20261122-060000.jsonl.gz",),
    r"collections create Docs": ("collections rm Docs --yes",),
    r"collections create Notes --template": (
        "collections rm Notes --yes",
        "collections create Articles --template documents",
        "collections template save articles Articles",
    ),
    r"collections template save": ("collections create Articles --template documents",),
    r"collections template rm": (
        "collections create Articles --template documents",
        "collections template save articles Articles",
    ),
    r"collections (copy Docs Docs|migrate Docs) ": ("collections rm Docs --cluster other --yes",),
    r"collections migrate Docs_v1": ("collections rm Docs --yes",),
    r"(scaffold --as-asset|asset_orders\.py)": ("scaffold --asset orders",),
    r"^(stop|dev --status)$": ("dev --detach --no-marimo",),
    r"runs cancel": ("run --job report --run-config slow.yaml --no-wait --json",),
}
# Lines that end otherwise than with 0, and why.
CODES: Mapping[str, tuple[int, str]] = {
    r"replicationConfig\.factor=3": (7, "the server is one node, and says so"),
    r"^runs retry": (4, "the report fails again: its config is the same"),
    r"^runs wait": (4, "one of the two has failed"),
}
# Lines that ask, with what is typed; and those that go on until Ctrl-C.
ASKING: Mapping[str, str] = {
    r"collections (clear|rm) Drafts$": "Drafts",
    r"collections (clear|rm) Docs$": "Docs",
    r"collections copy Staged Docs --overwrite$": "Docs",
    r"collections migrate": "y",
}
ENDLESS = r"--watch|collections dashboard|^dashboard(?!.*--output)|^dev(?!.*(--detach|--status))"
# Lines that take seconds. Of what is cheap all run in `make check`, of the rest the first of each command.
SLOW = rf"^dev|^stop|--run\b|^runs (retry|cancel)|resign 3f2a|--deep|{ENDLESS}"
WHOLE = r"#!|cd \.daglab/events"  # how blocks begin whose lines are one script
CHEAP = r"^(-q )?(config|exports|stats|metrics|cache|backup|debug|explain|completion|state|clean|discover|notebooks) "


def documented() -> list[doc_pages.Line]:
    """The whole command lines of the README, the docs, and the examples that are no scripts, each once."""
    found: dict[tuple[str, ...], doc_pages.Line] = {}
    for page in [*doc_pages.DOCS, *(page for page in doc_pages.EXAMPLES if page.suffix not in SCRIPTS)]:
        for line in doc_pages.lines(page):
            if line.is_whole and line.words:
                found.setdefault(line.words, line)
    return list(found.values())


def of(table: Mapping[str, Any], text: str) -> Any:
    """The value of the first pattern that a line matches."""
    return next((value for pattern, value in table.items() if re.search(pattern, text)), None)


def shown(line: doc_pages.Line) -> str:
    return shlex.join(line.words).replace("'", "")


def _marked(lines: list[doc_pages.Line]) -> Iterator[Any]:
    """The lines as parameters, the slow ones marked."""
    seen = set()
    for line in lines:
        text, command = shown(line), doc_pages.command_of(line.words)
        never = re.search(SLOW, text) or of(ASKING, text) is not None
        quick = not never and (re.search(CHEAP, text) or command not in seen)
        seen |= {command} if quick else set()
        yield pytest.param(line, id=text, marks=[] if quick else [pytest.mark.slow])


def _piped() -> Iterator[tuple[str, str]]:
    """What only a shell can run: pipes, files written to, conditions, crontabs, a whole script. With its page."""
    for page in doc_pages.DOCS:
        for block in doc_pages.blocks(page, "cron"):
            yield from ((page.name, line.split(maxsplit=5)[5]) for line in block.splitlines())
        for block in doc_pages.blocks(page, "sh"):
            for line in [block] if re.match(WHOLE, block) else block.splitlines():
                if re.search(rf"^({WHOLE}|daglab .*[|>]|until )", line) and not re.search(
                    "--watch", line.partition(" #")[0]
                ):
                    yield page.name, line


@dataclass
class Place:
    """A project, the variables of its shell, and what stands for the names in the docs."""

    root: Path
    run: Callable[..., Any]
    env: dict[str, str]
    names: dict[str, str] = field(default_factory=dict)

    def words(self, text: str) -> list[str]:
        for name, real in self.names.items():
            text = text.replace(name, real)
        found = [sorted(self.root.glob(word)) if word == "reports/*.py" else [word] for word in shlex.split(text)]
        return [str(word) for each in found for word in each]


@pytest.fixture(scope="module")
def documented_dagster(serving: Callable[..., Any]) -> Iterator[conftest.Deployment]:
    with serving("documented", daemon=True) as served:
        yield served


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, forked: forks.Server, documented_dagster: Any) -> Path:
    """The project that all others are copies of: an export is on record there, and a traced request."""
    folder = tmp_path_factory.mktemp("base")
    env = {**os.environ, **conftest._pythonpath(), "HOME": str(folder), "DAGLAB_TRACE": "1"}

    def daglab(text: str, cwd: Path) -> None:
        done = conftest._run_cli(forked, *shlex.split(text), env=env, cwd=cwd)
        assert done.exit_code == 0, done

    daglab("init --bootstrap shop", folder)
    root = folder / "shop"
    subprocess.run(["git", "init", "--quiet", "--template=", root], check=True)
    with (root / ".git" / "config").open("a") as file:
        file.write("[user]\n\tname = shop\n\temail = shop@example.com\n")
    doc_project.fill(root)
    daglab(f"config set dagster.url {documented_dagster.url}", root)
    daglab("export dagster/notebooks/orders.py --output exports/orders.html --attach asset:orders", root)
    daglab("discover", root)
    return root


@pytest.fixture(scope="module")
def launched(forked: forks.Server, base: Path) -> dict[str, str]:
    """What the docs' ids of runs stand for: a report that has failed, one that has not, and a launch."""

    def report(rows: int) -> Any:
        (base / "rows.yaml").write_text(f"ops: {{write: {{config: {{rows: {rows}}}}}}}\n")
        words = ["run", "--job", "report", "--run-config", "rows.yaml", "--json"]
        env = {**os.environ, **conftest._pythonpath(), "HOME": str(base.parent)}
        return json.loads(conftest._run_cli(forked, *words, env=env, cwd=base).stdout)

    bad, good = report(0), report(1)
    (base / "rows.yaml").unlink()
    return {
        "cd72879b": bad["runs"][0]["run_id"][:8],
        "c5489deb": good["runs"][0]["run_id"][:8],
        "9e5d915c-0b4f-44f4-8c66-d38959c79cb0": good["launch_id"],
    }


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, base: Path, cli: Callable[..., Any]) -> Callable[..., Place]:
    """`place(line)` is a project with what the line speaks of."""

    def make(text: str, words: tuple[str, ...]) -> Place:
        root = tmp_path / "shop"
        shutil.copytree(base, root)
        doc_project.write(root, words)
        env = {"BROWSER": "true", "TERM": "xterm", **conftest._pythonpath()}
        made = Place(root, cli, env)
        dagster = request.getfixturevalue("documented_dagster").url
        made.names = {"https://dagster.example.com": dagster, "http://127.0.0.1:3000": dagster}
        for name in ("/mnt", "/srv/www", "/var/lib/node_exporter"):
            made.names[name] = str(tmp_path / name.strip("/"))
            (tmp_path / name.strip("/")).mkdir(parents=True)
        made.names["3001"] = str(processes.find_free_port())
        made.names["$CI_PIPELINE_ID"] = tmp_path.name
        made.names["nightly-2026-11-01"] = f"nightly-{tmp_path.name}"
        if re.search("collection", text):
            _with_clusters(made, request)
        if "s3://" in f"{text} {of(BEFORE, text)}":
            stored = request.getfixturevalue("s3_place")
            made.names["s3://reports"] = f"s3://{stored.bucket}"
        if re.search("^runs", text):
            made.names |= request.getfixturevalue("launched")
        if re.search("^(dev|stop)", text):
            _alone(made)
            request.addfinalizer(lambda: cli("stop", cwd=root, env=env))
        return made

    return make


def _with_clusters(made: Place, request: pytest.FixtureRequest) -> None:
    """Two servers, of which one wants a key, with the collections of the docs."""
    opened, keyed = request.getfixturevalue("weaviate"), request.getfixturevalue("keyed_weaviate")
    for server in (opened, keyed):
        doc_project.furnish(server)
        request.addfinalizer(functools.partial(doc_project.unalias, server))
    with (made.root / "daglab.yaml").open("a") as file:
        file.write(doc_project.CLUSTERS.format(open=opened.url, keyed=keyed.url))
    own = Path(os.environ["XDG_CONFIG_HOME"]) / "daglab" / "config.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(f"credentials: {{'{keyed.url}': {{token_env: DAGLAB_WEAVIATE_KEY}}}}\n")
    made.env["DAGLAB_WEAVIATE_KEY"] = weaviates.KEY
    made.names |= {"https://weaviate.example.com": keyed.url, "http://127.0.0.1:8080": opened.url}


def _alone(made: Place) -> None:
    """Ports of its own, and no Dagster but the one that it starts."""
    config = made.root / "daglab.yaml"
    config.write_text(re.sub(r"^  url: .*\n", "", config.read_text(), flags=re.MULTILINE))
    doc_project.write(made.root, ("orders.py",))  # so that daglab is no fork: --detach starts anew what it was
    for name in ("DAGSTER", "MARIMO", "DASHBOARD"):
        made.env[f"DAGLAB_{name}__PORT"] = str(processes.find_free_port())


def _prepare(made: Place, text: str) -> None:
    (made.root / "slow.yaml").write_text("ops: {write: {config: {seconds: 60}}}\n")
    for line in of(BEFORE, text) or ():
        doc_project.write(made.root, tuple(line.split()))
        done = made.run(*made.words(line), cwd=made.root, env=made.env)
        assert done.exit_code == 0, (line, done)
        if line.startswith("run "):
            made.names["cd72879b"] = json.loads(done.stdout)["runs"][0]["run_id"]
    for found in (*made.root.glob(".daglab/backups/*"), *made.root.parent.glob("mnt/*/*.tar.gz")):
        found.rename(found.with_name("daglab-shop-20261121T060000Z.tar.gz"))
    for found in made.root.glob(".daglab/events/reset-*"):
        found.rename(found.with_name("reset-20261121T120000Z"))
    made.names["3f2a"] = export_record.read(made.root)[-1]["id"][:8]
    traces = (made.root / ".daglab" / "traces" / "requests.jsonl").read_text().splitlines()
    made.names["3f9c2a"] = made.names["3f9c"] = json.loads(traces[0])["id"][:8]


def _others() -> Iterator[str]:
    """The lines of other programs in the blocks of a shell."""
    for page in doc_pages.DOCS:
        for block in doc_pages.blocks(page, "sh"):
            for line in () if re.match(WHOLE, block) else re.sub(r"\\\n\s*", " ", block).splitlines():
                line = line.partition(" #")[0].strip()
                if line and not line.startswith("#") and not any(doc_pages.commands(line)):
                    yield line


def test_each_table_is_about_lines_that_are_there() -> None:
    texts = [*map(shown, documented()), *(script for _, script in _piped())]
    assert [each for each in (*BEFORE, *CODES, *ASKING) if not any(re.search(each, text) for text in texts)] == []
    assert [each for each in OTHERS if not any(re.search(each, line) for line in _others())] == []


def test_each_line_of_another_program_is_told_of() -> None:
    assert [line for line in _others() if of(OTHERS, line) is None] == []


@pytest.mark.slow
@pytest.mark.parametrize("script", [pytest.param(script, id=f"{page}: {script[:60]}") for page, script in _piped()])
def test_what_is_for_a_shell_does_what_the_pages_say(
    script: str, place: Callable[..., Place], tmp_path: Path, need: Callable[[object, str], None]
) -> None:
    need(shutil.which("jq") or "jq " not in script, "jq is not installed")
    made = place(script, ())
    _prepare(made, script)
    made.env |= {"CI_PIPELINE_ID": tmp_path.name, "PATH": f"{doc_project.program(tmp_path)}:{os.environ['PATH']}"}
    del made.names["$CI_PIPELINE_ID"]
    made.names = {"/srv/shop/.venv/bin/": "", **made.names, "/srv/shop": str(made.root)}
    text = script
    for name, real in made.names.items():
        text = text.replace(name, real)
    done = subprocess.run(
        ["sh", "-c", text],
        cwd=made.root,
        env={**os.environ, **made.env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done
    assert "Traceback (most recent call last)" not in done.stderr, done


@pytest.mark.parametrize("line", list(_marked(documented())))
def test_a_line_does_what_the_pages_say(line: doc_pages.Line, place: Callable[..., Place], tmp_path: Path) -> None:
    text = shown(line)
    made = place(text, line.words)
    _prepare(made, text)
    code, _ = of(CODES, text) or (0, "")
    words = made.words(shlex.join(line.words))
    cwd = tmp_path if "--bootstrap" in words else made.root
    answer = of(ASKING, text)
    if answer is not None or re.search(ENDLESS, text):
        ended, said = doc_project.at_terminal(words, cwd, {**os.environ, **made.env}, answer)
        assert ended == (code if answer is not None else code or 130), said
        return
    done = made.run(*words, cwd=cwd, env=made.env)
    assert done.exit_code == code, done
    assert "Traceback (most recent call last)" not in done.stderr, done
