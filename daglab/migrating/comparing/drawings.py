"""What a cell shows beside its figures: what a call that draws gives back, which nobody means to see."""

from __future__ import annotations

import ast
import re

from daglab.migrating import edits
from daglab.migrating.displaying import shown

FIGURE = re.compile(r"<Figure size [\d.]+x[\d.]+ with \d+ Axes>")
LONGEST = 20_000  # characters of a value that are looked at
_PART = re.compile(
    r"<(?:matplotlib|mpl_toolkits|seaborn)\.[^<>]*>"
    r"|<(?:Axes\w*|\w*Axes3D|\w*Container|\w*Legend|Figure|a list of)\b[^<>]*>"
    r"|\b(?:Text|Axes\w*)\((?:[^()'\"]|'[^'\n]*'|\"[^\"\n]*\")*\)"
)
_NUMBERS = re.compile(r"\b(?:array|np\.\w+|dtype=\w+|nan|inf|object)\b|[\d\s.,;:()\[\]{}+-]|(?<=[\d.])e")
_KEYS = re.compile(r"'(?:whiskers|caps|boxes|medians|fliers|means|bodies|cmeans|cmins|cmaxes|cbars|cmedians)'")


def is_part(text: str | None) -> bool:
    """Whether a value is a drawing's part, or several, by themselves or with the numbers that were drawn."""
    if not text or len(text) > LONGEST or not _PART.search(text):
        return False
    return not _NUMBERS.sub("", _KEYS.sub("", _PART.sub("", text)))


def ends_in_part(source: str) -> bool:
    """Whether a cell's last expression sets something of a drawing, as `ax.set_xlim(0, 1)` does."""
    tree = edits.parsed(source)
    last = tree.body[-1] if tree and tree.body else None
    value = last.value if isinstance(last, ast.Expr) else None
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in shown.PARTS
