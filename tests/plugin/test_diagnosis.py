"""The doctor: commits read from files, devices, extras, and what it says of a JaxDEM that is broken."""

import importlib.metadata
import importlib.util
import json
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import pytest

from jaxdem_ac import doctor, registry
from jaxdem_ac.plugin import jaxdem

COMMIT = "5d9c13a" + 33 * "0"
Recorded = Callable[[Any], None]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Return a function that sets what pip has recorded of a package's origin."""

    def set_origin(origin: Any) -> None:
        text = origin if isinstance(origin, str) or origin is None else json.dumps(origin)
        monkeypatch.setattr(
            importlib.metadata, "distribution", lambda name: SimpleNamespace(read_text=lambda file: text)
        )

    return set_origin


def clone(folder: Path, git: Path, head: str = f"{COMMIT}\n") -> Path:
    """Write as much of a clone as says where it stands; return the package in it."""
    (folder / "jaxdem").mkdir(parents=True)
    git.mkdir(parents=True, exist_ok=True)
    (git / "HEAD").write_text(head)
    return folder / "jaxdem"


def test_the_commit_that_pip_has_recorded(recorded: Recorded, tmp_path: Path) -> None:
    recorded({"url": "https://example.org/x", "vcs_info": {"vcs": "git", "commit_id": COMMIT}})
    assert doctor.commit_of("jaxdem", tmp_path) == COMMIT


@pytest.mark.parametrize("origin", [None, "{", "[]", {"url": "file:///x", "dir_info": {}}, {"archive_info": {}}])
def test_no_commit_where_none_is_recorded(origin: Any, recorded: Recorded, tmp_path: Path) -> None:
    recorded(origin)
    assert doctor.commit_of("jaxdem", tmp_path / "jaxdem") == "unknown"
    # The environment lies in a repository, which is not that of the package.
    place = tmp_path / "venv" / "site-packages"
    assert doctor.commit_of("jaxdem", clone(place, place / ".git")) == "unknown"


def test_the_commit_of_an_editable_install(recorded: Recorded, tmp_path: Path) -> None:
    folder = tmp_path / "a clone"
    package = clone(folder, folder / ".git")
    recorded({"url": f"file://{str(folder).replace(' ', '%20')}", "dir_info": {"editable": True}})
    assert doctor.commit_of("jaxdem", tmp_path / "elsewhere") == COMMIT
    recorded(None)
    assert doctor.commit_of("jaxdem", package) == COMMIT


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("worktree", [False, True])
def test_the_commit_of_a_branch(packed: bool, worktree: bool, recorded: Recorded, tmp_path: Path) -> None:
    recorded(None)
    common = tmp_path / "main.git"
    git = common / "worktrees" / "one" if worktree else tmp_path / "clone" / ".git"
    package = clone(tmp_path / "clone", git, "ref: refs/heads/some/branch\n")
    if worktree:
        (tmp_path / "clone" / ".git").write_text(f"gitdir: {git}\n")
        (git / "commondir").write_text("../..\n")
    held = common if worktree else git
    if packed:
        (held / "packed-refs").write_text(
            f"# pack-refs\n{40 * '1'} refs/heads/branch\n{COMMIT} refs/heads/some/branch\n"
        )
    else:
        (held / "refs" / "heads" / "some").mkdir(parents=True)
        (held / "refs" / "heads" / "some" / "branch").write_text(f"{COMMIT}\n")
    assert doctor.commit_of("jaxdem", package) == COMMIT


def test_a_branch_without_a_commit_is_unknown(recorded: Recorded, tmp_path: Path) -> None:
    recorded(None)
    package = clone(tmp_path / "clone", tmp_path / "clone" / ".git", "ref: refs/heads/main\n")
    assert doctor.commit_of("jaxdem", package) == "unknown"


def test_devices_with_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = [
        SimpleNamespace(platform="gpu", id=0, device_kind="H100", memory_stats=lambda: {"bytes_limit": 60 * 2**30}),
        SimpleNamespace(platform="tpu", id=1, device_kind="v5", memory_stats=lambda: None),
    ]
    monkeypatch.setattr(jax, "devices", lambda: devices)
    assert doctor._devices({}) == {"gpu:0": "H100, 60.0 GiB", "tpu:1": "v5, memory unknown"}


