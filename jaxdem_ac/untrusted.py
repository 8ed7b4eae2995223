"""Code and text of other packages: called and shown so that they break nothing, and write nothing to a terminal."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, cast

Handler = Callable[[int, FrameType | None], object]


def printable(text: str) -> str:
    r"""Return `text` with everything that a terminal would act on, or show in another order, written as an escape.

    Names, docstrings and errors of other packages pass through here before they are shown: escape sequences, line
    breaks and the controls of bidirectional writing become ``\x1b``, ``\n``, ``\u202e``.
    """
    # Called on the class: a subclass of `str` has methods of its own.
    plain = str.__str__(text)
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in plain)


def class_name(cls: type) -> str:
    """Return the name of a class, whatever its metaclass makes of the attribute."""
    return printable(type.__dict__["__name__"].__get__(cls))


def one_line(error: BaseException) -> str:
    """Return the kind and the message of `error` in one line that a full stop can follow."""
    said, failed = attempt(lambda: " ".join(str.split(str(error))))
    shown = "its message cannot be read" if failed is not None else said
    return printable(f"{class_name(type(error))}: {shown}").rstrip(".: ")


def summary(target: object) -> str:
    """Return the first line of a docstring; nothing where there is none, or none that can be read."""
    text, _ = attempt(lambda: str.strip(cast(str, target.__doc__)))
    return printable(text.splitlines()[0].rstrip()) if text else ""


def attribute(owner: object, name: str, default: object) -> Any:
    """Return an attribute, or `default` where there is none or asking for it fails."""
    value, error = attempt(lambda: getattr(owner, name, default))
    return default if error is not None else value


def attempt(function: Callable[[], object]) -> tuple[Any, BaseException | None]:
    """Call somebody's code; return what it returns and None, or None and what it raises.

    That may be anything, `SystemExit` and `KeyboardInterrupt` too. What a signal raises meanwhile, as Ctrl-C does, is
    none of the code's own and goes on.
    """
    with _noted_signals() as raised:
        try:
            return function(), None
        except BaseException as error:
            if any(error is each for each in raised):
                raise
            return None, error


@contextmanager
def _noted_signals() -> Iterator[list[BaseException]]:
    """Give a list of what the handlers of signals raise meanwhile; they run in the main thread only."""
    raised: list[BaseException] = []
    installed: dict[signal.Signals, tuple[Handler, Handler]] = {}

    def noting(handler: Handler) -> Handler:
        def note(number: int, frame: FrameType | None) -> None:
            try:
                handler(number, frame)
            except BaseException as error:
                raised.append(error)
                raise

        return note

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if callable(handler):
                installed[number] = handler, noting(handler)
                signal.signal(number, installed[number][1])
    try:
        yield raised
    finally:
        for number, (handler, note) in installed.items():
            if signal.getsignal(number) is note:
                signal.signal(number, handler)
