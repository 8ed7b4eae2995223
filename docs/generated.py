"""What pages say that is read off the code and the results when they are built, as Markdown."""

import ast
import inspect
import json
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import click
import jax.numpy as jnp
import numpy as np

import jaxdem_ac as ac
from benchmarks import tables
from jaxdem_ac.action_spaces.expectations import expected_log_cosh
from jaxdem_ac.cli import main
from jaxdem_ac.environments.swarm import SwarmEnvironment
from jaxdem_ac.registry import environments
from jaxdem_ac.runs.config import TrainConfig
from jaxdem_ac.trainers.evaluate import Estimate, estimate
from jaxdem_ac.trainers.ppo.config import PPOConfig
from jaxdem_ac.trainers.shac.config import SHACConfig

HERE = Path(__file__).parent
RESULTS = HERE.parent / "benchmarks/results"
CONFIGURATIONS = {"TrainConfig": TrainConfig, "PPOConfig": PPOConfig, "SHACConfig": SHACConfig}


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def field_texts(cls: type[Any]) -> dict[str, str]:
    """Return the text under every field of a dataclass, its own or the one it inherits."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] != "jaxdem_ac":
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, following in zip(body.body, body.body[1:], strict=False):
            documented = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and documented:
                assert isinstance(field.target, ast.Name)
                texts[field.target.id] = as_markdown(str(following.value.value))
    return texts


def as_markdown(text: str) -> str:
    """Return a docstring's line, in which code stands in two backquotes, in Markdown."""
    return " ".join(text.split()).replace("``", "`")


def options(name: str) -> str:
    """Return the keywords of an environment, with their defaults and what they are.

    Raises
    ------
    KeyError
        If there is no such environment.
    """
    cls = environments.find(name).load()
    texts, trained = field_texts(cls), cls.training_defaults
    heads = ["keyword", "default", *(["in a training"] if trained else []), "what it is"]
    lines = []
    for field in sorted(fields(cls), key=lambda field: _place(cls, field.name)):
        own = [f"`{trained[field.name]}`" if field.name in trained else ""] if trained else []
        lines.append([f"`{field.name}`", f"`{_default(field)}`", *own, texts[field.name]])
    return table(heads, lines)


def _place(cls: type[Any], name: str) -> tuple[bool, bool]:
    """Return where a keyword stands: how many first, what all tasks have last, else as in the class."""
    owner = next(base for base in cls.__mro__ if name in vars(base).get("__annotations__", {}))
    return owner is SwarmEnvironment, name != "num_particles"


def configuration(name: str) -> str:
    """Return the fields of a configuration, with their defaults and what they are."""
    cls = CONFIGURATIONS[name]
    texts = field_texts(cls)
    lines = [[f"`{field.name}`", f"`{_default(field)}`", texts[field.name]] for field in fields(cls)]
    return table(["field", "default", "what it is"], lines)


def _default(field: Field[Any]) -> str:
    if field.default is not MISSING:
        return repr(field.default)
    assert field.default_factory is not MISSING
    value = field.default_factory()
    return f"{type(value).__name__}()" if isinstance(value, PPOConfig) else repr(value)


def public_face() -> str:
    """Return every public name of the package, linked to where it is documented."""
    lines = []
    for name in sorted(set(ac.__all__) - {"__version__", "dem", "verify"}, key=str.lower):
        found = getattr(ac, name)
        kind = "class" if isinstance(found, type) else "func"
        summary = as_markdown((found.__doc__ or "").strip().splitlines()[0])
        lines.append([f"{{py:{kind}}}`ac.{name} <{found.__module__}.{found.__qualname__}>`", summary])
    return table(["name", "what it is"], lines)


def reference(name: str) -> str:
    """Return what the reference runs of an environment came to, where they are stored."""
    return reference_of(name, HERE / "reference", HERE / "pictures")


def reference_of(name: str, stored: Path, pictures: Path) -> str:
    """Return what the reference runs in a folder came to.

    Parameters
    ----------
    name : str
        Of the environment.
    stored : Path
        Folder of ``<name>.json``, as ``reference/collect.py`` writes it.
    pictures : Path
        Folder of ``<name>_curve.png``.
    """
    path = stored / f"{name}.json"
    if not path.is_file():
        return f"No reference runs of `{name}` are stored in this version."
    found = json.loads(path.read_text())
    seeds = table(["seed", *map(str, found["seeds"])], [["success", *(f"{value:.3f}" for value in found["success"])]])
    together = estimate(np.asarray(found["success"]), 0.0, 1.0)
    parts = [
        f"    {found['command']}",
        f"{len(found['seeds'])} seeds side by side took {found['seconds']:,.0f} s on {found['machine']}. Success, "
        f"{name_of_success(name)}, is over 128 episodes of each policy's mode: {together}, the mean over seeds with "
        "its interval of 95 % confidence, which is the curve's band too.",
        seeds,
    ]
    if (pictures / f"{name}_curve.png").is_file():
        parts.append(f"![Success of {name} as it is learnt](../pictures/{name}_curve.png){{width=520px}}")
    return "\n\n".join(parts)


