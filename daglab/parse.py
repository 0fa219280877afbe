"""Pure parsers of what users type and write: asset keys, addresses, targets, YAML with positions."""

from __future__ import annotations

import difflib
import ipaddress
import itertools
import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from daglab import errors

# Limits of a config file: aliases make a short text endless.
MAX_DEPTH = 20
MAX_VALUES = 1000
MAX_ITEMS = 10_000  # of one of its lists, with all that stands in it
# And of run config, which may be long. Neither holds a number that Python refuses to print.
MAX_NODES = 1_000_000
MAX_BITS = 1000

# A host's name, or an address in brackets. Libraries disagree on where a host with other characters ends.
_COLOURS = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")
_NETLOC = re.compile(r"([\w-]{1,63}(\.[\w-]{1,63})*\.?|\[[0-9a-fA-F:.]+\])(:[0-9]+)?")
# What PyYAML's constructors let through for text that their patterns take and they can't read: 0x_, !!bool maybe.
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError)
_UNREADABLE_TEXT = "the value is not what it looks like; put text in quotes"
_MEND = "Mend the YAML at that place."
_WITHOUT_ALIASES = "Write it without aliases."


@dataclass(frozen=True)
class Scalar:
    """A value of a YAML file: the keys that lead to it, and the line (from 1) that it stands in."""

    path: tuple[str, ...]
    value: Any
    line: int

    @property
    def key(self) -> str:
        """The keys as one dotted name."""
        return ".".join(self.path)


def asset_key(text: str) -> tuple[str, ...]:
    """The parts of an asset key written `a/b`. Raises `InvalidInput` for an empty part."""
    parts = tuple(part.strip() for part in text.strip().split("/"))
    if not all(parts):
        raise errors.InvalidInput(f"{text!r} is not an asset key.", "Write it as it is listed, such as a/b.")
    return parts


def asset_keys(text: str) -> list[tuple[str, ...]]:
    """The keys of a comma list `a/b,c`, each once, in their order."""
    keys = [asset_key(part) for part in text.split(",") if part.strip()]
    if not keys:
        raise errors.InvalidInput("The asset selection is empty.", "Name assets like this: orders,src/customers.")
    return list(dict.fromkeys(keys))


def names(texts: Iterable[str]) -> list[str]:
    """The names in comma lists, each once, in their order."""
    found = (name.strip() for text in texts for name in text.split(","))
    return list(dict.fromkeys(name for name in found if name))


def since(text: str, flag: str) -> float:
    """The time that `7d`, `12h`, `30m`, a date or a time stands for, in seconds since 1970; without a zone it is local.

    Raises `WrongUsage` for what is none of these.
    """
    hint = f"Write {flag} 7d, 12h, 30m, 2026-11-01 or 2026-11-01T06:00:00+01:00."
    if span := re.fullmatch(r"(\d{1,6})([smhdw])", text.strip()):
        return time.time() - float(span[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[span[2]]
    try:
        return datetime.fromisoformat(text.strip().replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError, OSError):
        raise errors.WrongUsage(f"{text!r} is no time.", hint) from None


def duration(text: str, flag: str) -> int:
    """The seconds that `7d`, `12h`, `30m`, `90s` or `2w` stands for. Raises `WrongUsage` for anything else."""
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text.strip())
    if not found or not int(found[1]):
        raise errors.WrongUsage(f"{text!r:.40} is no span of time.", f"Write {flag} 7d, 12h, 30m or 90s.")
    return int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}[found[2]]


def seconds(text: str) -> float:
    """The seconds that `90`, `0.5`, or a `duration` such as `5m` stands for. Raises `ValueError` for anything else."""
    try:
        return duration(text, "")
    except errors.WrongUsage:
        found = float(text)
    if found != found:
        raise ValueError(f"{text!r} is no number")
    return found


def span(text: str, flag: str) -> tuple[str, str]:
    """The two ends of `A..B`. Raises `WrongUsage` for what has not two."""
    first, dots, last = (part.strip() for part in text.partition(".."))
    if not (first and dots and last):
        raise errors.WrongUsage(f"{text!r} is no range.", f"Write {flag} 2026-11-01..2026-11-30.")
    return first, last


def pairs(text: str, flag: str) -> dict[str, str | None]:
    """The tags of `k=v,k2=v2`; a key alone has the value None. Raises `WrongUsage` for one without a key."""
    found: dict[str, str | None] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = part.partition("=")
        if not key.strip():
            raise errors.WrongUsage(f"{part!r} in {flag} has no key.", f"Write it like {flag} team=sales,tier=1.")
        found[key.strip()] = value.strip() if equals else None
    return found


