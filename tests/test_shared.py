"""What all registries of one file share in a process."""

import gc
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from promptreg.storage.sqlite.shared import Shared


class Value:
    """Anything that can be shared."""


@pytest.fixture
def busy_switching() -> Iterator[None]:
    """Have threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-9)
    yield
    sys.setswitchinterval(interval)


def test_a_value_is_shared_until_nobody_holds_it() -> None:
    """Then the next one is new, and the one before leaves nothing behind."""
    shared: Shared[Value] = Shared()
    first = Value()
    assert shared.setdefault("file", first) is first
    assert shared.setdefault("file", Value()) is first
    other = Value()
    assert shared.setdefault("other", other) is other
    del first
    gc.collect()
    assert [*shared._kept] == ["other"]
    shared.replace("other", third := Value())
    del other
    gc.collect()
    assert shared.setdefault("other", Value()) is third


@pytest.mark.slow
@pytest.mark.usefixtures("busy_switching")
def test_threads_that_drop_a_value_take_none_from_others() -> None:
    """What a thread holds is what it is given again, while others let theirs go at any moment."""
    shared: Shared[Value] = Shared()
    lost: list[Value] = []
    end = time.monotonic() + 2

    def hold_and_drop() -> None:
        while not lost and time.monotonic() < end:
            held = shared.setdefault("file", Value())
            if shared.setdefault("file", Value()) is not held:
                lost.append(held)
            del held

    threads = [threading.Thread(target=hold_and_drop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not lost
