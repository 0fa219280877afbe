"""`make audit`: it finds planted secrets wherever git keeps them, and tells what it could not look at."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
# Put together here, so that no file holds one.
PLANTED = {
    "AWS access key": "AKIA" + "Q3EGRIZ7PLM2XWBN",
    "private key": "-----BEGIN " + "PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0B" * 4,
    "GitHub token": "ghp_" + "a1B2c3D4e5F6" * 3,
    "GitLab token": "glpat-" + "a1B2c3D4e5F6g7H8i9J0",
    "PyPI token": "pypi-" + "AgEIcHlwaS5vcmcC" * 5,
    "Slack token": "xoxb-" + "123456789012-abcdefABCDEF",
    "Google API key": "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
    "model provider's key": "sk-" + "ant-api03-a1B2c3D4e5F6g7H8i9J0k1L2m3N4",
    "JSON web token": "eyJ" + "hbGciOiJIUzI1NiJ9." + "eyJ" + "zdWIiOiIxMjM0NTYifQ." + "abcDEF123456_-",
    "Azure account key": "a1B2+/" * 14 + "c3==",
    "Dagster+ token": "user:" + "0123456789abcdef" * 2,
    "signature in an address": "?X-Amz-" + "Signature=" + "0123456789abcdef" * 4,
    "secret by its name": "api_" + 'key = "q7Zp2Lx9Vb4Nw8Kt3Rf6Yh1Jd5"',
}


@pytest.fixture(scope="module")
def audit() -> Iterator[Any]:
    spec: Any = importlib.util.spec_from_file_location("audit", REPOSITORY / "scripts" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["audit"] = module  # as its dataclasses need
    spec.loader.exec_module(module)
    yield module
    del sys.modules["audit"]


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "notes.txt").write_text("Nothing to see: token_env, a password, sk-learn, user:me\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "First")
    return tmp_path


def kinds(report: Any) -> list[str]:
    return sorted(problem.partition(": ")[2].rpartition(" (")[0] for problem in report.problems)


@pytest.mark.parametrize("kind", PLANTED)
def test_each_kind_of_secret_is_known(kind: str, audit: Any) -> None:
    assert set(audit.PATTERNS) | {"secret by its name"} == set(PLANTED)
    assert kind in [found for found, _ in audit.secrets(f"x = 1\n{PLANTED[kind]}\n")]


def test_words_are_no_secrets(audit: Any, repository: Path) -> None:
    assert audit.scan(repository, {}).problems == []


@pytest.mark.parametrize("where", ["file", "file that is not committed", "deleted file", "message", "deleted branch"])
def test_a_secret_is_found_wherever_git_keeps_it(where: str, audit: Any, repository: Path) -> None:
    secret, file = PLANTED["AWS access key"], repository / "config.py"
    if where == "message":
        git(repository, "commit", "--quiet", "--allow-empty", "--message", f"With {secret}")
    else:
        git(repository, "checkout", "--quiet", "-b", "aside")
        file.write_text(f"KEY = '{secret}'\n")
        if where != "file that is not committed":
            git(repository, "add", ".")
            git(repository, "commit", "--quiet", "--message", "Second")
        if where == "deleted file":
            git(repository, "rm", "--quiet", "config.py")
            git(repository, "commit", "--quiet", "--message", "Third")
        if where == "deleted branch":
            git(repository, "checkout", "--quiet", "-")
            git(repository, "branch", "--quiet", "-D", "aside")
    report = audit.scan(repository, {})
    assert kinds(report) == ["AWS access key"]
    assert secret not in "".join(report.problems + report.notes)


def test_a_dummy_is_allowed_by_itself_and_not_by_its_place(audit: Any, repository: Path) -> None:
    dummy, other = PLANTED["AWS access key"], PLANTED["Slack token"]
    (repository / "fixture.py").write_text(f"{dummy}\n{other}\n")
    assert kinds(audit.scan(repository, {audit.mark(dummy): "made up"})) == ["Slack token"]


def test_what_is_allowed_in_this_repository_is_there_and_has_a_reason(audit: Any) -> None:
    """One that is gone is taken out of the list; the dummies of tests stay where they are needed."""
    found = {
        audit.mark(secret)
        for place in (
            "tests/integration/conftest.py",
            "tests/integration/test_s3_signatures.py",
            "tests/unit/test_storage_gcs.py",
        )
        for _, secret in audit.secrets((REPOSITORY / place).read_text(encoding="utf-8"))
    }
    assert found == set(audit.ALLOWED)
    assert all(audit.ALLOWED.values())
    assert all((REPOSITORY / file).is_file() and why for (_, file), why in audit.MEANT.items())
    assert set(audit.SEVERAL) <= set(audit.MEANT)
    assert min(audit.SEVERAL.values()) > 1


def found(*lines: int, test: str = "B311", file: str = "./a.py") -> list[dict[str, Any]]:
    return [{"test_id": test, "filename": file, "line_number": line, "issue_text": "chance"} for line in lines]


def test_one_more_of_what_is_meant_is_a_problem(audit: Any) -> None:
    one, two = ("B311", "a.py"), ("B311", "b.py")
    meant, several = {one: "jitter", two: "samples"}, {two: 2}
    good = [*found(1), *found(3, 9, file="b.py")]
    report = audit.weighed(good, meant, several)
    assert (report.problems, report.notes) == ([], ["3 places are meant"])
    assert audit.weighed([*good, *found(7)], meant, several).problems == [
        "a.py:1: B311 chance (1 of 2 are meant)",
        "a.py:7: B311 chance (1 of 2 are meant)",
    ]
    assert len(audit.weighed([*good, *found(10, file="b.py")], meant, several).problems) == 3
    assert audit.weighed([*good, *found(2, test="B602")], meant, several).problems == ["a.py:2: B602 chance"]


def test_fewer_than_are_meant_is_a_problem(audit: Any) -> None:
    meant, several = {("B311", "a.py"): "jitter"}, {("B311", "a.py"): 2}
    [fewer] = audit.weighed(found(1), meant, several).problems
    assert "is there 1 times, not 2" in fewer
    [none] = audit.weighed([], meant, several).problems
    assert "take it out of MEANT" in none


def test_holes_are_told_and_so_is_what_is_not_known(audit: Any) -> None:
    hole = {"id": "PYSEC-1", "fix_versions": ["2.1"]}
    good, bad = {"name": "a", "version": "1", "vulns": []}, {"name": "b", "version": "2", "vulns": [hole]}
    unknown = {"name": "c", "skip_reason": "not found"}
    report = audit.judged([good, bad, unknown])
    assert report.problems == ["b 2: PYSEC-1, mended in 2.1"]
    assert report.notes == ["2 packages; nothing is known of c"]
    nothing = audit.judged([unknown, unknown])
    assert nothing.problems == []
    assert nothing.notes[0].startswith("NOT LOOKED AT")


@pytest.mark.parametrize(
    ("requires", "said", "code"),
    [("", "NOT LOOKED AT: no net", 0), ("all", "NOT LOOKED AT: no net", 1), ("all", "3 packages", 0)],
)
def test_where_it_is_required_what_is_not_looked_at_is_a_failure(
    requires: str, said: str, code: int, audit: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for part in ("unsafe", "agreeing"):
        monkeypatch.setattr(audit, part, audit.Report)
    monkeypatch.setattr(audit, "scan", lambda *_: audit.Report())
    monkeypatch.setattr(audit, "holes", lambda: audit.Report(notes=[said]))
    monkeypatch.setenv("DAGLAB_REQUIRE", requires)
    assert audit.main() == code
    assert f"packages   {'WRONG' if code else 'ok'}: {said}" in capsys.readouterr().out


def test_the_pipeline_requires_all_of_it() -> None:
    workflow = (REPOSITORY / ".github" / "workflows" / "security.yml").read_text(encoding="utf-8")
    assert "      - run: make audit\n        env:\n          DAGLAB_REQUIRE: all" in workflow
