"""Paths that users give, files that are written whole or not at all, and JSON that is read."""

import errno
import json
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jaxdem_ac._types import Json

DEEPEST = 100
"""Lists and mappings inside each other in a text of JSON or YAML; deeper ones meet Python's limit of recursion."""

# What stands for an open stream: opened anew it would begin at the start of the file that a shell writes it to.
_STREAM = re.compile(r"/dev/(?P<name>stdout|stderr)|/(?:dev|proc/self)/fd/(?P<number>\d+)")


def as_path(where: str, name: str, value: object) -> Path:
    """Return a path that a user has given, with ``~`` as the home folder; `where` and `name` are for errors.

    Raises TypeError if it is no text, ValueError if it is empty, or no file can be called so.
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    if not isinstance(text, str):
        raise TypeError(f"{where}: {name} is a path; got {name}={value!r}. Pass a string or a pathlib.Path.")
    if not text or "\0" in text:
        raise ValueError(
            f"{where}: {name} is a path, of one letter at least and none of them NUL; got {name}={text!r}. "
            "Name a file or a folder."
        )
    try:
        os.fsencode(text)
        # TensorStore takes no other: in a locale of ASCII alone other letters come here as halves of pairs.
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(
            f"{where}: {name} is a path in the letters of this locale ({sys.getfilesystemencoding()}); got "
            f"{name}={text!a}. Set PYTHONUTF8=1, or use other letters."
        ) from None
    path = Path(os.path.expanduser(text))
    # `./~name` is a file here. As a Path it would lose its dot, and be taken for a home when it comes here again.
    return path.absolute() if path.parts[:1] and path.parts[0].startswith("~") else path


def unwritable(path: Path, error: OSError) -> OSError:
    """Return an error of the same kind that says what to do."""
    kind = PermissionError if isinstance(error, PermissionError) else OSError
    return kind(
        f"write: {str(path)!r} has to be writable; got {error.strerror or error}. Choose another folder, or make room."
    )


def make_folder(path: Path) -> None:
    """Make a folder, and those around it, unless it is there; raises OSError that says what to do."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def check_empty(rule: str, folder: Path) -> None:
    """Raise FileExistsError, which says a rule, if a folder holds something."""
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f"{rule}; got {str(folder)!r}, which holds files. Name another.")


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Give a draft to write, which takes the place of `path` once it is done; after an error nothing is left of it.

    A link stays, and what it points to is written; an existing file keeps its mode. A device, a pipe or a stream of the
    process gets the draft's bytes. Raises OSError, which names `path`, if it cannot be written.
    """
    try:
        with _draft_of(path) as draft:
            yield draft
    except BrokenPipeError:
        raise
    except OSError as error:
        # Without a number it is no error of the system, and says itself what is wrong.
        if error.errno is None:
            raise
        raise unwritable(path, error) from error


@contextmanager
def _draft_of(path: Path) -> Iterator[Path]:
    there = _status(path)
    stream = _STREAM.fullmatch(str(path))
    if stream or (there is not None and not stat.S_ISREG(there.st_mode) and not stat.S_ISDIR(there.st_mode)):
        with tempfile.TemporaryDirectory(prefix="jaxdem-ac-") as folder:
            draft = Path(folder) / path.name
            yield draft
            _pour(draft, path, stream)
        return
    target = Path(os.path.realpath(path))
    if there is not None and stat.S_ISDIR(there.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if there is not None and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    # The longest names leave no room for more letters.
    name = os.fsdecode(os.fsencode(target.name)[:100])
    draft = target.with_name(f".{name}.{secrets.token_hex(4)}.part")
    try:
        yield draft
        if there is not None:
            with suppress(OSError):
                os.chown(draft, there.st_uid, there.st_gid)
            draft.chmod(stat.S_IMODE(there.st_mode))
        draft.replace(target)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _pour(draft: Path, path: Path, stream: re.Match[str] | None) -> None:
    """Write a draft's bytes into what is no regular file."""
    if stream is None:
        with draft.open("rb") as source, path.open("wb") as target:
            shutil.copyfileobj(source, target)
        return
    number = {"stdout": 1, "stderr": 2}[stream["name"]] if stream["name"] else int(stream["number"])
    for each in (sys.stdout, sys.stderr):
        each.flush()
    with draft.open("rb") as source, os.fdopen(os.dup(number), "wb") as target:
        shutil.copyfileobj(source, target)


def write_bytes(path: Path, data: bytes | bytearray) -> None:
    """Write bytes to `path` whole or not at all; raises as :func:`written`."""
    with written(path) as draft:
        draft.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write text to `path` in UTF-8, whole or not at all; raises as :func:`written`."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def parse_json(text: str, pairs: Callable[[list[tuple[str, Json]]], Json] | None = None) -> Any:
    """Return what a JSON text says; `pairs` makes of the pairs of a mapping what stands for it, a dict if left out.

    Raises ValueError if it is not JSON (json.JSONDecodeError), or nested deeper than :data:`DEEPEST`.
    """
    try:
        value = json.loads(text, object_pairs_hook=pairs)
        if not is_deep(value):
            return value
    except RecursionError:
        pass
    raise ValueError(f"nested deeper than {DEEPEST} lists and mappings")


def is_deep(value: object) -> bool:
    """Return whether lists and mappings are nested deeper than :data:`DEEPEST`."""
    level = [value]
    for _ in range(DEEPEST):
        below = [
            each
            for node in level
            if isinstance(node, dict | list | tuple)
            for each in (node.values() if isinstance(node, dict) else node)
        ]
        # What an alias of YAML puts into many places is looked at once.
        level = list({id(each): each for each in below}.values())
        if not level:
            return False
    return True
