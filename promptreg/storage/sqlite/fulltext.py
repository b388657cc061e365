"""The full-text index: what is written to it, and what it is asked.

The table holds the folded words of `promptreg.tokenizer`, which SQLite's `ascii` tokenizer takes as they are: it
splits at ASCII alone, so no table of Unicode in any SQLite has a say. It is written by code and by no trigger.
"""

import sqlite3

from promptreg.errors import StorageCorruptError
from promptreg.records import Container, Snapshot
from promptreg.storage.sqlite.rows import (
    SHOWN,
    SHOWN_FIELDS,
    read_shown,
)
from promptreg.tokenizer import folded, terms

SEARCH_COLUMNS = ("name", "title", "description", "tags", "template")
CREATE = f"CREATE VIRTUAL TABLE search USING fts5({', '.join(SEARCH_COLUMNS)}, tokenize = 'ascii')"
MAX_PHRASE = 32  # words
MAX_SOUGHT = 128  # characters of a tag; full text takes a second for a phrase of 10,000 equal words

_REPLACE = f"REPLACE INTO search (rowid, {', '.join(SEARCH_COLUMNS)}) VALUES (?{', ?' * len(SEARCH_COLUMNS)})"


def index(connection: sqlite3.Connection, key: int, container: Container, snapshot: Snapshot) -> None:
    """Write what a prompt is found by."""
    connection.execute(_REPLACE, (key, *searched_text(container, snapshot)))


def searched_text(container: Container, snapshot: Snapshot) -> tuple[str, str, str, str, str]:
    """Return what full text finds a prompt by, folded: name, title, description, tags, template."""
    template = snapshot.template
    text = template if isinstance(template, str) else "\n".join(m["content"] for m in template if "content" in m)
    return (
        folded(container.name),
        folded(snapshot.title),
        folded(snapshot.description),
        folded("\n".join(snapshot.tags)),
        folded(text),
    )


def rebuild(connection: sqlite3.Connection) -> None:
    """Write the index anew from the rows, one at a time; a prompt whose rows are damaged is left out of it."""
    connection.execute("DELETE FROM search")
    for key, *row in connection.execute(f"SELECT p.key, {SHOWN_FIELDS} FROM prompts p {SHOWN} ORDER BY p.key"):
        try:
            container, version = read_shown(row)
        except StorageCorruptError:  # which whoever asks for that prompt is told, and nobody who asks for others
            continue
        index(connection, key, container, version.snapshot)


def matching(connection: sqlite3.Connection, text: str) -> str | None:
    """Return the query that finds the prompts with every term of a text; None where it has no term."""
    found = terms(text) if text.isascii() or is_folded(connection) else text.split()
    phrases = dict.fromkeys(phrase for term in found for phrase in _parts(term))
    return " ".join(map(_phrase, phrases)) or None


def _parts(term: str) -> list[str]:
    """Return a term whole, or one of many words in parts, which all must be there though apart.

    Full text compares each word of a phrase with each place where it stands: a phrase of a thousand equal words takes
    seconds.
    """
    words = term.split(" ")
    starts = range(0, max(len(words) - MAX_PHRASE, 0), MAX_PHRASE)
    return [" ".join(words[at : at + MAX_PHRASE]) for at in (*starts, max(len(words) - MAX_PHRASE, 0))]


def tagged(connection: sqlite3.Connection, tag: str) -> str | None:
    """Return the query that finds at least the prompts with a tag; None where the index can't find it."""
    if len(tag) > MAX_SOUGHT or not terms(tag) or not (tag.isascii() or is_folded(connection)):
        return None
    return f"tags : {_phrase(folded(tag))}"


def is_folded(connection: sqlite3.Connection) -> bool:
    """Return whether the index holds folded words; in a file of an older schema that can only be read it does not."""
    (count,) = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE name = 'search' AND sql LIKE '%''ascii''%'"
    ).fetchone()
    return bool(count)


def _phrase(words: str) -> str:
    return '"' + words.replace('"', '""') + '"'
