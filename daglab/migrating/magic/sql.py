"""`%sql` and `%%sql` as marimo's own SQL."""

from __future__ import annotations

import re

from daglab import parse, redaction
from daglab.migrating import cells
from daglab.migrating.magic import expansion, rewrites

ENGINE = "sql_engine"
_CONNECTION = re.compile(r"[A-Za-z][\w+.-]*://\S*|\{\{?\s*[\w.]+\s*\}\}?(?=\s|$)|\$\w+(?=\s|$)|@\w+(?=\s|$)")
_ASSIGNED = re.compile(r"\s*([^\W\d]\w*)\s*(=)?<<\s*")
_OPTION = re.compile(
    r"\s*(?:--(?:with|save|connection_arguments|alias|creator|section|file|append|persist(?:-replace)?|close)"
    r"|-[wSAxnfcsplPX])(?:[ =]\S+|(?=\s|$))|\s*--(?:no-execute|no-index|interact|connections)\b"
)
_FIELD = re.compile(
    r"\{\{\s*([^\W\d][\w.]*)\s*\}\}|(?<![:\w'\"])(?::)([^\W\d]\w*)(?!\w)|\$([^\W\d]\w*)|\{\s*([^\W\d][\w.]*)\s*\}"
)


def query(arguments: str, body: str | None, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`%sql`, `%%sql`: a connection becomes an engine for all that follow; a query is `mo.sql`."""
    text = arguments.strip()
    options = []
    while hit := _OPTION.match(text):
        options.append(hit[0].strip())
        text = text[hit.end() :]
    if any(not option.startswith(("--no-index", "--interact")) for option in options):
        return rewrites.kept(f"`{options[0].split()[0]}` of `%sql` has no counterpart")
    statements, notes, text = _connected(text.strip(), setting)
    name, text = "", text.strip()
    if assigned := _ASSIGNED.match(text):
        name, text = assigned[1], text[assigned.end() :]
    statement = "\n".join(part for part in (text, body or "") if part.strip()).strip("\n")
    if body is not None and (hit := _ASSIGNED.match(statement)) and not name:
        name, statement = hit[1], statement[hit.end() :]
    if not statement.strip():
        return rewrites.Rewrite(tuple(statements), notes=tuple(notes))
    before, query_code = _text(statement, setting)
    engine = f", engine={ENGINE}" if statements or ENGINE in setting.names else ""
    if not engine:
        notes.append(setting.note("magic", "`%sql` is marimo's own SQL, on DuckDB: the notebook names no connection."))
    else:
        notes.append(setting.note("magic", "`%sql` is marimo's own SQL, by an SQLAlchemy engine."))
    if name and re.search(
        rf"\b{name}\s*\.\s*(?:DataFrame|PolarsDataFrame|dict|dicts|pie|plot|bar|csv)\b", setting.text
    ):
        said = f"`{name}` is a data frame now, where ipython-sql gave a result of its own."
        notes.append(setting.note("magic", said, needs_person=True))
    call = f"daglab__mo.sql({query_code}{engine}{', output=False' if name else ''})"
    if name:
        return rewrites.Rewrite((*statements, *before, f"{name} = {call}"), notes=tuple(notes))
    return rewrites.Rewrite((*statements, *before), call, tuple(notes))


def bigquery(arguments: str, body: str, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`%%bigquery [name]`: its query by an engine of sqlalchemy-bigquery."""
    words = arguments.split()
    name = words[0] if words and words[0].isidentifier() else ""
    said = "`%%bigquery` is marimo's own SQL, by an engine for which sqlalchemy-bigquery has to be installed."
    notes = (setting.note("magic", said, needs_person=True),)
    if any(word.startswith("--params") for word in words):
        return rewrites.kept("`--params` of `%%bigquery` has no counterpart")
    engine = 'engine=daglab__sqlalchemy.create_engine("bigquery://")'
    call = f"daglab__mo.sql({expansion.literal(body)}, {engine}{', output=False' if name else ''})"
    return rewrites.Rewrite((f"{name} = {call}",), notes=notes) if name else rewrites.Rewrite(value=call, notes=notes)


def duckdb(arguments: str, body: str | None, setting: rewrites.Setting) -> rewrites.Rewrite:
    """`%%duckdb`, `%dql`: DuckDB is what marimo's SQL runs on."""
    return query(arguments, body, setting)


def _connected(text: str, setting: rewrites.Setting) -> tuple[list[str], list[cells.Note], str]:
    """The statements that connect, what is to be said of them, and the rest of the line."""
    hit = _CONNECTION.match(text)
    if not hit:
        return [], [], text
    rest = text[hit.end() :]
    address = hit[0].strip("{} ").lstrip("$@")
    if "://" not in hit[0]:
        if address not in setting.names:
            return [], [], text
        said = "The connection of `%sql` is handed to sqlalchemy.create_engine."
        return [f"{ENGINE} = daglab__sqlalchemy.create_engine({address})"], [setting.note("magic", said)], rest
    if hit[0].rstrip("/") == "duckdb:" or hit[0] == "duckdb:///:memory:":
        return [], [], rest
    if parse.display_url(hit[0]) != hit[0] and (redaction.masked_text(hit[0]) != hit[0] or "@" in hit[0]):
        shown = parse.display_url(hit[0])
        said = f"`%sql` has credentials for {shown}, which are left out: set DATABASE_URL for the notebook."
        note = setting.note("magic", said, needs_person=True)
        return [f'{ENGINE} = daglab__sqlalchemy.create_engine(daglab__os.environ["DATABASE_URL"])'], [note], rest
    engine = f"{ENGINE} = daglab__sqlalchemy.create_engine({expansion.literal(hit[0])})"
    return [engine], [setting.note("magic", f"`%sql` connects to {hit[0]} by an SQLAlchemy engine.")], rest


def _text(statement: str, setting: rewrites.Setting) -> tuple[list[str], str]:
    """Statements before a query, which quote the values that `:name` stands for, and the query's Python."""
    parts: list[str | expansion.Expression] = []
    before: list[str] = []
    at = 0
    for hit in _FIELD.finditer(statement):
        name = next(each for each in hit.groups() if each)
        if name.partition(".")[0] not in setting.names:
            continue
        parts.append(statement[at : hit.start()])
        at = hit.end()
        if hit[2] is None:
            parts.append(expansion.Expression(name))
            continue
        quoted = f"_{name.strip('_')}_quoted"
        line = f"""{quoted} = "'" + {name}.replace("'", "''") + "'" if isinstance({name}, str) else {name}"""
        before += [line] if line not in before else []
        parts.append(expansion.Expression(quoted))
    parts.append(statement[at:])
    return before, expansion.code(parts)
