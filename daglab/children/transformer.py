"""Runs a transform file over objects, for `daglab collections copy --transform`; by the project's own Python.

`python transformer.py FILE`, with a socket as its standard input that carries one JSON document a line. It says first
{"ready": true, "schema": whether there is a transform_schema}, or {"flaw": text, "line": number or null}.
Asked {"schema": {...}} it answers {"schema": {...}}; asked {"objects": [...]} it answers {"objects": [...]}, null for
one that is dropped; or {"problem": text, "id": ..., "line": ...}. Vectors go as base64 of 64-bit floats, a multi-vector
as a list of such texts; one that the transform left as it was comes back as true.
What the file prints goes to standard error. Imports nothing of daglab: that Python may not have it.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import math
import os
import socket
import sys
from array import array
from collections.abc import Callable
from typing import Any

KEYS = {"id", "properties", "vector", "vectors"}


class WrongResult(Exception):
    """What the file's function gives back is not what it should be."""


def main() -> None:
    """Load the file, then answer until nobody asks any more."""
    path = os.path.abspath(sys.argv[1])
    sys.path[0] = os.path.dirname(path)  # as if the file were run; and no file beside this one may hide a module
    channel = taken_channel()
    try:
        module = load(path)
    except BaseException as error:  # SystemExit, too: whatever ends it is told
        say(channel, json.dumps({"flaw": told(error), "line": line_of(error, path)}))
        return
    if not callable(getattr(module, "transform", None)):
        say(channel, json.dumps({"flaw": "it has no function transform(obj)", "line": None}))
        return
    say(channel, json.dumps({"ready": True, "schema": callable(getattr(module, "transform_schema", None))}))
    with channel.makefile("rb") as asked:
        for line in asked:
            say(channel, answer(json.loads(line), module, path))


def taken_channel() -> socket.socket:
    """The socket; what the file reads from standard input is nothing, and what it prints goes to standard error."""
    channel = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return channel


def load(path: str) -> Any:
    """The file as a module."""
    spec: Any = importlib.util.spec_from_file_location("transform", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["transform"] = module  # as dataclasses in it need
    spec.loader.exec_module(module)
    return module


def answer(asked: dict[str, Any], module: Any, path: str) -> str:
    """What is answered, as JSON."""
    if "schema" in asked:
        return schema_text(asked["schema"], module.transform_schema, path)
    texts = []
    for each in asked["objects"]:
        try:
            texts.append(object_text(each, module.transform))
        except Exception as error:
            return problem(error, module.transform, path, each["id"])
        except SystemExit as error:
            return problem(error, module.transform, path, each["id"])
    return '{"objects":[' + ",".join(texts) + "]}"


def schema_text(schema: dict[str, Any], function: Callable[[Any], Any], path: str) -> str:
    """A schema as `transform_schema` makes it."""
    try:
        found = function(schema)
        if not isinstance(found, dict):
            raise WrongResult(f"transform_schema gives back {kind(found)}, and not a dict")
        return json.dumps({"schema": found}, allow_nan=False)
    except (Exception, SystemExit) as error:
        return problem(error, function, path, None)


def object_text(given: dict[str, Any], function: Callable[[Any], Any]) -> str:
    """An object as `transform` makes it, checked, as JSON."""
    packed_vector, packed_vectors = given.get("vector"), given.get("vectors") or {}
    found = function(
        {
            "id": given["id"],
            "properties": given["properties"],
            "vector": unpacked(packed_vector) if packed_vector else None,
            "vectors": {name: unpacked(each) for name, each in packed_vectors.items()},
        }
    )
    if found is None:
        return "null"
    check(found, given["id"])
    vectors = found.get("vectors") or {}
    if not isinstance(vectors, dict):
        raise WrongResult(f"its vectors are {kind(vectors)}, and not a dict")
    result = {
        "id": str(found["id"]).lower(),
        "properties": found["properties"],
        "vector": returned(found.get("vector"), packed_vector),
        "vectors": {str(name): returned(each, packed_vectors.get(name)) for name, each in vectors.items()},
    }
    try:
        return json.dumps(result, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise WrongResult(f"its properties can't be written as JSON: {error}") from None


def check(found: Any, before: str) -> None:
    """Raises `WrongResult` for what is no object, and for one with another id: two might have the same then."""
    if not isinstance(found, dict):
        raise WrongResult(f"transform gives back {kind(found)}, and neither a dict nor None")
    if str(found.get("id")).lower() != before:
        raise WrongResult(f"its id is {found.get('id')!r}, and was {before}: an object keeps its id")
    if not isinstance(found.get("properties"), dict):
        raise WrongResult(f"its properties are {kind(found.get('properties'))}, and not a dict")
    if more := sorted(map(str, set(found) - KEYS)):
        raise WrongResult(f"it has {', '.join(more)} beside id, properties, vector and vectors")


def returned(vector: Any, before: Any) -> Any:
    """A vector packed; true for one that is as it was before, None for none."""
    if vector is None or len(vector) == 0:
        return None
    packed_now = packed(vector)
    return True if packed_now == before else packed_now


def packed(vector: Any) -> Any:
    """A vector as text, or a multi-vector as a list of texts. Raises `WrongResult`."""
    if isinstance(vector, (str, bytes, dict)):
        raise WrongResult(f"a vector is {kind(vector)}, and not a list of numbers")
    if hasattr(vector[0], "__len__") and not isinstance(vector[0], (str, bytes)):
        return [packed(each) for each in vector]
    try:
        numbers = array("d", vector)
    except (TypeError, OverflowError) as error:
        raise WrongResult(f"a vector holds something that is no number: {error}") from None
    if not all(map(math.isfinite, numbers)):
        raise WrongResult("a vector holds a number that is not finite")
    return base64.b64encode(numbers.tobytes()).decode()


def unpacked(text: Any) -> Any:
    """The numbers of a vector, or of each one of a multi-vector."""
    if isinstance(text, list):
        return [unpacked(each) for each in text]
    numbers = array("d")
    numbers.frombytes(base64.b64decode(text))
    return numbers.tolist()


def problem(error: BaseException, function: Any, path: str, uuid: Any) -> str:
    """What went wrong with an object, and on which line of the file."""
    if isinstance(error, WrongResult):
        line = getattr(getattr(function, "__code__", None), "co_firstlineno", None)
        return json.dumps({"problem": str(error), "id": uuid, "line": line})
    return json.dumps({"problem": told(error), "id": uuid, "line": line_of(error, path)})


def told(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {error}"[:2000]


def line_of(error: BaseException, path: str) -> Any:
    """The last line of the file that an exception has come through."""
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == path else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def kind(value: Any) -> str:
    """What a value is, for a message."""
    return "nothing" if value is None else f"a {type(value).__name__}"


def say(channel: socket.socket, text: str) -> None:
    """Answer with one line."""
    channel.sendall(text.encode() + b"\n")


if __name__ == "__main__":
    main()
