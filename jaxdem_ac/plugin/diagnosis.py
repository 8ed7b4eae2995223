"""What `jaxdem-ac doctor` finds."""

import importlib.metadata
import importlib.util
import platform
from typing import Any

from jaxdem_ac import registry
from jaxdem_ac.plugin import autoload
from jaxdem_ac.plugin.register import HOW_TO_GET

_PACKAGES = (
    "jaxdem-ac",
    "jax",
    "jaxlib",
    "flax",
    "distrax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "matplotlib",
)


def diagnose() -> dict[str, dict[str, Any]]:
    """Return versions, devices, JaxDEM, registered names and broken plugins, each a mapping of names to findings."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "devices": _devices(),
        "jaxdem": _jaxdem(),
        "registered": {f"{each.kind}s": ", ".join(each.names()) for each in registry.REGISTRIES},
        "broken plugins": {
            f"{problem.group}:{problem.name}": f"{problem.origin}: {problem.error}. Update or uninstall it."
            for each in registry.REGISTRIES
            for problem in each.problems
        },
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _devices() -> dict[str, str]:
    import jax

    return {f"{device.platform}:{device.id}": device.device_kind for device in jax.devices()}


def _jaxdem() -> dict[str, str]:
    """Return where JaxDEM is, or how to get it."""
    status = autoload.status()
    switch = {"autoload": f"{'on' if status.enabled else 'off'} ({status.path})"}
    if importlib.util.find_spec("jaxdem") is None:
        return {"found": f"no. To get it: {HOW_TO_GET}", **switch}
    return {"found": "yes", "version": _version("jaxdem"), "commit": _commit("jaxdem"), **switch}


def _commit(name: str) -> str:
    """Return the commit that pip recorded for a package installed from its repository (PEP 610)."""
    import json

    try:
        text = importlib.metadata.distribution(name).read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        text = None
    return json.loads(text).get("vcs_info", {}).get("commit_id", "unknown") if text else "unknown"
