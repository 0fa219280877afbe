"""Pictures in markdown: attachments become files that marimo serves, and pictures beside the notebook are named.

marimo shows a file to a browser from the folder `public` beside the notebook only, and its HTML export takes pictures
in from there (up to 10 MB each, names without escapes): that is why they go there, and why their names are plain.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from daglab.migrating import cells

FOLDER = "public"
LONGEST_NAME = 60  # characters
# Mime type -> suffix; in the order in which one of several is taken. HTML is none: it would run in marimo's pages.
_SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/jpg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/svg+xml": ".svg",
    "image/bmp": ".bmp",
    "image/tiff": ".tiff",
    "image/avif": ".avif",
    "image/x-icon": ".ico",
    "application/pdf": ".pdf",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
    "video/mp4": ".mp4",
    "text/plain": ".txt",
    "text/csv": ".csv",
}
_REFERENCE = re.compile(r"(?<=[(<\"'=\s])attachment:(?P<name>[^\s)\"'<>]*)")
_PICTURE = re.compile(
    r"!\[[^\]\[\n]{0,300}\]\(\s*<?(?P<md>[^\s)>]{1,1000})|<img\b[^<>]{0,300}?\bsrc\s*=\s*[\"']?(?P<tag>[^\s\"'>]{1,1000})",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//|#|(?:\./)?public/", re.IGNORECASE)
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)


@dataclass
class Shelf:
    """The files of one notebook; `stem` is the notebook's name."""

    stem: str
    files: dict[str, bytes] = field(default_factory=dict)
    _there: dict[tuple[str, bytes], str] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)  # by names as a file system sees them that ignores case

    def put(self, name: str, mime: str, content: bytes) -> str:
        """Keep a file and tell its relative name, which holds nothing that would need an escape in a link."""
        stem, _, suffix = name.rpartition(".") if "." in name else (name, "", "")
        ending = _SUFFIXES.get(mime) or (f".{suffix.lower()}" if f".{suffix.lower()}" in _SUFFIXES.values() else ".bin")
        base = f"{FOLDER}/{plain(self.stem, 'notebook')}/{plain(stem, 'attachment')}"
        key = f"{base}{ending}".lower()
        if (key, content) not in self._there:
            path = f"{base}{ending}"
            while path.lower() in self._numbers:
                self._numbers[key] += 1
                path = f"{base}-{self._numbers[key]}{ending}"
            self._numbers[path.lower()] = 1
            self._there[key, content] = path
            self.files[path] = content
        return self._there[key, content]


def plain(name: str, otherwise: str) -> str:
    """A part of a path made of a name that may hold anything: letters, digits, `-`, `_` and dots inside.

    Where something of it was lost, a few digits of its hash follow, so that other names don't become the same.
    """
    kept = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:LONGEST_NAME].rstrip("-.")
    kept = re.sub(r"\.{2,}", ".", kept)
    if kept == name and not _RESERVED.match(kept):
        return kept
    mark = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:6]
    return f"{otherwise if _RESERVED.match(kept) or not kept else kept}-{mark}"


def turned(original: cells.Original, shelf: Shelf) -> tuple[str, list[cells.Note]]:
    """A markdown cell's text with links to its attachments turned to files on the shelf, and notes."""
    notes: list[cells.Note] = []
    paths: dict[str, str] = {}
    for name, bundle in original.attachments.items():
        kept = _content(bundle)
        if kept is None:
            text = f"The attachment {_short(name)} is broken, and left out: put the file beside the notebook yourself."
            notes.append(cells.Note("attachment", text, original.number, True))
            continue
        paths[name] = shelf.put(name, *kept)
        notes.append(cells.Note("attachment", f"{_short(name)} is now the file {paths[name]}.", original.number))
    text, missing = _linked(original.source, paths)
    for name in missing - set(original.attachments):
        said = f"It refers to {_short(name)}, an attachment that it does not have: take the link out."
        notes.append(cells.Note("attachment", said, original.number, True))
    beside = _beside(text)
    if beside:
        said = (
            f"marimo shows pictures from the folder {FOLDER} beside the notebook alone: move these there, "
            f"and mend their links: {', '.join(beside)}."
        )
        notes.append(cells.Note("markdown", said, original.number, True))
    return text, notes


def _linked(source: str, paths: Mapping[str, str]) -> tuple[str, set[str]]:
    """The text with `attachment:name` replaced, however the name is escaped; and the names that nothing is known of."""
    if "attachment:" not in source:
        return source, set()
    known = {form: path for name, path in paths.items() for form in _forms(name)}
    # Names that a link could not hold by the rules, a blank in them say, are looked for as they are.
    odd = [form for form in known if re.search(r"[\s)\"'<>]", form)][:100]
    missing: set[str] = set()
    pieces: list[str] = []
    at = 0
    for match in _REFERENCE.finditer(source):
        if match.start() < at:
            continue
        start = match.start("name")
        fit = max((form for form in odd if source.startswith(form, start)), key=len, default=match["name"])
        path = known.get(fit) or known.get(unquote(fit)) or known.get(html.unescape(fit))
        if path is None:
            missing.add(unquote(match["name"]))
            continue
        pieces += [source[at : match.start()], path]
        at = start + len(fit)
    return "".join([*pieces, source[at:]]), missing


def _forms(name: str) -> Iterable[str]:
    return {name, quote(name), quote(name, safe=""), name.replace(" ", "%20"), html.escape(name)} - {""}


def _content(bundle: Mapping[str, str]) -> tuple[str, bytes] | None:
    """The mime type and the bytes of an attachment; None where there are none."""
    order = list(_SUFFIXES)
    for mime in sorted(bundle, key=lambda each: order.index(each) if each in order else len(order)):
        text = bundle[mime]
        if mime == "image/svg+xml" and text.lstrip().startswith("<"):
            return mime, text.encode()
        packed = re.sub(r"\s+", "", text.partition(",")[2] if text.startswith("data:") else text)
        try:
            content = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        if content:
            return mime, content
    return None


def _beside(text: str) -> list[str]:
    """Pictures that a text shows and that lie in a file beside the notebook."""
    found = [match["md"] or match["tag"] for match in _PICTURE.finditer(text)]
    return [_short(each) for each in dict.fromkeys(found) if not _ELSEWHERE.match(each)][:10]


def _short(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)[:80]
