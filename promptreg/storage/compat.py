"""The private names of Python that storages depend on; `tests/test_slots.py` fails where one of them is lost."""

import contextlib
import inspect
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, cast

_CONTEXTS = contextlib.__file__
_GENERATOR = inspect.CO_GENERATOR


def ownership(lock: Any) -> Callable[[], bool]:
    """Return a function that returns whether the calling thread holds this `threading.RLock`."""
    return cast(Callable[[], bool], lock._is_owned)


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