def whole_pairs(texts: Iterable[str], flag: str, noun: str = "tag") -> dict[str, str]:
    """The tags of texts that are each `k=v`; a value may hold anything. Raises `WrongUsage` else, or for one twice."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise errors.WrongUsage(f"{text!r} is not a {noun} with its value.", f"Write {flag} KEY=VALUE.")
        if key in found:
            raise errors.WrongUsage(f"The {noun} {key} is given twice.", f"A {noun} has one value.")
        found[key] = value
    return found


@dataclass(frozen=True)
class AttachTarget:
    """What an export is attached to: an asset, perhaps one partition of it, or the assets of a job."""

    asset: tuple[str, ...] = ()
    partition: str | None = None
    job: str | None = None


def attach_target(text: str) -> AttachTarget:
    """A target written `asset:KEY[@PARTITION]`, `asset://KEY[:PARTITION]` or `job:NAME`.

    In the first form the last @ counts, in the second one the first colon. Raises `WrongUsage` for another form,
    `InvalidInput` for a key with an empty part.
    """
    kind, colon, rest = text.partition(":")
    if kind == "job" and rest.strip():
        return AttachTarget(job=rest.strip())
    if kind != "asset" or not colon:
        raise errors.WrongUsage(
            f"{text!r} is not a target to attach to.", "Write --attach asset:KEY, asset:KEY@PARTITION or job:NAME."
        )
    if rest.startswith("//"):
        key, mark, partition = rest.removeprefix("//").partition(":")
    elif "@" in rest:
        key, mark, partition = rest.rpartition("@")
    else:
        key, mark, partition = rest, "", ""
    if mark and not partition:
        raise errors.WrongUsage(f"{text!r} ends without a partition.", f"Name it after the {mark}, or leave that out.")
    return AttachTarget(asset=asset_key(key), partition=partition or None)


def base_url(text: str) -> str:
    """An address of a web server, without a trailing slash and without Dagster's `/graphql`.

    Raises `InvalidInput` for another scheme, a missing host, a query, or credentials inside.
    """
    try:
        url = urlsplit(text.strip())
        port = url.port  # raises for what is no port
    except ValueError:
        url, port = urlsplit(""), None
    if "@" in url.netloc:
        raise errors.InvalidInput(
            f"The address {display_url(text)} holds credentials.", "Leave them out and name a token_env instead."
        )
    if url.scheme not in ("http", "https") or not _NETLOC.fullmatch(url.netloc) or port == 0:
        raise errors.InvalidInput(
            f"{display_url(text)} is not the address of a web server.", "Write it like http://127.0.0.1:3000."
        )
    if url.query or url.fragment:
        raise errors.InvalidInput(f"The address {display_url(text)} ends in a query.", "Leave that part out.")
    path = url.path.rstrip("/").removesuffix("/graphql").rstrip("/")
    return urlunsplit((url.scheme, url.netloc.lower(), path, "", ""))


def origin(url: str) -> str:
    """Scheme, host and port of an address, the port always there: what credentials are bound to."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = (parts.hostname or "").lower()
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def without_colours(text: str) -> str:
    """Text without what a terminal would take for colours and the like (ECMA-48's control sequences)."""
    return _COLOURS.sub("", text)


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own."""
    host = (urlsplit(url).hostname or "").lower()
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def plain(link: str | None) -> str | None:
    """A link as it may be shown and compared: without its query, where a signature would be."""
    return display_url(link) if link and "?" in link else link


def display_url(url: str) -> str:
    """An address as it may be shown: no credentials, no query; not at all where they can't be told apart."""
    try:
        parts = urlsplit(url)
        _port = parts.port  # raises for what is no port: it may be a password with a slash in it
    except ValueError:
        return "what is given"
    if not parts.netloc and "@" in url:
        return "what is given"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def did_you_mean(name: str, names: Iterable[str]) -> str | None:
    """A hint with the nearest right names; None when nothing is near."""
    near = difflib.get_close_matches(name, list(names), n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(near)}?" if near else None


