"""Paths as users give them, and files that are written whole or not at all, whatever stands at their place."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from jaxdem_ac import _files
from jaxdem_ac._files import as_path, is_deep, parse_json, write_bytes, write_text, written


@pytest.mark.parametrize(
    ("value", "error"), [(None, TypeError), (3, TypeError), (b"run", TypeError), ("", ValueError), ("a\0b", ValueError)]
)
def test_what_is_no_path_is_one_line(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^resume: run_dir is a path.*; got run_dir=.*\.$"):
        as_path("resume", "run_dir", value)


@pytest.mark.parametrize("text", ["run-\ud800", os.fsdecode(b"run-\xe9")])
def test_letters_that_a_locale_has_not(text: str) -> None:
    with pytest.raises(ValueError, match=r"letters of this locale .*PYTHONUTF8=1"):
        as_path("train", "out", text)


def test_a_text_file_is_utf_8_in_a_locale_of_ascii(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from jaxdem_ac._files import as_path, write_text; from jaxdem_ac.runs.config import TrainConfig\n"
        "write_text(Path('there.yaml'), 'env_kw: {a: \\u00e9}')\n"
        "assert TrainConfig.from_file('there.yaml').env_kw == {'a': '\\u00e9'}\n"
        "try: as_path('train', 'out', sys.argv[1])\n"
        "except ValueError as error: print(error)\n"
    )
    ascii_only = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    said = subprocess.run(
        [sys.executable, "-c", code, "é"], env=ascii_only, cwd=tmp_path, capture_output=True, check=True
    )
    assert b"locale (ascii)" in said.stdout
    assert said.stdout.count(b"\n") == 1
    assert (tmp_path / "there.yaml").read_bytes() == "env_kw: {a: é}".encode()


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert as_path("", "", "~/run") == as_path("", "", Path("~/run")) == tmp_path / "run"
    assert as_path("", "", "a/~/b") == Path("a/~/b")
    # As in a shell, and the second time too.
    assert as_path("", "", as_path("", "", "./~/run")) == tmp_path / "~" / "run"
    assert as_path("", "", "~nobody-of-that-name/run") == tmp_path / "~nobody-of-that-name" / "run"


def test_a_link_stays_and_what_it_points_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for name, before in (("old", True), ("new", False)):
        target, link = tmp_path / "there" / name, tmp_path / f"{name}.link"
        if before:
            target.write_text("old")
        link.symlink_to(target)
        write_text(link, "é")
        assert link.is_symlink()
        assert target.read_bytes() == "é".encode()
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["new", "old"]


def test_a_link_to_itself_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match=r"write: '.*/a' has to be writable; got Too many levels"):
        write_text(tmp_path / "a", "text")
    assert (tmp_path / "a").is_symlink()


def test_the_mode_of_a_file_stays_and_a_new_one_has_the_usual(tmp_path: Path) -> None:
    for name in ("old", "new"):
        path = tmp_path / name
        if name == "old":
            path.write_text("old")
            path.chmod(0o640)
        write_text(path, "text")
        usual = tmp_path / "usual"
        usual.touch()
        assert stat.S_IMODE(path.stat().st_mode) == (0o640 if name == "old" else stat.S_IMODE(usual.stat().st_mode))


def test_a_file_that_is_not_to_be_written_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mine"
    path.write_text("mine")
    monkeypatch.setattr(_files.os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="Permission denied"):
        write_text(path, "text")
    assert path.read_text() == "mine"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    link = tmp_path / "full"
    link.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"full' has to be writable; got No space left on device"):
        write_text(link, "text" * 10_000)
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)
    write_text(Path("/dev/null"), "text")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_pipe_gets_the_bytes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_bytes(pipe, b"bytes" * 30_000)
    reader.join(20)
    assert read == [b"bytes" * 30_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_gets_the_bytes_in_their_place(name: str, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from jaxdem_ac._files import write_text\n"
        f"print('before'); write_text(Path({name!r}), 'text\\n'); print('after')"
    )
    with (tmp_path / "said").open("wb") as file:
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert (tmp_path / "said").read_text() == "before\ntext\nafter\n"


def test_a_draft_that_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail() -> None:
        with written(path) as draft:
            draft.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127)
    write_text(path, "text")
    assert path.read_text() == "text"


def test_json_that_is_too_deep_is_a_value_error() -> None:
    for depth in (101, 5_000, 200_000):
        with pytest.raises(ValueError, match="nested deeper than 100"):
            parse_json("[" * depth + "]" * depth)
    assert parse_json("[" * 99 + "]" * 99)
    loop: list[Any] = []
    loop.append(loop)
    assert is_deep(loop)
    bomb: Any = []
    for _ in range(80):
        bomb = [bomb, bomb]
    assert not is_deep(bomb)
