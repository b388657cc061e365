"""The private names of Python that storages depend on; `tests/test_slots.py` fails where one of them is lost."""

import contextlib
import inspect
import re
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, cast

_CONTEXTS = contextlib.__file__
_GENERATOR = inspect.CO_GENERATOR
_SUSPENDED = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR  # code that can be suspended
_OWNER = re.compile(r" owner=(\d+) ")


def ownership(lock: Any) -> Callable[[], bool]:
    """Return a function that returns whether the calling thread holds this `threading.RLock`."""
    return cast(Callable[[], bool], lock._is_owned)


def owner_of(lock: Any) -> int | None:
    """Return the identifier of the thread that holds a `threading.RLock`; None where no thread does."""
    shown = _OWNER.search(repr(lock))
    return int(shown[1]) or None if shown else None


def calling_frame() -> FrameType:
    """Return the frame that called the function that calls this; of a context manager, the one with the `with`.

    Generators and `contextlib` are passed over, as they are on no stack while the body of a `with` runs.
    """
    frame = sys._getframe(1)
    outer = frame.f_back
    while outer is not None and (outer.f_code.co_flags & _GENERATOR or outer.f_code.co_filename == _CONTEXTS):
        outer = outer.f_back
    return outer or frame


def is_running(frame: FrameType | None, codes: frozenset[CodeType]) -> bool:
    """Return whether that frame, or any of a function with such code, is on the stack of the calling thread."""
    caller: FrameType | None = sys._getframe(1)
    while caller is not None:
        if caller is frame or caller.f_code in codes:
            return True
        caller = caller.f_back
    return False


def may_be_running(frame: FrameType | None, codes: frozenset[CodeType], thread: int) -> bool:
    """Return whether that frame, or any of a function with such code, may be on the stack of a thread.

    The thread may go on meanwhile. A function that returns leaves its frame linked to its caller's; a generator that is
    suspended does not, so that a stack that seems to end at one says nothing.
    """
    caller: FrameType | None = sys._current_frames().get(thread)
    last = caller
    while caller is not None:
        if caller is frame or caller.f_code in codes:
            return True
        last, caller = caller, caller.f_back
    return last is not None and bool(last.f_code.co_flags & _SUSPENDED)
