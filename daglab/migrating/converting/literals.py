"""Text in cells that comes through marimo's files unchanged: each cell is indented there, and more."""

from __future__ import annotations

import ast
import io
import re
import token
import tokenize

from daglab.migrating import edits

# Begins a line for marimo's indenting, or becomes a space.
_ODD = re.compile("[\x0b\x0c\x1c-\x1f\x85\xa0\u2028\u2029]")
_AFTER = re.compile(rf"(\\*)({_ODD.pattern})")
_BLANK = re.compile(r"(?<=\n)([ \t]*)([ \t])(?=\n)")
_FAINT = re.compile(r"[ \t](?=\n)")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\xa0\xad\u2028\u2029\ufeff]")
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")  # halves of characters, and what Python takes in no source
_BLANK_LINES = re.compile(r"\A(?: *\n)+")  # before the first line that says something
_MARGIN = 4  # spaces by which markdown knows code
_PREFIX = re.compile(r"[A-Za-z]*")
_TEXTS = {token.STRING, getattr(token, "FSTRING_MIDDLE", token.STRING)}


def steady(code: str) -> str:
    """A cell's code in which no string changes when marimo indents it, and takes the indentation away again."""
    code = lines_ended_alike(code)
    if "mo.md(" in code:
        code = _shown(code)
    if not (_ODD.search(code) or _BLANK.search(code)):
        return code
    try:
        made = _escaped(code)
        if ast.dump(ast.parse(made)) == ast.dump(ast.parse(code)):
            return made
    except (*edits.TOO_MUCH, tokenize.TokenError, IndexError):
        pass
    return code


def _shown(code: str) -> str:
    """Code that does nothing but show a literal as markdown, in a form that marimo's converter leaves as it is."""
    tree = edits.parsed(code)
    if tree is None or len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
        return code
    call = tree.body[0].value
    if not isinstance(call, ast.Call) or ast.unparse(call.func) != "mo.md" or call.keywords or len(call.args) != 1:
        return code
    if not isinstance(call.args[0], ast.Constant) or not isinstance(call.args[0].value, str):
        return code
    begin, end = edits.span(code, tree.body[0])
    if not code[:begin].strip() and not code[end:].strip() and "#" not in code:
        return markdown(call.args[0].value)
    first, last = edits.span(code, call.args[0])
    text = f"({code[first:last]})" if "\n" in code[first:last] else code[first:last]
    return f"{code[:begin]}_text = {text}\n{code[begin:first]}_text{code[last:]}"


def lines_ended_alike(text: str) -> str:
    """The text with the line ends that Python reads, whatever they were."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def markdown(text: str) -> str:
    """Code that shows markdown: marimo's own form where that keeps the text, else one with escapes.

    Blanks at the end of lines go where they mean nothing, and so does indentation that means nothing.
    """
    text = _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", lines_ended_alike(text)).expandtabs()  # as mo.md does
    text = _BLANK_LINES.sub("", text).rstrip("\n")
    margin = _margin(text)
    if margin >= _MARGIN:
        text = f"<!-- -->\n\n{text}"  # mo.md would take the indentation away, and with it the code that it marks
    elif margin:
        text = "\n".join(line[margin:] for line in text.split("\n"))
    lines = text.split("\n")
    text = "\n".join(_ended(line, after) for line, after in zip(lines, [*lines[1:], ""], strict=True)).rstrip()
    if not text.strip():
        return 'mo.md(r"""\n \n""")'
    if _is_plain(text):
        if '""' not in text:
            return f'mo.md(r"""\n{text}\n""")'
        if "\\" not in text:
            return 'mo.md("""\n' + text.replace('""', '"\\"') + '\n""")'
    return f"_text = {quoted(text)}\nmo.md(_text)"


def quoted(text: str) -> str:
    """A string literal over several lines that nothing changes; it begins and ends with a line end of its own."""
    text = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    text = _FAINT.sub(lambda found: rf"\x{ord(found[0]):02x}", f"\n{text}\n")
    return '"""' + _UNPRINTABLE.sub(lambda found: _escape(found[0]), text) + '"""'


def _ended(line: str, after: str) -> str:
    """The line with the two blanks at its end that break it, or none."""
    bare = line.rstrip(" ")
    return f"{bare}  " if bare and after.strip(" ") and len(line) - len(bare) >= 2 else bare


def _is_plain(text: str) -> bool:
    """Whether marimo takes this for the text of a markdown cell, and leaves it as it is."""
    if _UNPRINTABLE.search(text) or text != text.strip() or "\nmo.md(" in text:
        return False
    return all(line == line.rstrip() for line in text.split("\n"))


def _margin(text: str) -> int:
    """By how many spaces every line is indented."""
    return min((len(line) - len(line.lstrip(" ")) for line in text.split("\n") if line.strip()), default=0)


def _escape(character: str) -> str:
    number = ord(character)
    return character if character in "\n\t" else rf"\x{number:02x}" if number < 256 else rf"\u{number:04x}"


def _escaped(code: str) -> str:
    lines = code.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    changes, raw = [], False
    for each in tokenize.generate_tokens(io.StringIO(code, newline="\n").readline):
        if tokenize.tok_name[each.type] == "FSTRING_START":
            raw = "r" in each.string.lower()
        if each.type not in _TEXTS or not (_ODD.search(each.string) or _BLANK.search(each.string)):
            continue
        start = starts[each.start[0] - 1] + each.start[1]
        end = starts[each.end[0] - 1] + each.end[1]
        prefix = _PREFIX.match(each.string)[0].lower() if each.type == token.STRING else "r" * raw  # type: ignore[index]
        if "r" in prefix and ("f" in prefix or each.type != token.STRING):
            continue  # nothing can be escaped there: the cell is kept as text, if it comes to that
        new = repr(ast.literal_eval(each.string)) if "r" in prefix else _in_string(code[start:end])
        changes.append(edits.Edit(start, end, new))
    return edits.apply(code, changes)


def _in_string(text: str) -> str:
    text = _BLANK.sub(lambda found: found[1] + rf"\x{ord(found[2]):02x}", text)
    # A backslash before an odd character is one, and would be part of its escape.
    return _AFTER.sub(lambda found: found[1] + "\\" * (len(found[1]) % 2) + _escape(found[2]), text)