def references() -> str:
    """Return in a line each what the reference runs of all environments came to."""
    return references_of(HERE / "reference", ac.list_environments())


def references_of(stored: Path, names: Sequence[str]) -> str:
    """Return the same, of a folder as for :func:`reference_of` and the environments with those names."""
    heads = ["environment", "success", "mean over seeds", "least and largest", "agent-steps of a seed", "together"]
    lines = []
    for name in names:
        path = stored / f"{name}.json"
        if not path.is_file():
            lines.append([f"`{name}`", name_of_success(name), "not stored in this version", "", "", ""])
            continue
        found = json.loads(path.read_text())
        success = np.asarray(found["success"])
        ends = f"{success.min():.3f}, {success.max():.3f}"
        steps = f"{found['curve']['steps'][-1] / 1e6:.1f} million"
        together = str(estimate(success, 0.0, 1.0))
        lines.append([f"`{name}`", name_of_success(name), together, ends, steps, f"{found['seconds'] / 60:.0f} min"])
    return table(heads, lines)


def baselines() -> str:
    """Return in a line each what policies without training come to, beside the reference runs."""
    return baselines_of(HERE / "reference", ac.list_environments())


def baselines_of(stored: Path, names: Sequence[str]) -> str:
    """Return the same, of a folder with the reference runs, and in its folder `baselines` what `eval --json` has said.

    Parameters
    ----------
    stored : Path
        With ``<name>.json`` and ``baselines/<name>.json``.
    names : sequence of str
        Of environments; one without baselines that are stored is left out.
    """
    heads = ["environment", "success", "random", "scripted", "learnt", "oracle"]
    lines = []
    for name in names:
        path, learnt = stored / f"baselines/{name}.json", stored / f"{name}.json"
        if not path.is_file():
            continue
        found = json.loads(path.read_text())
        cells = {kind: str(Estimate(**found[kind]["success"])) for kind in ("random", "scripted", "oracle")}
        runs = np.asarray(json.loads(learnt.read_text())["success"]) if learnt.is_file() else None
        cells["learnt"] = "not stored" if runs is None else str(estimate(runs, 0.0, 1.0))
        lines.append([f"`{name}`", name_of_success(name), *(cells[head] for head in heads[2:])])
    return table(heads, lines)


def name_of_success(name: str) -> str:
    """Return what an environment calls its success."""
    found: str = environments.find(name).load().success_name
    return found


def verified() -> list[dict[str, Any]]:
    """Return what `jaxdem-ac verify --json` has said of each case, as it is stored."""
    found: list[dict[str, Any]] = json.loads((HERE / "reference/verify/results.json").read_text())["cases"]
    return found


def verify_summary() -> str:
    """Return a line for each case that has been verified."""
    lines = []
    for case in verified():
        met = sum(check["passed"] for check in case["checks"])
        numbers = f"{met} of {len(case['checks'])}"
        lines.append([f"[{case['name']}](#{case['name']})", case["compares"], "yes" if case["long"] else "", numbers,
                      f"{case['seconds']:.0f} s"])  # fmt: skip
    return table(["case", "what is compared", "long", "met", "took"], lines)


def verify_table(name: str) -> str:
    """Return the numbers of a case that has been verified."""
    signs = {"equal": "", "at least": "at least ", "at most": "at most "}
    (case,) = [case for case in verified() if case["name"] == name]
    lines = [
        [check["name"], f"{check['measured']:.6g}", f"{signs[check['bound']]}{check['expected']:.6g}",
         f"{check['tolerance']:.2g}", check["source"], "met" if check["passed"] else "**not met**"]
        for check in case["checks"]
    ]  # fmt: skip
    return table(["quantity", "measured", "expected", "tolerance", "source", "verdict"], lines)


def entropy_errors() -> str:
    """Return the errors of E[log cosh x] for a few Gaussians: those of the package, and of Gauss and Hermite's rule."""
    heads = ["mean", "deviation", "16 points of Gauss and Hermite", "this package"]
    cases = [(0.0, 1.0), (0.0, 3.0), (5.0, 5.0), (0.0, 20.0)]
    return table(heads, [[f"{mean:g}", f"{std:g}", *map("{:.0e}".format, errors_of(mean, std))] for mean, std in cases])


