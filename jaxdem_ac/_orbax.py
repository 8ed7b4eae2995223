"""Orbax, without what it prints: its errors come as errors, and are told in one line."""

import logging
import os
import re
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from traceback import extract_tb
from types import ModuleType

# TensorStore says "...: No space left on device [os_error_code='28']".
_CODE = re.compile(r"\[os_error_code='(\d+)'")


def quiet() -> ModuleType:
    """Return `orbax.checkpoint`; what fails in its threads is raised where they are waited for, and not printed too."""
    import orbax.checkpoint as ocp

    for name in ("absl", "asyncio"):
        logger = logging.getLogger(name)
        if _is_wanted not in logger.filters:
            logger.addFilter(_is_wanted)
    if not isinstance(sys.unraisablehook, _Hook):
        sys.unraisablehook = _Hook(sys.unraisablehook)
    return ocp


def reason(error: BaseException) -> str:
    """Return what an error of orbax says, in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    code = _CODE.search(str(error))
    if code:
        return os.strerror(int(code[1]))
    text = str(error).strip()
    return " ".join(text.splitlines()[0].split())[:200].rstrip(". ") if text else type(error).__name__


def join_threads() -> None:
    """Wait for the threads in which orbax goes on after an error in one of them."""
    for thread in threading.enumerate():
        if type(thread).__module__.partition(".")[0] == "orbax":
            # It raises what has ended the thread.
            with suppress(Exception):
                thread.join(10.0)


def _is_wanted(record: logging.LogRecord) -> bool:
    """Return whether a record of a log is none of orbax's or TensorStore's: a filter."""
    if "orbax" in record.pathname:
        return False
    error, traceback = record.exc_info[1:] if isinstance(record.exc_info, tuple) else (None, None)
    places = [frame.filename for frame in extract_tb(traceback)]
    return not any(name in text for name in ("orbax", "tensorstore") for text in (str(error), *places))


class _Hook:
    """A hook for errors that nobody can catch, without those of TensorStore.

    It answers a loop of asyncio that orbax has closed after an error: one traceback for each array on its way.
    """

    def __init__(self, before: Callable[["sys.UnraisableHookArgs"], object]) -> None:
        self._before = before

    def __call__(self, unraisable: "sys.UnraisableHookArgs") -> None:
        error, last = unraisable.exc_value, unraisable.exc_traceback
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        of_loop = last is not None and last.tb_frame.f_code.co_name == "_check_closed"
        if not (of_loop and isinstance(error, RuntimeError)):
            self._before(unraisable)
