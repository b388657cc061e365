"""Committing what one call writes: all of it in one transaction, or nothing, and so that its caller knows which.

The plan is made on a read, so a refusal, and a call that changes nothing, takes no lock. Its outcome is vetted outside
any transaction. If anything was committed meanwhile, the plan is made again inside the write, where it stays true; an
outcome that is no longer what was vetted is vetted again.

A call that is to be made once takes the lock also where it was made before: its outcome is returned only once all that
was read of it is durable.

Where a commit's outcome is unknown, it is found out (`resolving.py`). If it has happened, the call returns as if
nothing had; if not, the call is committed once more, and of that it is only found out.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from promptreg.errors import CommitUnknownError, NotFoundError, StorageError
from promptreg.lookup import find_readable
from promptreg.records import Change, Container, Link
from promptreg.resolving import READ, Transactions, resolved
from promptreg.rules.access import View
from promptreg.rules.names import Reference
from promptreg.rules.operations import NO_LINK, Call, UnknownCommit, operation_id_of
from promptreg.storage.base import Reader, Snapshot, Writer
from promptreg.telemetry.spans import note

if TYPE_CHECKING:
    from promptreg.once import Once


class Plan(Protocol):
    """The result of planning: anything with changes."""

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes to write; empty where the verb changes nothing."""
        ...


P = TypeVar("P", bound=Plan)
T = TypeVar("T")
P_contra = TypeVar("P_contra", bound=Plan, contravariant=True)


class Vetted(Protocol[P_contra]):
    """What a result of planning was vetted on."""

    @property
    def checked(self) -> tuple[Container, ...]:
        """The prompts, as the caller named them, of which examples or functions ran."""
        ...

    def covers(self, final: P_contra, /) -> bool:
        """Return whether what is about to be written was vetted; raise `VersionConflictError` (rule 9)."""
        ...

    def require_names(self, found: Sequence[Container | None]) -> None:
        """Raise `VersionConflictError` where one of `checked`, as it is found now, has another name."""
        ...


ONCE = "Make the same call on registry.once(error.details['operation_id']), which writes only what does not hold."


class _Applied(NamedTuple, Generic[P]):
    """What a transaction has applied, and its first event, if it has any."""

    done: P
    first: Link | None

    def operation_id(self, view: View, call: Call) -> str:
        """Return the operation id by which its caller can find out later whether it was committed."""
        events = sum(len(change.events) for change in self.done.changes)
        return operation_id_of(UnknownCommit(self.first or NO_LINK, events, call.hash(view)))