def errors_of(mean: float, std: float) -> tuple[float, float]:
    """Return how far E[log cosh x] is off by 16 points of Gauss and Hermite, and by the package in single precision."""
    step = 1e-4
    grid = np.arange(-12.0, 12.0, step)
    exact = step * float(np.sum(np.exp(-(grid**2) / 2) * _log_cosh(mean + std * grid))) / math.sqrt(2 * math.pi)
    points, weights = np.polynomial.hermite_e.hermegauss(16)
    by_points = float(weights @ _log_cosh(mean + std * points)) / math.sqrt(2 * math.pi)
    here = float(expected_log_cosh(jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32)))
    return abs(by_points - exact), abs(here - exact)


def _log_cosh(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(x, -x) - math.log(2)


def benchmarks() -> str:
    """Return all results of the benchmarks that are stored, and their figures."""
    parts = []
    for path in sorted(RESULTS.glob("*.json")):
        suites = json.loads(path.read_text())["suites"]
        parts += [f"### {suite} ({path.name})\n\n{results(suite, report)}" for suite, report in suites.items()]
    drawn = sorted((RESULTS.parent / "figures").glob("*.png"))
    parts += [f"![{path.stem.replace('_', ' ')}](../benchmarks/figures/{path.name})" for path in drawn]
    return "\n\n".join(parts)


def results(suite: str, report: Mapping[str, Any]) -> str:
    """Return the table of one suite; one that `benchmarks.tables` does not know is in a plain form.

    Parameters
    ----------
    suite : str
        Its name.
    report : mapping
        With `machine` and `rows`: speeds, which have a figure ``..._per_second``, and what was learnt.
    """
    rows = report["rows"]
    known = {**tables.long_tables({suite: report}), **tables.tables({suite: report})} if "format" in report else {}
    for name in (suite, f"long {suite}"):
        if name in known:
            return known[name]
    machine = report["machine"]
    parts = [f"{machine['device']}, {machine['processor']}; jax {report.get('versions', machine)['jax']}"]
    speeds = [line for row in rows if (line := _speed(row))]
    learnt = [_learnt(row) for row in rows if "last" in row]
    if speeds:
        parts.append(table(["suite", "case", "side", "per second", "first call, s", "ratio"], speeds))
    if learnt:
        parts.append(table(["task", "seeds", "side", "return at the end", "mean over the run"], learnt))
    return "\n\n".join(parts)


def _speed(row: Mapping[str, Any]) -> list[str] | None:
    rate = next((name for name in row if name.endswith("per_second")), None)
    if rate is None:
        return None
    case = [row["task"]] if "task" in row else []
    case += [f"{row['N']:,} x {row['E']}" if "N" in row else f"E = {row['E']:,}"]
    if "physics_steps" in row:
        case.append(f"actions held for {row['physics_steps']}")
    if row.get("settings", {}).get("normalize_observation"):
        case.append("normalized observations")
    first = row.get("first_call", row.get("first_call_seconds"))
    ratio = row.get("ratio")
    return [
        row["suite"],
        ", ".join(case),
        row["name"],
        tables.number(row[rate]),
        "" if first is None else f"{first:.1f}",
        "" if ratio is None else f"{ratio:.3g}",
    ]


def _learnt(row: Mapping[str, Any]) -> list[str]:
    figures = [f"{row[name]['mean']:.0f} [{row[name]['low']:.0f}, {row[name]['high']:.0f}]" for name in _LEARNT]
    return [row["task"], str(row["seeds"]), row["name"], *figures]


_LEARNT = ("last", "over_the_run")


def command_line() -> str:
    """Return every command of the shell, with its options."""
    parts = []
    commands = {name: command for name, command in main.commands.items() if not isinstance(command, click.Group)}
    for name, group in main.commands.items():
        if isinstance(group, click.Group):
            commands |= {f"{name} {sub}": command for sub, command in group.commands.items()}
    for name, command in sorted(commands.items()):
        usage = " ".join(part for part in command.collect_usage_pieces(click.Context(command)))
        options = [option for option in command.params if isinstance(option, click.Option)]
        lines = [[", ".join(f"`{word}`" for word in option.opts), as_markdown(option.help or "")] for option in options]
        text = "\n\n".join(as_markdown(part) for part in (command.help or "").split("\n\n"))
        parts += [f"## {name}", f"    jaxdem-ac {name} {usage}", text]
        parts += [table(["option", "what it does"], lines)] if lines else []
    return "\n\n".join(parts)
