"""Editing a config file as a person would: one line changes, comments and all else stay.

An edit is made in the text at the places that PyYAML's marks tell, and then read again: unless the new text says just
what the old one did, and the change, it is refused and nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daglab import errors, parse

Path = tuple[str, ...]


def set_value(text: str, path: Path, value: Any, name: str) -> str:
    """`text`, the YAML of a config file, with `value` at `path`; `name` is the file's, for messages.

    Raises `InvalidInput` where the file is written in a way that this can't edit, with what to write by hand.
    """
    problem = _by_hand(name, f"write `{'.'.join(path)}: {_inline(value)}` (with sections for the dots)")
    root = _root(text, name)
    new = _set(text, root, path, _inline(value), problem)
    before = {
        at: old for at, old in _values(text, name).items() if at[: len(path)] != path and not _empty(at, old, path)
    }
    if _read(new, name, problem) != {**before, **_flat(path, value)}:
        raise problem
    return new


def unset(text: str, path: Path, name: str) -> str:
    """`text` without what stands at `path`, and without the sections that this leaves empty; as `set_value` otherwise.

    A path that is not there changes nothing.
    """
    chain = _chain(_root(text, name), path)
    if len(chain) < len(path):
        return text
    problem = _by_hand(name, f"take {'.'.join(path)} out")
    nodes = [mapping for mapping, _, _ in chain]
    doomed = len(chain) - 1
    while doomed > 0 and len(nodes[doomed].value) == 1:
        doomed -= 1
    mapping, key, value = chain[doomed]
    if mapping.flow_style:
        raise problem
    lines = text.splitlines(keepends=True)
    del lines[key.start_mark.line : _last_line(key, value) + 1]
    new = "".join(lines)
    gone = path[: doomed + 1]
    if _read(new, name, problem) != {at: old for at, old in _values(text, name).items() if at[: len(gone)] != gone}:
        raise problem
    return new


def _set(text: str, root: Any, path: Path, inline: str, problem: errors.InvalidInput) -> str:
    end = "\r\n" if "\r\n" in text else "\n"
    chain = _chain(root, path)
    if len(chain) == len(path):
        _, key, value = chain[-1]
        start, stop = value.start_mark.index, value.end_mark.index
        if value.start_mark.line != value.end_mark.line or "\n" in text[start:stop]:
            raise problem
        gap = " " if start == stop and text[start - 1 : start] == ":" else ""
        return text[:start] + gap + inline + text[stop:]
    step = _step(root)
    if not chain:
        mapping, indent, after = root, 0 if root is None else root.start_mark.column, _end_of(root)
    else:
        _, key, mapping = chain[-1]
        indent, after = key.start_mark.column + step, _last_line(key, mapping)
        if _is_mapping(mapping) and mapping.value:
            indent = mapping.start_mark.column
    if _is_mapping(mapping) and mapping.flow_style and mapping.value:
        raise problem
    missing = path[len(chain) :]
    new = [f"{' ' * (indent + step * depth)}{_inline(part)}:{end}" for depth, part in enumerate(missing)]
    new[-1] = new[-1].removesuffix(end) + f" {inline}{end}"
    lines = text.splitlines(keepends=True)
    if after >= 0 and lines and not lines[min(after, len(lines) - 1)].endswith("\n"):
        lines[min(after, len(lines) - 1)] += end
    lines[after + 1 : after + 1] = new
    return "".join(lines)


def _chain(root: Any, path: Path) -> list[tuple[Any, Any, Any]]:
    """The mapping, key and value nodes that lead along the path, as far as they are there."""
    found: list[tuple[Any, Any, Any]] = []
    node = root
    for part in path:
        pair = next((pair for pair in node.value if pair[0].value == part), None) if _is_mapping(node) else None
        if pair is None:
            break
        found.append((node, *pair))
        node = pair[1]
    return found


def _end_of(root: Any) -> int:
    """The last line (from 0) of the file's contents; -1 for none."""
    return -1 if root is None or not root.value else _last_line(*root.value[-1])


def _last_line(key: Any, value: Any) -> int:
    """The last line (from 0) that a value stands in; a block's own end mark lies behind the comments that follow."""
    if _is_mapping(value) and value.value and not value.flow_style:
        return _last_line(*value.value[-1])
    if isinstance(value.value, list) and value.value and not value.flow_style:
        return _last_line(key, value.value[-1])
    end = value.end_mark
    line = end.line - 1 if end.column == 0 and end.line > value.start_mark.line else end.line
    return max(int(line), int(key.start_mark.line)) if value.start_mark.index != end.index else int(key.start_mark.line)


def _step(root: Any) -> int:
    """How far the file indents its sections."""
    for key, value in root.value if _is_mapping(root) else ():
        if _is_mapping(value) and value.value and not value.flow_style:
            return max(int(value.start_mark.column - key.start_mark.column), 1)
    return 2


def _is_mapping(node: Any) -> bool:
    return node is not None and node.id == "mapping"


def _root(text: str, name: str) -> Any:
    """The mapping that the file holds; None for an empty file."""
    import yaml

    parse.yaml_scalars(text, name)  # says what is wrong with a file that can't be read
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    return node if _is_mapping(node) else None


def _values(text: str, name: str) -> dict[Path, Any]:
    return {scalar.path: scalar.value for scalar in parse.yaml_scalars(text, name)}


def _read(new: str, name: str, problem: errors.InvalidInput) -> dict[Path, Any]:
    try:
        return _values(new, name)
    except errors.InvalidInput:
        raise problem from None


def _empty(at: Path, old: Any, path: Path) -> bool:
    """Whether it is a section that was empty and now holds the path."""
    return old in (None, {}) and path[: len(at)] == at


def _flat(path: Path, value: Any) -> dict[Path, Any]:
    """As `yaml_scalars` reads it."""
    if isinstance(value, Mapping) and value:
        return {(*path, str(key)): item for key, item in value.items()}
    return {path: [*value] if isinstance(value, tuple) else value}


def _inline(value: Any) -> str:
    """A value as YAML on one line."""
    import yaml

    plain = [*value] if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value
    text = yaml.safe_dump([plain], default_flow_style=True, width=1_000_000, allow_unicode=True, sort_keys=False)
    return str(text).strip()[1:-1]


def _by_hand(name: str, what: str) -> errors.InvalidInput:
    return errors.InvalidInput(
        f"{name} is written in a way that daglab can't edit; nothing was changed.", f"Do it by hand: {what}."
    )
