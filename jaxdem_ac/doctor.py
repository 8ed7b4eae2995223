"""The diagnosis that `jaxdem-ac doctor` shows."""

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from jaxdem_ac import registry
from jaxdem_ac.plugin import autoload
from jaxdem_ac.plugin.discovery import unreadable_lists
from jaxdem_ac.plugin.jaxdem import HOW_TO_GET
from jaxdem_ac.plugin.registration import registered_names
from jaxdem_ac.untrusted import attempt, one_line, printable

if TYPE_CHECKING:
    from jax import Device

_PACKAGES = ("jaxdem-ac", "jax", "jaxlib", "flax", "distrax", "optax", "orbax-checkpoint", "numpy", "matplotlib")
# Who works on this package wants them, who uses it does not.
_NOT_FOR_USERS = ("dev", "peers")
# As JAX calls those of NVIDIA.
_GPUS = ("gpu", "cuda")
_LAYOUTS = {"action_spaces": "since 2026-06-12", "actionSpaces": "before 2026-06-12"}
_REQUIREMENT = re.compile(r"""(?P<name>[\w.-]+)(?P<extras>\[)?.*;.*\bextra\s*==\s*['"](?P<extra>[\w-]+)['"]""")


def diagnose() -> dict[str, dict[str, object]]:
    """Return what is there and what is broken, each section a mapping of names to findings.

    Sections ``slow``, ``broken plugins`` and ``faults`` are empty where all is well; each line of theirs says what to
    do.
    """
    faults: dict[str, str] = {}
    devices = _devices(faults)
    found: dict[str, Mapping[str, object]] = {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "devices": devices,
        "jaxdem": _jaxdem(),
        "registered": {f"{each.kind}s": ", ".join(each.names()) for each in registry.REGISTRIES},
        # Without a device JaxDEM cannot be imported: that is no fault of its own.
        "registered in jaxdem": _registered_in_jaxdem(faults) if devices else {},
        "extras": _extras(),
    }
    found["slow"] = _slow_scatters(_version("jaxlib"), devices)
    broken: dict[str, str] = {}
    for problem in (problem for each in registry.REGISTRIES for problem in each.problems):
        name = f"{problem.group}:{problem.name}"
        # Of two that are called alike each is told.
        before = f"{broken[name]} " if name in broken else ""
        broken[name] = f"{before}{problem.origin}: {problem.error}. Update or uninstall it."
    found["broken plugins"], found["faults"] = broken, faults
    return {
        section: {printable(name): printable(each) if isinstance(each, str) else each for name, each in rows.items()}
        for section, rows in found.items()
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _devices(faults: dict[str, str]) -> dict[str, str]:
    """Return kind and memory of every device that JAX sees."""
    import jax

    devices, error = attempt(jax.devices)
    lists = unreadable_lists() if error is not None else {}
    if lists:
        named = "; ".join(f"{name}: {reason}" for name, reason in lists.items())
        faults["devices"] = (
            f"JAX reads every entry_points.txt; got one that it cannot, {named}. Uninstall that package."
        )
        return {}
    if error is not None:
        faults["devices"] = about_backend(error)
        return {}
    if Path("/dev/nvidiactl").exists() and all(device.platform == "cpu" for device in devices):
        faults["devices"] = (
            'an NVIDIA GPU is there that JAX does not use. pip install "jaxdem-ac[cuda13]", or [cuda12].'
        )
    return {f"{device.platform}:{device.id}": f"{device.device_kind}, {_memory(device)}" for device in devices}


def _slow_scatters(jaxlib: str, devices: Mapping[str, str]) -> dict[str, str]:
    """Return what is said where scatters are slow: NVIDIA GPUs under some jaxlib (jax-ml/jax issue 38806)."""
    release = re.match(r"(\d+)\.(\d+)\.(\d+)", jaxlib)
    on_gpu = any(name.partition(":")[0] in _GPUS for name in devices)
    if not on_gpu or release is None or not (0, 10, 2) <= tuple(map(int, release.groups())) <= (0, 11, 0):
        return {}
    return {
        "scatters": f"additions of float32 into an array by index are slow on a GPU under jaxlib {jaxlib}, as under "
        "all from 0.10.2 to 0.11.0: compare-and-swap loops stand in for atomic additions. Install another jaxlib: "
        'pip install "jax[cuda13]<0.10.2", or a version above 0.11.0.'
    }


def is_of_backend() -> bool:
    """Return whether JAX cannot start on any device: what it has raised then may be of any kind, and without words."""
    jax = sys.modules.get("jax")
    try:
        return jax is not None and not jax.devices()
    except (RuntimeError, AssertionError):
        return True


def about_backend(error: BaseException) -> str:
    """Return what is said where JAX cannot start on the devices that it is told to use."""
    asked = os.environ.get("JAX_PLATFORMS")
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else "none of that kind"
    return (
        f"devices: JAX finds no device to start on; got {reason}. "
        f"{f'Unset JAX_PLATFORMS, which is {asked!r}, or install' if asked else 'Install'} jax for your hardware: "
        'pip install "jaxdem-ac[cuda13]", say.'
    )


def _memory(device: "Device") -> str:
    """Return how much memory a device has: its own, or the machine's."""
    try:
        size = (device.memory_stats() or {}).get("bytes_limit")
    except Exception:
        size = None
    if size is None and device.platform == "cpu" and hasattr(os, "sysconf"):
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return "memory unknown" if size is None else f"{size / 2**30:.1f} GiB"


def _jaxdem() -> dict[str, str]:
    """Return where JaxDEM is, or how to get it."""
    status = autoload.status()
    switch = {"autoload": f"{'on' if status.enabled else 'off'} ({status.path})"}
    spec = importlib.util.find_spec("jaxdem")
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        return {"found": f"no. To get it: {HOW_TO_GET}", **switch}
    package = Path(places[0])
    layouts = [f"{name} ({when})" for name, when in _LAYOUTS.items() if (package / "rl" / name).exists()]
    return {
        "found": f"yes, {package}",
        "version": _version("jaxdem"),
        "commit": commit_of("jaxdem", package),
        "layout": ", ".join(layouts) or "unknown",
        **switch,
    }


def _registered_in_jaxdem(faults: dict[str, str]) -> dict[str, str]:
    """Return our names in JaxDEM's registries; they are put there as at any import of it."""
    if importlib.util.find_spec("jaxdem") is None:
        return {}
    from jaxdem_ac.plugin.jaxdem import import_host

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            import_host("doctor")
            found = registered_names()
        except Exception as error:
            faults["jaxdem"] = one_line(error.__cause__ or error) + f". Install it anew: {HOW_TO_GET}"
            return {}
    told = [str(each.message) for each in caught if str(each.message).startswith("register:")]
    if told:
        faults["registered in jaxdem"] = " ".join(told)
    return {f"{kind}s": ", ".join(_prefixed(names)) for kind, names in found.items()}


def _prefixed(names: list[str]) -> list[str]:
    """Return names in JaxDEM, each once: with ``ac.``, which is always ours, and bare only where that is missing."""
    return [name for name in names if name.startswith("ac.") or f"ac.{name}" not in names]


def _extras() -> dict[str, str]:
    """Return which extras are there, and how to get the others; those that are jax's own are left out."""
    try:
        requirements = importlib.metadata.requires("jaxdem-ac") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    wanted: dict[str, list[str]] = {}
    for found in filter(None, map(_REQUIREMENT.match, requirements)):
        if not found["extras"] and found["extra"] not in _NOT_FOR_USERS:
            wanted.setdefault(found["extra"], []).append(found["name"])
    said = {}
    for extra, names in sorted(wanted.items()):
        missing = [name for name in names if _version(name) == "not installed"]
        # JaxDEM is not on the package index.
        how = HOW_TO_GET if extra == "jaxdem" else f'pip install "jaxdem-ac[{extra}]"'
        said[extra] = (
            f"{', '.join(missing)} not installed. To get it: {how}" if missing else f"there ({', '.join(names)})"
        )
    return said


def commit_of(name: str, package: Path) -> str:
    """Return the commit that a package was installed from, or ``"unknown"``; nothing is run.

    It is what pip recorded of a repository (PEP 610), or what a clone says that the package is imported from.
    """
    try:
        text = importlib.metadata.distribution(name).read_text("direct_url.json")
        origin = json.loads(text) if text else {}
    except (importlib.metadata.PackageNotFoundError, OSError, ValueError):
        origin = {}
    if not isinstance(origin, Mapping):
        return "unknown"
    recorded = origin.get("vcs_info", {}).get("commit_id")
    if recorded:
        return str(recorded)
    clones = [package.parent, package.parent.parent]
    if origin.get("dir_info", {}).get("editable"):
        clones.insert(0, Path(unquote(urlparse(origin.get("url", "")).path)))
    # A copy in site-packages is of no clone, though a repository may hold the whole environment.
    elif "site-packages" in package.parts or "dist-packages" in package.parts:
        return "unknown"
    return next(filter(None, map(_head, clones)), "unknown")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip()


def _head(clone: Path) -> str | None:
    """Return the commit that a clone, or a worktree of one, stands at; None for any other folder."""
    git = clone / ".git"
    try:
        if git.is_file():
            git = clone / _text(git).removeprefix("gitdir:").strip()
        head = _text(git / "HEAD")
        if not head.startswith("ref:"):
            return head
        name = head.removeprefix("ref:").strip()
        common = git / _text(git / "commondir") if (git / "commondir").is_file() else git
        for folder in (git, common):
            if (folder / name).is_file():
                return _text(folder / name)
        packed = _text(common / "packed-refs").splitlines()
        return next((line.split()[0] for line in packed if line.endswith(f" {name}")), None)
    except OSError:
        return None
