"""Magics about what is around a notebook: its folder, its environment's variables, files that it writes or runs."""

from __future__ import annotations

import re

from daglab.migrating.magic import expansion, rewrites, shell

# Magics that are commands of the system, and the command; the rest of the line is its arguments.
ALIASES = {
    "ls": "ls -F",
    "ll": "ls -F -o",
    "cat": "cat",
    "cp": "cp",
    "mv": "mv",
    "rm": "rm",
    "mkdir": "mkdir",
    "rmdir": "rmdir",
    "man": "man",
    "more": "cat",
    "less": "cat",
}
_VARIABLE = re.compile(r"[^\s=]+")


def alias(name: str, arguments: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`%ls`, `%rm` and their like, which IPython runs as commands."""
    return shell.command(f"{ALIASES[name]} {arguments}".strip(), setting)


def cd(arguments: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`%cd`: says where it is then, or, as IPython does, what went wrong."""
    words = rewrites.plain_words(arguments) if expansion.plain(setting.parts(arguments)) is not None else []
    quiet = "-q" in arguments.split()
    if "-b" in arguments.split() or re.match(r"\s*-(?:\d|-)", arguments):
        return rewrites.kept("bookmarks and numbers of `%cd` have no counterpart")
    if words or not arguments.strip():
        target = " ".join(word for word in words if word != "-q") or "~"
    else:
        target = re.sub(r"(?:^|\s)-q(?=\s|$)", "", arguments).strip().strip("\"'")
    remembered = 'daglab__os.environ["OLDPWD"] = daglab__os.getcwd()' if _goes_back(setting.text) else ""
    if target == "-":
        moves = ['_folder = daglab__os.environ["OLDPWD"]', remembered, "daglab__os.chdir(_folder)"]
    elif target.startswith(("~", "{", "$")):
        moves = [remembered, f"daglab__os.chdir(daglab__os.path.expanduser({setting.code(target)}))"]
    else:
        moves = [remembered, f"daglab__os.chdir({setting.code(target)})"]
    body = "\n".join(rewrites.INDENT + move for move in moves if move)
    code = f"try:\n{body}\nexcept OSError as _error:\n    print(_error)"
    said = () if quiet else ("print(daglab__os.getcwd())",)
    return rewrites.Rewrite((code, *said), notes=(setting.note("magic", "`%cd` is os.chdir, for the whole process."),))


def _goes_back(text: str) -> bool:
    return re.search(r"(?m)^[ \t]*%?cd[ \t]+(?:-q[ \t]+)?-[ \t]*$", text) is not None


def pwd(arguments: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`%pwd`: the folder."""
    return rewrites.Rewrite(value="daglab__os.getcwd()", notes=(setting.note("magic", "`%pwd` is os.getcwd."),))


def env(arguments: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`%env`: all variables, those hidden whose names say that they are secrets; one of them; or a new value."""
    text = arguments.strip()
    notes = (setting.note("magic", "`%env` is os.environ."),)
    if not text:
        hidden = 'any(_word in _name.lower() for _word in ("key", "token", "secret"))'
        shown = f'{{_name: "<hidden>" if {hidden} else _value for _name, _value in daglab__os.environ.items()}}'
        return rewrites.Rewrite(value=shown, notes=notes)
    separator = "=" if "=" in text else " "
    if separator not in text:
        return rewrites.Rewrite(value=f"daglab__os.environ[{setting.code(text)}]", notes=notes)
    return set_env(arguments, setting)


def set_env(arguments: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`%set_env NAME=value`, which says so, too."""
    name, separator, value = arguments.strip().partition("=" if "=" in arguments else " ")
    name, value = name.strip(), value.strip()
    if not separator or not _VARIABLE.fullmatch(name):
        return rewrites.kept("IPython does not take these arguments either")
    parts = setting.parts(f"{name}\0{value}")
    if expansion.plain(parts) is None and (expansion.plain(setting.parts(name)) is None or len(parts) < 2):
        return rewrites.kept("a variable whose name is computed has no counterpart")
    said = setting.parts(f"env: {name}={value}")
    statements = (f"daglab__os.environ[{setting.code(name)}] = {setting.code(value)}", f"print({expansion.code(said)})")
    return rewrites.Rewrite(statements, notes=(setting.note("magic", "`%env` is os.environ."),))


def writefile(arguments: str, body: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`%%writefile [-a] FILE`: the body, byte for byte, with what IPython says of it."""
    words = [word for word in shell.words(arguments) if word not in ("-a", "--append")]
    append = len(words) < len(shell.words(arguments))
    if len(words) != 1 or words[0].startswith("-"):
        return rewrites.kept("IPython does not take these arguments either")
    name = words[0][1:-1] if len(words[0]) > 1 and words[0][0] == words[0][-1] and words[0][0] in "'\"" else words[0]
    code = setting.code(name)
    expanded = name.startswith(("~", "{", "$"))
    path = f"daglab__pathlib.Path({code})" + (".expanduser()" if expanded else "")
    there, mode = ("Appending to", "a") if append else ("Overwriting", "w")
    statements = (
        f"_path = {path}",
        f'print("{there}" if _path.exists() else "Writing", {"_path" if expanded else code})',
        f'with _path.open("{mode}", encoding="utf-8") as _file:\n    _file.write({expansion.literal(body)})',
    )
    return rewrites.Rewrite(statements, notes=(setting.note("magic", "`%%writefile` writes its text by pathlib."),))