def run_config(text: str, what: str) -> dict[str, Any]:
    """Run config written in YAML or JSON, read as Dagster reads it: timestamps stay text.

    Raises `InvalidInput` with line and column for what can't be read, and for what is not a mapping
    or can't be sent as JSON.
    """
    import yaml

    try:
        loader = _loader()(text)
        node = loader.get_single_node()
        if _is_longer(node, MAX_NODES):
            raise errors.InvalidInput(f"The {what} holds more than {MAX_NODES} values.", _WITHOUT_ALIASES)
        value = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise errors.InvalidInput(f"The {what} is not YAML: {_yaml_problem(error)}.", _MEND) from None
    except RecursionError:
        raise errors.InvalidInput(f"The {what} is nested too deep.", "Write it flatter.") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise errors.InvalidInput(
            f"The {what} is a {type(value).__name__}, not a mapping.", "Start it with a key such as `ops:`."
        )
    try:
        return _json_mapping(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise errors.InvalidInput(
            f"The {what} holds a value that JSON can't: {error}.", "Put text in quotes."
        ) from None


def yaml_scalars(text: str, name: str) -> list[Scalar]:
    """Every value of a YAML file that holds nested mappings, in its order, with its line.

    A list is one value. An empty file has none. Raises `InvalidInput` with file, line and column for what is
    not YAML, for a key given twice, for a file that is no mapping, and for one without end.
    """
    import yaml

    try:
        loader = _loader()(text)
        node = loader.get_single_node()
        if node is None or (isinstance(node, yaml.ScalarNode) and loader.construct_object(node) is None):
            return []
        if not isinstance(node, yaml.MappingNode):
            raise errors.InvalidInput(f"{name}:1: a mapping is expected.", "Start it with `version: 1`.")
        found = list(itertools.islice(_walk(loader, node, (), name), MAX_VALUES + 1))
    except yaml.YAMLError as error:
        raise errors.InvalidInput(f"{name}: {_yaml_problem(error)}.", _MEND) from None
    except RecursionError:
        raise errors.InvalidInput(f"{name}: it is nested too deep.", "Write it flatter.") from None
    if len(found) > MAX_VALUES:
        raise errors.InvalidInput(f"{name}: it holds more than {MAX_VALUES} values.", _WITHOUT_ALIASES)
    return found


def _walk(loader: Any, node: Any, parents: tuple[str, ...], name: str) -> Iterator[Scalar]:
    import yaml

    seen = set()
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode) or len(parents) > MAX_DEPTH:
            raise errors.InvalidInput(f"{name}:{line}: a plain key is expected.", "Write `key: value`.")
        path = (*parents, key_node.value)
        if path in seen:
            raise errors.InvalidInput(
                f"{name}:{line}: the key {'.'.join(path)} stands here twice.", "Delete one of the two."
            )
        seen.add(path)
        if isinstance(value_node, yaml.MappingNode) and value_node.value:
            yield from _walk(loader, value_node, path, name)
        elif _is_longer(value_node, MAX_ITEMS):
            raise errors.InvalidInput(f"{name}:{line}: this holds more than {MAX_ITEMS} values.", _WITHOUT_ALIASES)
        else:
            yield Scalar(path, loader.construct_object(value_node, deep=True), line)


def _is_longer(node: Any, most: int) -> bool:
    """Whether a node holds more than `most` others, each counted as often as an alias repeats it."""
    import yaml

    waiting, found = [node], 0
    while waiting and found <= most:
        found += 1
        its = waiting.pop()
        if isinstance(its, yaml.SequenceNode):
            waiting += its.value
        elif isinstance(its, yaml.MappingNode):
            waiting += [each for pair in its.value for each in pair]
    return found > most


def _json_mapping(value: dict[Any, Any]) -> dict[str, Any]:
    """What JSON makes of it; NaN is refused, as servers do."""
    result: dict[str, Any] = json.loads(json.dumps(value, allow_nan=False))
    return result


def _loader() -> Any:
    """PyYAML's safe loader without timestamps, as Dagster's own (dagster_shared.yaml_utils, 1.13)."""
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {  # noqa: RUF012 (as the class above it has)
            first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            try:
                found = super().construct_object(node, deep)
                if isinstance(found, int) and found.bit_length() > MAX_BITS:
                    raise ValueError(node.tag)
                return found
            except _UNREADABLE as error:
                raise yaml.constructor.ConstructorError(
                    problem=_UNREADABLE_TEXT, problem_mark=node.start_mark
                ) from error

    return Loader


def _yaml_problem(error: Any) -> str:
    """What is wrong, and where, without the text around it: that could hold a secret."""
    import yaml

    if isinstance(error, yaml.reader.ReaderError):
        return f"character {error.position + 1} (U+{error.character:04X}) is not allowed in YAML"
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "unreadable"
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else str(problem)
