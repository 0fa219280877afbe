"""Shell commands and scripts of other languages, run by subprocess with the shell's own syntax."""

from __future__ import annotations

import re

from daglab.migrating import cells
from daglab.migrating.magic import expansion, rewrites

# Programs that get a cell's body on their standard input.
PROGRAMS = (
    "bash",
    "cmd",
    "perl",
    "pypy",
    "python",
    "python2",
    "python3",
    "ruby",
    "sh",
    "zsh",
    "node",
    "powershell",
    "pwsh",
)
_BASH = re.compile(
    r"\[\[|<\(|>\(|<<<|\|&|&>|\$'|\(\(|pipefail|(?:^|[;&|]\s*)(?:source|shopt|pushd|popd|function|declare|mapfile)\s"
    r"|\{[^{}\s]*(?:,|\.\.)[^{}\s]*\}|\$\{\w+[^}\w:-]"
)
_PERHAPS = re.compile(r"\{[^{}\s][^{}]*\}|\$[a-z_]\w*")
_CD = re.compile(r"\s*cd(\s+[^;&|\n]*)?\s*")
_ATTRIBUTES = re.compile(r"\.(?:s|n|l|p|spstr|nlstr|paths|grep|fields)\b")
_OPTION = re.compile(r"--(out|err|proc)(?:=|\s+)(\S+)|--(bg|no-raise-error)\b")
_WORD = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""")


def command(text: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`!command`: what it prints is printed as one text once it has ended, errors too, as IPython shows them."""
    if _CD.fullmatch(text):
        return rewrites.dropped(setting.note("shell", "Dropped `!cd`: it changes the folder of its own shell alone."))
    if not text.strip():
        return rewrites.dropped(setting.note("shell", "Dropped an empty shell command."))
    if text.rstrip().endswith("&") and not text.rstrip().endswith("&&"):
        note = "A command is started in the background; IPython itself refuses to, other Jupyters don't."
        started = f"_process = daglab__subprocess.Popen({setting.code(text)}, shell=True{_executable(text)})"
        return rewrites.Rewrite((started,), notes=(setting.note("shell", note, needs_person=True),))
    said = "A shell command is run by subprocess; its output is printed when it has ended."
    notes = (setting.note("shell", said), *_unknown(text, setting))
    if "_exit_code" not in setting.text:
        return rewrites.Rewrite((f'print({output(text, setting)}, end="")',), notes=notes)
    ran = f"_ran = {_run(text, setting)}"
    printed = 'print(_ran.stdout.decode(errors="replace"), end="")'
    return rewrites.Rewrite((ran, printed, "_exit_code = _ran.returncode"), notes=notes)


def lines(text: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`!!command`, `x = !command`: the list of the lines that it prints."""
    notes = [setting.note("shell", "A shell command is run by subprocess; its lines are a plain list.")]
    if _ATTRIBUTES.search(setting.text):
        said = "The list of a command's lines is a plain one: it has no `.s`, `.n`, `.l`, `.grep` or `.fields`."
        notes = [setting.note("shell", said, needs_person=True)]
    return rewrites.Rewrite(value=f"{output(text, setting)}.splitlines()", notes=(*notes, *_unknown(text, setting)))


def _unknown(text: str, setting: rewrites.Setting) -> tuple[cells.Note, ...]:
    """What is to be said of names in a command that a star import may bring."""
    if "import *" not in setting.text or setting.parts(text) != (text,) or not _PERHAPS.search(text):
        return ()
    told = "A command is taken as it stands: whether a star import brings the names in it is not known."
    return (setting.note("shell", told, needs_person=True),)


def output(text: str, setting: rewrites.Setting) -> str:
    """An expression: what a command prints, errors included."""
    return f'{_run(text, setting)}.stdout.decode(errors="replace")'


def _run(text: str, setting: rewrites.Setting) -> str:
    streams = "stdout=daglab__subprocess.PIPE, stderr=daglab__subprocess.STDOUT"
    return f"daglab__subprocess.run({setting.code(text)}, shell=True{_executable(text)}, {streams})"


def _executable(text: str) -> str:
    """IPython takes the user's own shell, most often bash; sh will do for what it understands."""
    return ', executable="/bin/bash"' if _BASH.search(text) else ""


def words(text: str) -> list[str]:
    """A magic's arguments, quotes and all."""
    return _WORD.findall(text)


def script(program: str, arguments: str, body: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`%%bash`, `%%script program`: the program gets the body on its standard input; its failure raises."""
    options: dict[str, str] = {}
    flags: set[str] = set()
    for hit in _OPTION.finditer(arguments):
        if hit[1]:
            options[hit[1]] = hit[2]
        else:
            flags.add(hit[3])
    rest = _OPTION.sub("", arguments)
    called = [expansion.code(setting.parts(word.strip("\"'"))) for word in words(f"{program} {rest}")]
    if "bg" in flags or "proc" in options or not called or not all(map(str.isidentifier, options.values())):
        return rewrites.kept("a script in the background has no counterpart")
    if called[0] == '"false"':
        return rewrites.kept("it was switched off by `%%script false`")
    text = expansion.literal(body if body.endswith("\n") else body + "\n")
    ran = f"_ran = daglab__subprocess.run([{', '.join(called)}], input=_script.encode(), capture_output=True)"
    if program not in ("bash", "sh"):  # IPython says so, and goes on
        told = f'"Couldn\'t find program: " + repr({called[0]}) + "\\n"'
        missing = f'daglab__subprocess.CompletedProcess([], 0, ({told}).encode(), b"")'
        ran = f"try:\n    {ran}\nexcept FileNotFoundError:\n    _ran = {missing}"
    statements = [f"_script = {text}", ran]
    for stream, name, file in (("stdout", "out", ""), ("stderr", "err", ", file=daglab__sys.stderr")):
        decoded = f'_ran.{stream}.decode(errors="replace")'
        statements.append(f"{options[name]} = {decoded}" if name in options else f'print({decoded}, end=""{file})')
    if "no-raise-error" not in flags:
        statements.append("_ran.check_returncode()")
    said = f"A script for {called[0].strip(chr(34))} is run by subprocess."
    return rewrites.Rewrite(tuple(statements), notes=(setting.note("shell", said),))