class Commit(Generic[P]):
    """The commit of one call."""

    def __init__(
        self,
        transactions: Transactions,
        view: View,
        plan: Callable[[Reader], P],
        vet: Callable[[P], Vetted[P]] | None,
        call: Call | None,
        once: "Once | None",
    ) -> None:
        self._transactions, self._view = transactions, view
        self._plan, self._vet, self._call, self._once = plan, vet, call, once
        self._seen: Snapshot | None = None  # what the plan was made on that is to be written
        self._is_recalled = False
        self._unknown: _Applied[P] | None = None
        """What was applied by a commit of which it is still unknown whether it has happened."""

    def run(self) -> P:
        """Plan, vet and write, and return what was written."""
        with self._transactions.read() as reader:
            proposed, self._seen = self._planned(reader), reader.snapshot
        if not proposed.changes and self._once is None:
            note(changed=False)
            return proposed
        while True:
            evidence = self._vet(proposed) if self._vet is not None and proposed.changes else None
            final, is_done = self._committed(partial(self._write, proposed, evidence))
            if is_done:
                note(changed=bool(final.changes))
                return final
            proposed = final

    def _planned(self, reader: Reader) -> P:
        """Return what the call did, where it is to be made once and was made before, or else its plan."""
        if self._once is not None:
            recalled: P | None = self._once.recalled(reader)
            self._is_recalled = recalled is not None
            if recalled is not None:
                return recalled
        return self._plan(reader)

    def _is_to_be_written(self, planned: P) -> bool:
        return bool(planned.changes) or (self._once is not None and not self._is_recalled)

    # Writing

    def _write(self, proposed: P, evidence: Vetted[P] | None) -> tuple[P, bool]:
        """Write the plan; return it as it is now, and whether it is done or is to be vetted again before it is written.

        Where the outcome of a commit before is unknown, return what that one has written, if it has happened.
        """
        applied: _Applied[P] | None = None
        try:
            with self._transactions.write() as writer:
                earlier = self._found(writer)
                if earlier is not None:
                    return earlier, True
                final = proposed if writer.snapshot == self._seen else self._planned_again(writer, evidence)
                seen = writer.snapshot
                is_vetted = self._is_vetted(final, evidence)
                if is_vetted and self._is_to_be_written(final):
                    self._unknown = None  # as it has not happened
                    operation = None if self._once is None else self._once.operation(final)
                    applied = _Applied(final, writer.apply(final.changes, operation))
        except CommitUnknownError:
            self._unknown = applied
            raise
        finally:
            self._transactions.note_written()
        if not is_vetted:
            self._seen = seen
        return final, is_vetted

    def _found(self, writer: Writer) -> P | None:
        """Return what the commit before has written, if it has happened after all, and otherwise None.

        What is there is known to hold only once the transaction has ended, as what it has read is durable then; of a
        commit without an event only the plan tells, made again.
        """
        unknown = self._unknown
        if unknown is None or unknown.first is None:
            return None
        if writer.has_event(unknown.first):
            return unknown.done
        self._unknown = None
        return None

    def _planned_again(self, writer: Reader, evidence: Vetted[P] | None) -> P:
        """Return the plan made again within the write.

        Raises `VersionConflictError` where a prompt was renamed while it was checked, so that its old name finds
        nothing.
        """
        try:
            return self._planned(writer)
        except NotFoundError as error:
            refusal = error
        if evidence is not None:
            references = [Reference(checked.id, is_id=True) for checked in evidence.checked]
            evidence.require_names(find_readable(writer, self._view, references))
        raise refusal

    def _is_vetted(self, final: P, evidence: Vetted[P] | None) -> bool:
        if self._vet is None or not final.changes:
            return True
        return evidence is not None and evidence.covers(final)

    # Commits of unknown outcome

    def _committed(self, write: Callable[[], tuple[P, bool]]) -> tuple[P, bool]:
        """Write; where it is unknown whether that was committed, find out, and write once more if it was not."""
        try:
            return write()
        except CommitUnknownError as error:
            unknown = error
        try:
            for resolve in (write, self._look):
                try:
                    return self._resolved(unknown, resolve)
                except CommitUnknownError as error:
                    if error is unknown:
                        raise
                    unknown = error  # of the second commit
            raise unknown
        finally:
            self._transactions.expire()

    def _look(self) -> tuple[P, bool]:
        """Return what was written twice, if it was committed; raise `StorageError` where it was not."""
        with self._transactions.write() as writer:
            found = self._found(writer)
            final = self._planned(writer) if found is None else found
        if found is not None or not self._is_to_be_written(final):  # as there was no event to be found
            return final, True
        self._unknown = None
        raise StorageError("The commit failed, was repeated and failed again; nothing was written.", reason="io_error")

    def _resolved(self, unknown: CommitUnknownError, resolve: Callable[[], T]) -> T:
        """Return what a function finds out, or does, once the outcome of a commit can be told.

        Raises the error with an operation id where that is not so within `busy_timeout`.
        """
        applied = self._unknown
        try:  # what is raised once it is told is about the repeat, or another commit
            return resolved(self._transactions, unknown, resolve, lambda: self._unknown is not applied)
        except CommitUnknownError as error:
            if error is not unknown:
                raise
        raise self._explained(unknown, applied)

    def _explained(self, unknown: CommitUnknownError, applied: "_Applied[P] | None") -> CommitUnknownError:
        """Return the error with an operation id, where the call can be made once."""
        if applied is None or self._call is None:
            unknown.restate(f"{unknown.message} {READ}")
        else:
            own = self._view.operation_id
            unknown.details["operation_id"] = own or applied.operation_id(self._view, self._call)
            unknown.restate(f"{unknown.message} {ONCE}")
        return unknown
