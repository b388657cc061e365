"""A read transaction: one snapshot of the database, and the statements that read prompts and versions.

Its first statements travel with those that begin it (`Session.begin`), and what plans usually ask next comes along with
a prompt, so that most verbs read in one round trip. What a row becomes is in `promptreg/storage/rows.py`.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from promptreg.models import Event
from promptreg.records import Audience, Container, EventQuery, Link, Query, Shown, Synced, VersionRecord
from promptreg.rules.names import Reference
from promptreg.storage.base import Snapshot
from promptreg.storage.hashing import operation_hash, require_whole
from promptreg.storage.postgres.audiences import audience_values, readable
from promptreg.storage.postgres.event_pages import LAST_LINK, WRITTEN_LINK, read_events, read_last_link
from promptreg.storage.postgres.heads import HEAD, Head, read_head
from promptreg.storage.postgres.queries import matching
from promptreg.storage.postgres.selecting import (
    PROMPT_FIELDS,
    SHOWN_VERSION,
    VERSION_FIELDS,
    bounded,
    version_number,
)
from promptreg.storage.postgres.sessions import Session
from promptreg.storage.postgres.statements import Row, Statement
from promptreg.storage.postgres.versions import UNPUBLISHED, Versions
from promptreg.storage.rows import (
    PROMPT_COLUMNS,
    read_places,
    read_prompt,
    read_shown,
    synced_from,
)

MAX_SEEN = 5_000  # prompts searched for a similar name, as in SQLite


class PostgresReader:
    """One consistent snapshot, for which the transaction is REPEATABLE READ, or holds the lock of the one writer.

    `head` is the registry's row where it was read already. `notice` is called with it otherwise, as soon as it is read
    and before anything else is returned; it may raise.
    """

    def __init__(self, session: Session, notice: Callable[[Head], None], head: Head | None = None) -> None:
        self.session = session
        self._head, self._notice = head, notice
        self._containers: dict[tuple[str, str], Container | None] = {}
        self._versions = Versions(self._run)

    @property
    def registry_row(self) -> Head:
        """The registry's row, which is read with the first statement."""
        if self._head is None:
            self._run()
        assert self._head is not None
        return self._head

    @property
    def snapshot(self) -> Snapshot:
        """What two transactions compare to know that nothing changed between them."""
        return Snapshot(self.registry_row.revision, self.registry_row.stamp)

    def _run(self, *statements: Statement) -> list[list[Row]]:
        """Run statements in one round trip, with the registry's row before the first ones."""
        first = [] if self._head else [HEAD]
        results = [result.rows for result in self.session.run(*first, *statements)]
        if first:
            head = read_head(results.pop(0))
            self._notice(head)
            self._head = head
        return results

    def _rows(self, text: str, /, **values: object) -> list[Row]:
        (rows,) = self._run(Statement(text, values))
        return rows

    def find(self, namespace: str, references: Sequence[Reference]) -> list[Container | None]:
        """Return the prompts of a namespace with these names and ids, in their order."""
        known = [(namespace, reference.text) for reference in references]
        if self._containers.keys() >= {*known}:
            return [self._containers[key] for key in known]
        if len(references) == 1:
            return [self._find_one(namespace, references[0])]
        found = self._find_many(namespace, references)
        for reference, container in zip(references, found, strict=True):
            self._containers[namespace, reference.text] = container
            if container is not None:
                self._versions.add_found(container, container.number_of(reference.selector))
        return found

    def _find_one(self, namespace: str, reference: Reference) -> Container | None:
        """Find a prompt, with the versions that plans ask for next, and the numbers of unpublished ones."""
        chosen, values = version_number(reference.selector)
        rows = self._rows(
            f"SELECT {PROMPT_FIELDS}, {UNPUBLISHED}, {VERSION_FIELDS} FROM $.prompts p LEFT JOIN $.versions v"
            f" ON v.prompt = p.key AND v.version = ANY(ARRAY[{SHOWN_VERSION}, p.latest_version, {chosen}])"
            f" WHERE p.namespace = %(namespace)s AND p.{'id' if reference.is_id else 'name'} = %(text)s",
            namespace=namespace,
            text=reference.text,
            **values,
        )
        if not rows:
            return None
        width = len(PROMPT_COLUMNS)
        container = read_prompt(rows[0][:width])
        self._versions.add(container, rows[0][width], (row[width + 1 :] for row in rows))
        return container

    def _find_many(self, namespace: str, references: Sequence[Reference]) -> list[Container | None]:
        found: dict[str, Container] = {}
        for row in self._rows(
            f"SELECT {PROMPT_FIELDS} FROM $.prompts p WHERE p.namespace = %(namespace)s AND p.id = ANY(%(ids)s)"
            f" UNION ALL"
            f" SELECT {PROMPT_FIELDS} FROM $.prompts p WHERE p.namespace = %(namespace)s AND p.name = ANY(%(names)s)",
            namespace=namespace,
            ids=[reference.text for reference in references if reference.is_id],
            names=[reference.text for reference in references if not reference.is_id],
        ):
            container = read_prompt(row)
            found[container.id] = found[container.name] = container  # no name is an id
        return [found.get(reference.text) for reference in references]

    def versions(self, container: Container, *, before: int | None, limit: int) -> list[VersionRecord]:
        """Return at most `limit` versions with numbers below `before`, newest first.

        Raises `StorageCorruptError` where one among them is missing that was not discarded.
        """
        return self._versions.newest(container, before, limit)

    def version_numbers(self, container: Container, which: Literal["unpublished", "publications"]) -> list[int]:
        """Return the numbers of drafts and failed versions, newest first; or the stack of publications."""
        versions = self._versions
        return versions.unpublished(container) if which == "unpublished" else versions.publications(container)

    def forget(self) -> None:
        """Forget what was read, as something was written."""
        self._containers.clear()
        self._versions.forget()

    def query(self, query: Query) -> list[Shown]:
        """Return the prompts that a listing or a search finds, each with the version that it shows."""
        statement = matching(query)
        if statement is None:
            return []
        (rows,) = self._run(statement)
        return [read_shown(row) for row in rows]

    def synced(self, namespace: str, source: str) -> Synced:
        """Return what was synchronised from a source; the hash of every prompt with a base is checked."""
        rows, places = self._run(
            Statement(
                f"SELECT {PROMPT_FIELDS} FROM $.prompts p"
                " WHERE p.namespace = %(namespace)s AND p.synced IS NOT NULL ORDER BY p.name",
                {"namespace": namespace},
            ),
            PLACES,
        )
        return Synced(synced_from(source, rows), frozenset(read_places(places)))

    def names_near(self, namespace: str, audience: Audience, name: str, *, limit: int) -> list[str]:
        """Return at most `limit` names that the audience may read, those that sort next to a name.

        On each side at most 5,000 prompts are read, as an actor may be allowed none of many.
        """
        values = {**audience_values(audience), "namespace": namespace, "name": name, "limit": limit}
        above, below = self._run(
            *(
                Statement(
                    f"SELECT p.name FROM (SELECT * FROM $.prompts WHERE namespace = %(namespace)s AND name {side}"
                    f" LIMIT {MAX_SEEN}) p WHERE {readable(audience)} LIMIT %(limit)s",
                    values,
                )
                for side in (">= %(name)s ORDER BY name", "< %(name)s ORDER BY name DESC")
            )
        )
        before = [found for (found,) in below[: max(limit - len(above), limit // 2)]]
        return before + [found for (found,) in above[: limit - len(before)]]

    def events(self, query: EventQuery) -> list[Event]:
        """Return the events that match, by their numbers; of deleted prompts only to those who see all.

        Raises `StorageCorruptError` where an event is damaged, or missing among those of somebody who sees all.
        """
        return read_events(self._run, query)

    def namespaces(self, audience: Audience, home: str | None) -> list[str]:
        """Return the namespaces in which the audience may read a prompt; `home` too, if it has any prompt."""
        rows = self._rows(
            "WITH RECURSIVE every(namespace) AS (SELECT min(p.namespace) FROM $.prompts p UNION ALL"
            " SELECT (SELECT min(p.namespace) FROM $.prompts p WHERE p.namespace > every.namespace) FROM every"
            " WHERE every.namespace IS NOT NULL)"  # a step from each to the next, by the index of names
            " SELECT every.namespace FROM every WHERE every.namespace IS NOT NULL AND (every.namespace = %(home)s OR"
            f" EXISTS (SELECT 1 FROM $.prompts p WHERE p.namespace = every.namespace AND {readable(audience)}))"
            " ORDER BY every.namespace",
            **audience_values(audience),
            home=home,
        )
        return [namespace for (namespace,) in rows]

    def operation(self, key: str, now: str) -> str | None:
        """Return the result of an operation of the last day, which the server's clock counts.

        Raises `StorageCorruptError` where it is not what was written.
        """
        rows = self._rows(
            "SELECT result, hash FROM $.operations WHERE key = %(key)s AND at > pg_catalog.now() - interval '24 hours'",
            key=key,
        )
        if not rows:
            return None
        ((result, stored),) = rows
        require_whole(stored, "the operation", key, operation_hash, key, result)
        return str(result)

    def has_event(self, link: Link) -> bool:
        """Return whether the chain has an event with this number and hash."""
        return bool(
            self._rows(
                "SELECT 1 FROM $.events WHERE seq = %(seq)s AND hash = %(hash)s", seq=bounded(link[0]), hash=link[1]
            )
        )

    def head(self) -> str:
        """Return the hash of the last event; raise `StorageCorruptError` unless it is the last that was written."""
        return read_last_link(*self._run(LAST_LINK, WRITTEN_LINK))[1]


PLACES = Statement("SELECT prompt_id, synced FROM $.deletions WHERE synced IS NOT NULL")
