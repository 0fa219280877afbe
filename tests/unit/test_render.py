"""Templates and the literals in them: whatever a name holds, it stays data."""

from __future__ import annotations

import ast
import random
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import pytest

from daglab import render

NASTY = [
    '"',
    "'",
    '"""',
    "\\",
    '\\"',
    "\\N{BULLET}",
    "\n",
    "\r\n",
    "\0",
    "\x1b[2J",
    "\x7f",
    "\x85",
    "\ud800",
    "\udfff\ud800",
    "\u202e",
    "\u2066",
    "\u2028",
    "\ufeff",
    "\U000e0001",
    "\U0001f389",
    "{{ 7 * 7 }}",
    "{x}",
    "%s",
    "#",
    "é",
    "ﬁ",
]


def random_text(rng: random.Random) -> str:
    def piece() -> str:
        return rng.choice(NASTY) if rng.random() < 0.5 else chr(rng.randrange(0x110000))

    return "".join(piece() for _ in range(rng.randrange(12)))


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(name: str, text: str) -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        monkeypatch.setattr(render, "TEMPLATES", tmp_path)
        return name

    return make


def test_any_text_survives_as_a_literal_that_shows_what_it_is() -> None:
    rng = random.Random(8)
    for text in NASTY + [random_text(rng) for _ in range(3000)]:
        literal = render.python_literal(text)
        assert ast.literal_eval(literal) == text
        assert literal.isprintable()
        assert literal[0] == ("'" if '"' in text and "'" not in text else '"')
        # As a file it is read back the same: no surrogate in it, and no normalisation.
        namespace: dict[str, Any] = {}
        exec(compile(f"value = {literal}\n".encode(), "generated.py", "exec"), namespace)
        assert namespace["value"] == text


@pytest.mark.parametrize("value", [None, 0, -1, 1.5, True, [], ["a", ["b", None]], ["\ud800", 3]])
def test_other_values_survive_too(value: object) -> None:
    assert ast.literal_eval(render.python_literal(value)) == value


def test_a_tuple_becomes_a_list() -> None:
    assert render.python_literal(("a", "b")) == '["a", "b"]'


def test_a_template_gets_its_values_as_literals(template: Any) -> None:
    name = template("x.py.j2", "value = {{ name | py }}\n")
    hostile = '"\nimport os  # {{ 7 * 7 }}'
    text = render.render(name, name=hostile)
    assert len(text.splitlines()) == 1
    assert text.endswith("\n")
    assert ast.literal_eval(text.removeprefix("value = ").strip()) == hostile


def test_a_forgotten_value_is_an_error(template: Any) -> None:
    with pytest.raises(jinja2.UndefinedError):
        render.render(template("x.txt.j2", "{{ forgotten }}"))


def test_text_is_not_escaped(template: Any) -> None:
    assert render.render(template("x.md.j2", "{{ name }}"), name="a < b") == "a < b"


def test_a_value_may_be_called_template(template: Any) -> None:
    assert render.render(template("x.txt.j2", "{{ template }}"), template="t") == "t"


def test_every_template_of_the_package_parses() -> None:
    environment = render._environment(jinja2.FileSystemLoader(render.TEMPLATES))
    names = [path.relative_to(render.TEMPLATES).as_posix() for path in render.TEMPLATES.rglob("*.j2")]
    assert names
    for name in names:
        environment.get_template(name)


def test_a_page_takes_every_value_for_text_but_markup(template: Any) -> None:
    render._pages.cache_clear()
    name = template("x.html.j2", "<p>{{ text }}{{ html }}</p>")
    try:
        assert render.page(name, text="<b>", html=markupsafe.Markup("<i>")) == "<p>&lt;b&gt;<i></p>"
    finally:
        render._pages.cache_clear()  # the package's own templates come next


@pytest.fixture
def folders(tmp_path: Path) -> Any:
    """A project's templates with these texts, beside a file that is none of them."""
    own = tmp_path / "own"
    own.mkdir()
    (tmp_path / "secret.j2").write_text("secret")

    def make(**texts: str) -> dict[str, Path]:
        for name, text in texts.items():
            (own / f"{name}.j2").write_text(text)
        return {"own": own}

    return make


def test_somebody_else_s_template_extends_another_and_writes_values_as_literals(folders: Any) -> None:
    base = "{% block a %}{% endblock %}b = {{ each | py }}\n"
    made = folders(
        base=base,
        x="{% extends 'own/base.j2' %}{% block a %}{% for k in n.k %}a{{ loop.index }} = {{ k | py }}\n"
        "{% endfor %}{% endblock %}",
    )
    text = render.render_from(made, "own/x.j2", {"each": 1, "n": {"k": ['"', "{{ 7 }}"]}})
    assert text == 'a1 = \'"\'\na2 = "{{ 7 }}"\nb = 1\n'


@pytest.mark.parametrize(
    "text", ["{{ text }}", "{{ texts[0] }}", "{{ mapping.key }}", "{% for k in mapping %}{{ k }}{% endfor %}"]
)
def test_a_text_that_is_written_without_the_filter_is_an_error(folders: Any, text: str) -> None:
    values = {"text": "import os", "texts": ["import os"], "mapping": {"key": "import os"}}
    with pytest.raises(jinja2.TemplateRuntimeError, match=r"write '(import os|key)' by the filter py"):
        render.render_from(folders(x=text), "own/x.j2", values)


@pytest.mark.parametrize("name", ["own/../secret.j2", "other/x.j2", "own/", "own/none.j2", "/secret.j2"])
def test_a_template_outside_of_its_folders_is_not_found(folders: Any, name: str) -> None:
    with pytest.raises(jinja2.TemplateNotFound):
        render.render_from(folders(x="{% include '" + name + "' %}"), "own/x.j2", {})


@pytest.mark.parametrize("value", [{"a": 1}, {1}, jinja2.Undefined(name="forgotten"), object()])
def test_what_has_no_literal_can_t_stand_in_code(value: object) -> None:
    with pytest.raises((TypeError, jinja2.UndefinedError), match=r"can't stand in code|is undefined"):
        render.python_literal(value)
