"""Waiting until this registry has seen a revision, which carries read-your-writes from one machine to another."""

import time

from promptreg.arguments import read_wait
from promptreg.core import Core
from promptreg.errors import RETRY_AFTER, StorageBusyError
from promptreg.telemetry.names import STALE

FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.02  # seconds between two looks, which hold nothing while they wait
LEAST_PATIENCE = 0.05  # seconds that a look may wait for an answer, as any read does, whatever is left of the time


def revision_of(core: Core) -> int:
    """Return the revision that the database has now."""
    core.require_open()
    try:
        with core.read() as reader:
            return reader.snapshot.revision
    except BaseException as error:
        core.release_after(error)
        raise


def wait_for(core: Core, given_revision: object, given_timeout: object) -> None:
    """Return once reads through the cache see the revision; raise `StorageBusyError` after `timeout` seconds."""
    revision, seconds = read_wait(given_revision, given_timeout)
    seconds = core.busy_timeout if seconds is None else seconds
    end, pause = time.monotonic() + seconds, FIRST_PAUSE
    while not _has_seen(core, revision, max(end - time.monotonic(), LEAST_PATIENCE)):
        left = end - time.monotonic()
        if left <= 0:
            raise StorageBusyError(
                f"{core.storage.profile.location} did not reach revision {revision} within {seconds:g} s; wait again,"
                " or read what is there.",
                reason="not_reached",
                retry_after=RETRY_AFTER,
            )
        time.sleep(min(pause, left))
        pause = min(pause * 2, LONGEST_PAUSE)


def _has_seen(core: Core, revision: int, patience: float) -> bool:
    """Return whether the cache is current at that revision, or a later one; what does not answer has not been seen."""
    try:
        generation, state = core.current_generation(patience)
    except StorageBusyError as error:
        core.release_after(error)
        return False
    return state != STALE and generation.position is not None and generation.position.revision >= revision