def test_no_device_is_a_fault_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("Unknown backend cuda")

    monkeypatch.setattr(jax, "devices", fail)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    faults: dict[str, str] = {}
    assert doctor._devices(faults) == {}
    assert "Unset JAX_PLATFORMS, which is 'cuda'" in faults["devices"]


def test_a_jaxdem_that_cannot_be_imported_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "jaxdem" / "rl" / "actionSpaces").mkdir(parents=True)
    spec = ModuleSpec("jaxdem", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path / "jaxdem")]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)

    def fail(where: str) -> None:
        raise ImportError("doctor: ...") from ModuleNotFoundError("No module named 'h5py'")

    monkeypatch.setattr(jaxdem, "import_host", fail)
    faults: dict[str, str] = {}
    assert doctor._registered_in_jaxdem(faults) == {}
    assert faults["jaxdem"].startswith("ModuleNotFoundError: No module named 'h5py'. Install it anew: pip install")
    found = doctor._jaxdem()
    assert found["layout"] == "actionSpaces (before 2026-06-12)"
    assert found["found"] == f"yes, {tmp_path / 'jaxdem'}"


def test_extras_come_from_the_package_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = [
        "jax>=0.8", 'pytest; extra == "dev"', 'jax[cuda13]; extra == "cuda13"', "matplotlib>=3 ; extra == 'view'",
        'pillow>=10; extra == "view"', 'wandb>=0.17; extra == "wandb"', 'JaxDEM @ git+https://x ; extra == "jaxdem"',
    ]  # fmt: skip

    def version(name: str) -> str:
        if name in ("pillow", "wandb", "JaxDEM"):
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(importlib.metadata, "requires", lambda _: requirements)
    monkeypatch.setattr(importlib.metadata, "version", version)
    assert doctor._extras() == {
        "jaxdem": f"JaxDEM not installed. To get it: {doctor.HOW_TO_GET}",
        "view": 'pillow not installed. To get it: pip install "jaxdem-ac[view]"',
        "wandb": 'wandb not installed. To get it: pip install "jaxdem-ac[wandb]"',
    }


def test_two_broken_plugins_of_one_name_are_both_reported_without_control_characters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = registry.Registry("model", "jaxdem.models")
    broken.problems += [
        registry.Problem("jaxdem.models", "entry_points.txt", origin, error)
        for origin, error in (("one", "ValueError: \x1b[31m"), ("two", "TypeError: x"))
    ]
    monkeypatch.setattr(registry, "REGISTRIES", (broken,))
    (told,) = doctor.diagnose()["broken plugins"].items()
    assert told == (
        "jaxdem.models:entry_points.txt",
        "one: ValueError: \\x1b[31m. Update or uninstall it. two: TypeError: x. Update or uninstall it.",
    )


def test_an_entry_point_list_that_breaks_jax_is_reported_with_its_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    information = tmp_path / "bad-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[jax_plugins]\nno sign of equality\n")
    monkeypatch.syspath_prepend(tmp_path)

    def fail() -> Any:
        return importlib.metadata.entry_points(group="jax_plugins")

    monkeypatch.setattr(jax, "devices", fail)
    faults: dict[str, str] = {}
    assert doctor._devices(faults) == {}
    assert "got one that it cannot, bad: TypeError: " in faults["devices"]


@pytest.mark.parametrize(
    ("jaxlib", "device", "slow"),
    [
        ("0.10.1", "gpu:0", False),
        ("0.10.2", "gpu:0", True),
        ("0.11.0", "cuda:0", True),
        ("0.11.0.dev20260701", "gpu:1", True),
        ("0.11.1", "gpu:0", False),
        ("0.10.2", "cpu:0", False),
        ("0.10.2", "rocm:0", False),
        ("not installed", "gpu:0", False),
    ],
)
def test_slow_scatters_are_told(jaxlib: str, device: str, slow: bool) -> None:
    told = doctor._slow_scatters(jaxlib, {device: "a device, 80.0 GiB"})
    assert bool(told) is slow
    if slow:
        assert f"under jaxlib {jaxlib}" in told["scatters"]
        assert "Install another jaxlib" in told["scatters"]


def test_a_name_in_jaxdem_is_spelt_once_and_with_its_prefix() -> None:
    assert doctor._prefixed(["ac.Box", "ac.Mine", "Mine", "Bare"]) == ["ac.Box", "ac.Mine", "Bare"]
