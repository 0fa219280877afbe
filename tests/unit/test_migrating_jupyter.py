"""Jupyter notebooks as they are found: read, put right, upgraded or refused, and never a traceback."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from daglab import errors
from daglab.migrating import cells, drafts
from daglab.migrating.reading import attachments, ipynb, jupyter
from tests import jupyter_mutations

PYTHON = {"kernelspec": {"name": "python3", "language": "python"}}


def code(source: Any, **more: Any) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None, **more}


def notebook(*found: Any, metadata: Any = None, **more: Any) -> dict[str, Any]:
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata or {}, "cells": list(found), **more}


@pytest.fixture
def read(tmp_path):
    def read(content: bytes | str | Any) -> cells.Jupyter:
        path = tmp_path / "book.ipynb"
        text = content if isinstance(content, (bytes, str)) else json.dumps(content)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return jupyter.read(path)

    return read


def sources(found: cells.Jupyter) -> list[str]:
    return [each.source for each in found.cells]


def refused(read, content) -> errors.InvalidInput:
    with pytest.raises(errors.InvalidInput) as caught:
        read(content)
    assert caught.value.hint
    assert caught.value.message.isprintable()
    return caught.value


@pytest.mark.parametrize("minor", range(8))
def test_nbformat_4_of_any_minor(read, minor):
    found = read({**notebook(code(["a = 1\n", "b"])), "nbformat_minor": minor})
    assert (found.nbformat, sources(found), found.notes) == (f"4.{minor}", ["a = 1\nb"], ())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings_that_say_what_they_are(read, encoding):
    found = read(json.dumps(notebook(code("a = 'é€'")), ensure_ascii=False).encode(encoding))
    assert sources(found) == ["a = 'é€'"]
    assert len(found.notes) == 1


def test_windows_text_is_read_and_noted(read):
    found = read(json.dumps(notebook(code("a = 'é€\x81'")), ensure_ascii=False).encode("cp1252", "replace"))
    assert sources(found) == ["a = 'é€?'"]
    assert found.notes[0].needs_person


def test_lines_end_in_one_way(read):
    assert sources(read(notebook(code("a\r\nb\rc")))) == ["a\nb\nc"]


def test_half_characters_can_be_written_later(read):
    text = json.dumps(notebook(code("a = '\ud800'"), metadata={"x\udc00": ["\ud800"]}))
    found = read(text)
    assert sources(found) == ["a = '\ufffd'"]
    json.dumps(dict(found.metadata), ensure_ascii=False).encode()
    assert "surrogates" in found.notes[0].text
    assert sources(read(notebook(code("a = '😀'")))) == ["a = '😀'"]  # a pair is one character


def test_numbers_that_are_none_and_a_tail_of_nothing(read):
    text = json.dumps(notebook(code("a"))).replace('"metadata": {}', '"metadata": {"a": %s}' % ("9" * 6000), 1)
    assert sources(read(text.replace('"nbformat_minor": 5', '"nbformat_minor": NaN') + "\0\0")) == ["a"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\0" * 100, "is empty"),
        ("[1]", "a list, not an object"),
        ("3", "a number"),
        ("{}", "no list of cells"),
        ('{"nbformat": 4, "cells": {}}', "no list of cells"),
        ('{"nbformat": 3, "worksheets": 1}', "no list of worksheets"),
        ('{"nbformat": 4, "cells": [1, 2]}', "none of its cells"),
        ('{"nbformat": 5, "cells": []}', "nbformat 5"),
        ('{"paragraphs": []}', "Zeppelin"),
        ('{\n "a": 1,\n "b" 2}', "line 3 column 6"),
        ('{"nbformat": 4, "cells": [{"sou', "cut off"),
        ('{\n<<<<<<< HEAD\n"a": 1\n=======\n>>>>>>> b\n}', "merge conflict at line 2"),
        ("<html></html>", "HTML"),
        ("import marimo\napp = marimo.App()\n", "marimo notebook already"),
        ("# %%\na = 1\n", "script"),
        ("version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (bytes(range(256)), "no text"),
        ("[" * 100_000, "nested"),
        ('{"cells": [], "nbformat": 4, "metadata": {"a": %s}}' % ("[" * 300 + "]" * 300), "nested"),
    ],
)
def test_what_is_no_notebook_is_refused(read, content, said):
    assert said in refused(read, content).message


def test_paths_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.ipynb")
    (tmp_path / "loop.ipynb").symlink_to("loop.ipynb")
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(tmp_path)
        listener.bind("socket.ipynb")
        names = [tmp_path, *(tmp_path / name for name in ("pipe.ipynb", "loop.ipynb", "socket.ipynb", "x" * 300))]
        for path in [*names, Path("/dev/zero"), Path("\0"), Path("/dev/null")]:
            with pytest.raises(errors.InvalidInput) as caught:
                jupyter.read(path)
            assert caught.value.hint


def test_a_name_that_is_not_there_lists_the_nearest(tmp_path):
    (tmp_path / "orders.ipynb").touch()
    with pytest.raises(errors.NotSetUp) as caught:
        jupyter.read(tmp_path / "oders.ipynb")
    assert caught.value.hint == "Did you mean orders.ipynb?"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(read, tmp_path):
    read(notebook())
    (tmp_path / "book.ipynb").chmod(0)
    with pytest.raises(errors.InvalidInput, match="Permission denied"):
        jupyter.read(tmp_path / "book.ipynb")


def test_a_file_too_large(read, monkeypatch):
    monkeypatch.setattr(ipynb, "LARGEST", 1 << 20)
    assert "larger than 1 MB" in refused(read, b" " * ((1 << 20) + 1)).message


def test_members_of_wrong_types_are_put_right(read):
    found = read(
        {
            "nbformat": "4",
            "metadata": [1],
            "cells": [
                code(None, outputs="x", execution_count="1"),
                {"source": "a", "outputs": []},
                {"cell_type": "chart", "source": ["b", 1, None]},
                7,
                code(5, metadata={"tags": "one"}),
                {"cell_type": "heading", "level": 9, "source": "c\nd", "attachments": {"x": 1}},
                code(
                    "e",
                    metadata=3,
                    outputs=[
                        1,
                        {"output_type": "stream", "text": ["a", 2]},
                        {"output_type": "error", "traceback": [3, "t"]},
                        {
                            "output_type": "display_data",
                            "data": {"text/plain": ["x", "y"], "a/json": {}, "b+json": [1]},
                        },
                    ],
                ),
            ],
        }
    )
    assert [(each.number, each.kind, each.source) for each in found.cells] == [
        (1, "code", ""),
        (2, "code", "a"),
        (3, "raw", "b"),
        (5, "code", ""),
        (6, "markdown", "###### c d"),
        (7, "code", "e"),
    ]
    assert found.cells[3].tags == ("one",)
    assert found.cells[-1].outputs == (
        {"output_type": "stream", "name": "stdout", "text": "a"},
        {"output_type": "error", "ename": "", "evalue": "", "traceback": ["t"]},
        {"output_type": "display_data", "data": {"text/plain": "xy", "b+json": [1]}, "metadata": {}},
    )
    assert {note.cell for note in found.notes} == {None, 1, 2, 3, 4, 5, 6, 7}


OLD = {
    "metadata": {"name": "T"},
    "worksheets": [
        {
            "cells": [
                {"cell_type": "heading", "level": 2, "source": ["Hello\n", "you"]},
                {
                    "cell_type": "code",
                    "language": "python",
                    "input": ["a = 1", "b = 2"],
                    "prompt_number": 3,
                    "outputs": [
                        {"output_type": "stream", "stream": "stdout", "text": ["1\n"]},
                        {"output_type": "pyout", "prompt_number": 3, "text": ["2"], "png": "aGk=", "json": "{bad"},
                        {"output_type": "pyerr", "ename": "E", "evalue": "v", "traceback": []},
                        4,
                    ],
                },
            ]
        },
        {"cells": [{"cell_type": "markdown", "source": "m"}, 5, {"cell_type": [1], "source": {}}]},
    ],
}


@pytest.mark.parametrize("major", [2, 3])
def test_older_formats_are_upgraded(read, major, capfd):
    found = read({"nbformat": major, "nbformat_minor": 0, **OLD})
    assert found.nbformat == f"{major}.0"
    assert [(each.kind, each.source) for each in found.cells] == [
        ("markdown", "## Hello you"),
        ("code", "a = 1\nb = 2"),
        ("markdown", "m"),
        ("raw", ""),
    ]
    assert found.cells[1].execution_count == 3
    kinds = [output["output_type"] for output in found.cells[1].outputs]
    assert kinds == ["stream", "execute_result", "error"]
    assert found.cells[1].outputs[1]["data"] == {"text/plain": "2", "image/png": "aGk="}
    assert capfd.readouterr() == ("", "")


def test_the_first_format_says_nothing_of_itself(read):
    found = read({"cells": [{"cell_type": "code", "code": "a"}, {"cell_type": "text", "text": "t"}]})
    assert [(each.kind, each.source) for each in found.cells] == [("code", "a"), ("markdown", "t")]


def test_without_nbformat_an_older_one_names_the_extra(read, monkeypatch):
    monkeypatch.setitem(sys.modules, "nbformat.converter", None)
    with pytest.raises(errors.NotSetUp) as caught:
        read({"nbformat": 3, **OLD})
    assert caught.value.hint == "pip install 'daglab[migrate]'"
    assert sources(read(notebook(code("a")))) == ["a"]


def test_an_older_notebook_of_another_language(read):
    text = json.dumps({"nbformat": 3, **OLD}).replace('"python"', '"R"')
    assert "is in R" in refused(read, text).message


@pytest.mark.parametrize(
    ("name", "language", "info"),
    [
        ("ir", "R", "R"),
        ("ir", None, None),
        ("julia-1.9", "julia", None),
        ("bash", "bash", None),
        ("sos", None, None),
        ("deno", "typescript", None),
        ("xcpp17", "C++17", None),
        (".net-csharp", "C#", None),
        ("sagemath", "python", "python"),
        ("pysparkkernel", "python", "pyspark"),
        ("spylon-kernel", "scala", None),
        ("gophernotes", None, None),
        ("evcxr", None, "Rust"),
        ("octave", "octave", None),
    ],
)
def test_other_kernels_are_refused_by_name(read, name, language, info):
    metadata = {"kernelspec": {"name": name, "language": language}, "language_info": {"name": info}}
    assert name in refused(read, notebook(code("a = 1"), metadata=metadata)).message.lower().replace("sagemath", name)


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("python3", "Python"),
        ("conda-env-x-py", None),
        ("Python [conda env:x]", None),
        ("xpython", "python"),
        ("pyspark", "python"),
        ("my-project", None),
        (3, []),
    ],
)
def test_kernels_of_python(read, name, language):
    assert read(notebook(code("a = 1"), metadata={"kernelspec": {"name": name, "language": language}}))


def test_without_metadata_the_code_tells(read):
    assert "in R" in refused(read, notebook(code("x <- 5"), code("library(ggplot2)"), code("print(x)"))).message
    assert "in bash" in refused(read, notebook(code("echo hi"), code("for x in a; do\necho $x\ndone"))).message
    for plain in (
        ("print 'old'", "x = 1"),
        ("%matplotlib inline\nx?", "a = !ls"),
        ("x < -5",),
        ("%%R\nx <- 1", "%%bash\necho a"),
    ):
        assert read(notebook(*map(code, plain)))


def test_a_python_notebook_may_hold_other_languages(read):
    found = read(notebook(code("%%R\nx <- 1"), code("%%julia\nusing X"), metadata=PYTHON))
    assert len(found.cells) == 2


def test_python_2_is_read_and_said(read):
    found = read(notebook(code("1 / 2"), metadata={"kernelspec": {"name": "python2", "language": "python"}}))
    assert [(note.kind, note.needs_person) for note in found.notes] == [("format", True)]


def test_title_and_authors(read):
    found = read(notebook(metadata={"title": " A\nb ", "authors": [{"name": "C"}, "D", 3]}))
    assert (found.title, found.notes[0].text[-6:]) == ("A b", " C, D.")
    front = {"cell_type": "raw", "metadata": {}, "source": "---\nformat: html\ntitle: 'T'\n---"}
    assert read(notebook(front)).title == "T"


@pytest.mark.long
def test_mutated_notebooks_end_as_a_draft_or_a_refusal(tmp_path):
    folder, marker = tmp_path / "in", tmp_path / "marker"
    folder.mkdir()
    os.chdir(folder)
    made, said = 0, []
    for name, content in list(jupyter_mutations.mutated(marker))[::3]:  # all of them go through the command itself
        path = folder / name
        path.write_bytes(content)
        try:
            draft = drafts.draft(jupyter.read(path))
        except errors.DaglabError as error:
            said.append((name, error.message, error.hint or "\n"))
        else:
            made += 1
            "".join([*(cell.code for cell in draft.cells), *(note.text for note in draft.notes)]).encode()
            for file in draft.files:
                assert Path(file).parts[0] == attachments.FOLDER, name
                assert (folder / file).resolve().is_relative_to(folder / attachments.FOLDER), name
        assert path.read_bytes() == content, name
        path.unlink()
    assert made > 30
    assert [each for each in said if not "".join(each).isprintable()] == []
    assert list(tmp_path.rglob("*")) == [folder]


def test_an_older_notebook_of_odd_parts_is_upgraded_as_far_as_it_is_one(read):
    outputs = [{"output_type": 5}, {"output_type": "pyout", "text": ["2"], "metadata": 3, "json": "{"}]
    body = [{"cell_type": "code", "input": "a", "outputs": outputs}, {"cell_type": "text", "source": ["t"]}]
    found = read({"nbformat": 3, "worksheets": [{"cells": body}]})
    assert [(each.kind, each.source) for each in found.cells] == [("code", "a"), ("markdown", "t")]
    assert [each["data"] for each in found.cells[0].outputs] == [{"text/plain": "2"}]


def test_what_the_converter_stumbles_over_is_the_file_s_fault(read, monkeypatch):
    import nbformat.converter

    def stumbles(*_):
        raise KeyError("cell")

    monkeypatch.setattr(nbformat.converter, "convert", stumbles)
    said = refused(read, {"nbformat": 3, **OLD})
    assert "can't be upgraded from nbformat 3: KeyError" in said.message
    assert "save it anew" in said.hint
