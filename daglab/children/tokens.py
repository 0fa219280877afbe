"""Counts tokens with tiktoken; run by the project's own Python.

Takes the path of a JSON file: a list of [model, text]. Prints a JSON list beside it: the count and the encoding's
name, or why there is none. Asks no network: only encodings that are on this machine already are used. Imports nothing
of daglab: that Python may not have it.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def main() -> None:
    """Count each text."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if path != here]  # no file beside this one may hide a module
    with open(sys.argv[1], encoding="utf-8") as file:
        asked = json.load(file)
    try:
        import tiktoken
        import tiktoken.load
    except ImportError:
        say([f"{sys.executable} has no tiktoken"] * len(asked))
        return
    tiktoken.load.read_file = refuse
    found: dict[str, Any] = {}
    say([count(tiktoken, found, model, text) for model, text in asked])


def say(result: list[Any]) -> None:
    """Print the result."""
    sys.stdout.write(json.dumps(result))


def count(tiktoken: Any, found: dict[str, Any], model: str | None, text: str) -> list[Any] | str:
    """How many tokens a model's encoding makes of a text, and the encoding's name; or why that is not known."""
    if model is None:
        return "no model is named"
    if model not in found:
        found[model] = encoding(tiktoken, model)
    known = found[model]
    return known if isinstance(known, str) else [len(known.encode(text, disallowed_special=())), known.name]


def encoding(tiktoken: Any, model: str) -> Any:
    """The encoding of a model, or why there is none."""
    try:
        return tiktoken.encoding_for_model(model)
    except KeyError:
        return f"tiktoken knows no encoding of {model}"
    except Exception as error:  # a broken cache, a version that we do not know
        return f"the encoding of {model} is not on this machine ({type(error).__name__})"


def refuse(*_: Any, **__: Any) -> bytes:
    """Stand in for what would fetch an encoding from the network."""
    raise ConnectionError("nothing is fetched")


if __name__ == "__main__":
    main()
