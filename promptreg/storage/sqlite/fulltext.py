"""The full-text index (FTS5): writing it, and building queries for it.

It holds words that `promptreg.tokenizer` has already folded and split. FTS5's `ascii` tokenizer leaves them as they
are, so results don't depend on the Unicode tables of the SQLite version. It is written by code, as triggers on FTS5
tables fail under `trusted_schema = OFF`.
"""

import sqlite3
from collections.abc import Sequence

from promptreg.errors import StorageCorruptError
from promptreg.records import Container, Snapshot
from promptreg.storage.rows import read_shown
from promptreg.storage.searched import SEARCH_COLUMNS, searched_text
from promptreg.storage.sqlite.selecting import SHOWN, SHOWN_FIELDS
from promptreg.tokenizer import folded, terms

CREATE = f"CREATE VIRTUAL TABLE search USING fts5({', '.join(SEARCH_COLUMNS)}, tokenize = 'ascii')"
MAX_PHRASE = 32  # words
MAX_TAG = 128  # characters; FTS5 takes a second for a phrase of 10,000 equal words
MAX_TAGS = 16  # of one query; more would hardly leave fewer prompts

_REPLACE = f"REPLACE INTO search (rowid, {', '.join(SEARCH_COLUMNS)}) VALUES (?{', ?' * len(SEARCH_COLUMNS)})"


def index(connection: sqlite3.Connection, key: int, container: Container, snapshot: Snapshot) -> None:
    """Write the entry of a prompt."""
    connection.execute(_REPLACE, (key, *searched_text(container, snapshot)))


def rebuild(connection: sqlite3.Connection) -> None:
    """Rebuild the index from all prompts; those whose rows are damaged are left out."""
    connection.execute("DELETE FROM search")
    for key, *row in connection.execute(f"SELECT p.key, {SHOWN_FIELDS} FROM prompts p {SHOWN} ORDER BY p.key"):
        try:
            container, version = read_shown(row)
        except StorageCorruptError:  # reported by whatever reads that prompt
            continue
        index(connection, key, container, version.snapshot)


def matching(connection: sqlite3.Connection, text: str) -> str | None:
    """Return the FTS5 query for prompts with every term of a text; None if it has no term."""
    found = terms(text) if text.isascii() or is_folded(connection) else text.split()
    phrases = dict.fromkeys(phrase for term in found for phrase in _parts(term))
    return " ".join(map(_phrase, phrases)) or None


def _parts(term: str) -> list[str]:
    """Return a term as one phrase, or a long one as several, since FTS5 takes seconds for a phrase of 1,000 words."""
    words = term.split(" ")
    starts = range(0, max(len(words) - MAX_PHRASE, 0), MAX_PHRASE)
    return [" ".join(words[at : at + MAX_PHRASE]) for at in (*starts, max(len(words) - MAX_PHRASE, 0))]


def tagged(connection: sqlite3.Connection, tags: Sequence[str]) -> str | None:
    """Return an FTS5 query that finds at least the prompts with all these tags; None if the index can't help."""
    takes_all = all(map(str.isascii, tags)) or is_folded(connection)
    indexed = [tag for tag in tags if len(tag) <= MAX_TAG and (takes_all or tag.isascii()) and terms(tag)]
    return " AND ".join(f"tags : {_phrase(folded(tag))}" for tag in indexed[:MAX_TAGS]) or None


def is_folded(connection: sqlite3.Connection) -> bool:
    """Return whether the index holds folded words, as it does not in a file of an older schema that is only read."""
    (count,) = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE name = 'search' AND sql LIKE '%''ascii''%'"
    ).fetchone()
    return bool(count)


def _phrase(words: str) -> str:
    return '"' + words.replace('"', '""') + '"'
