"""The documentation: its code is run, its commands and references are checked, its equations are the code's."""

import ast
import importlib.util
import json
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import ModuleType

import jax.numpy as jnp
import numpy as np
import pytest
from support.command_line import check_call, context_of
from support.example_programs import plugin, run
from support.page_equations import CASES

import jaxdem_ac as ac
from jaxdem_ac.runs.build import with_training_defaults
from jaxdem_ac.runs.config import TrainConfig, parse_assignments
from jaxdem_ac.trainers.shac.config import SHACConfig

__all__ = ["plugin"]

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
# Of trainings in the pages: enough to run through.
FEW_STEPS = 20_000


@dataclass(frozen=True)
class Block:
    """A block of Python in a page."""

    text: str
    line: int
    slow: bool
    needs: tuple[str, ...]
    """Modules that it imports beyond ours."""


def blocks_of(page: Path) -> list[Block]:
    """Return a page's blocks of Python.

    ``<!-- code: slow, MODULE -->`` before a block says that it is slow, or which modules it needs.
    """
    found = []
    text = page.read_text()
    for match in re.finditer(r"(?:<!-- code: ([^>]*) -->\n)?```python\n(.*?)```", text, flags=re.DOTALL):
        marks = [mark.strip() for mark in (match[1] or "").split(",") if mark.strip()]
        line = text[: match.start(2)].count("\n")
        needs = tuple(mark for mark in marks if mark != "slow")
        found.append(Block(match[2], line, "slow" in marks, needs))
    return found


def program(page: Path, blocks: list[Block]) -> str:
    """Return blocks as one program, on the lines that they have in the page, its trainings short."""
    lines: list[str] = []
    for block in blocks:
        lines += [""] * (block.line - len(lines)) + block.text.splitlines()
    return re.sub(r"\bsteps=(\d[\d_]*)", lambda found: f"steps={min(int(found[1]), FEW_STEPS)}", "\n".join(lines))


def missing(blocks: list[Block]) -> list[str]:
    """Return the modules that blocks need and that are not installed."""
    return sorted({name for block in blocks for name in block.needs if importlib.util.find_spec(name) is None})


CHEAP = [page for page in PAGES if any(not block.slow and not missing([block]) for block in blocks_of(page))]
SLOW = [page for page in PAGES if any(block.slow for block in blocks_of(page))]


@pytest.fixture
def registered() -> Iterator[None]:
    """Forget what a page registers."""
    from jaxdem_ac.registry import REGISTRIES

    before = [set(registry.names()) for registry in REGISTRIES]
    yield
    for registry, names in zip(REGISTRIES, before, strict=True):
        for name in set(registry.names()) - names:
            registry.forget(name)


@pytest.mark.parametrize("page", CHEAP, ids=lambda page: page.stem)
def test_the_quick_blocks_of_a_page_run(
    page: Path, registered: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = [block for block in blocks_of(page) if not block.slow and not missing([block])]
    module = ModuleType("__page__")
    monkeypatch.setitem(sys.modules, "__page__", module)
    exec(compile(program(page, blocks), str(page), "exec"), module.__dict__)


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW, ids=lambda page: page.stem)
def test_all_blocks_of_a_page_run(page: Path, plugin: Path, tmp_path: Path) -> None:
    blocks = blocks_of(page)
    lacking = [name for name in missing(blocks) if name != "swarm_light"]
    if lacking:
        blocks = [block for block in blocks if not missing([block])]
    if not any(block.slow for block in blocks):
        pytest.skip(f"{', '.join(lacking)} not installed")
    script = tmp_path / "page.py"
    script.write_text(program(page, blocks))
    run([str(script)], tmp_path, plugin)


def test_files_that_pages_refer_to_exist() -> None:
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+?)(?:#[^)]*)?\)", text):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"
        for target in re.findall(r"\{doc\}`(?:[^`<]*<)?([^`>]+)>?`", text):
            found = page.parent / target
            assert any(found.with_name(found.name + ending).is_file() for ending in (".md", ".ipynb")), (page, target)


QUICK = ("multi_navigator", "swarm_navigator", "collective_transport")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_the_equation_of_a_page_is_the_reward(name: str) -> None:
    equation, make_state, keywords = CASES[name]
    env = ac.make_environment(name, num_particles=4, physics_steps=2, **keywords)
    rng = np.random.default_rng(0)
    weights = {
        field.name
        for field in fields(env)
        if field.name.endswith(("_weight", "_bonus")) and not isinstance(field.default, bool)
    }
    counted = set()
    for _ in range(5):
        state = make_state(env, rng)
        after, timestep = env.step(state, jnp.asarray(rng.normal(0, 1, (4, env.action_size)), jnp.float32))
        reward = equation(env, state, after)
        np.testing.assert_allclose(timestep.reward, reward, rtol=2e-5, atol=2e-5)
        counted |= {
            w for w in weights if np.abs(equation(replace(env, **{w: 0.0}), state, after) - reward).max() > 2e-4
        }
    assert counted == weights, "some term counts in none of the states"


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_page_says_how_many_numbers_a_particle_observes(name: str) -> None:
    env = ac.make_environment(name)
    text = (DOCS / f"environments/{name}.md").read_text()
    assert f"With n = `n_lidar_rays`, {env.observation_size} numbers by default" in text
    # The last row of the table is that of the two sizes, which come after all else.
    lidars = 2 if "2n" in text else 1
    first = env.observation_size - lidars * env.n_lidar_rays
    assert f"| {first} + {'2' if lidars == 2 else ''}n, " in text


@pytest.fixture(scope="module")
def generated() -> Iterator[ModuleType]:
    """What pages read off the code, without Sphinx."""
    sys.path.insert(0, str(DOCS))
    try:
        yield importlib.import_module("generated")
    finally:
        sys.path.remove(str(DOCS))


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_option_of_an_environment_is_in_its_table(name: str, generated: ModuleType) -> None:
    table = generated.options(name).splitlines()
    env = ac.make_environment(name)
    assert len(table) == 2 + len(fields(env))
    for field in fields(env):
        assert sum(line.startswith(f"| `{field.name}` | `{field.default!r}` |") for line in table) == 1
    assert "{options} " + name in (DOCS / f"environments/{name}.md").read_text()


def test_configurations_and_the_public_face_are_whole(generated: ModuleType) -> None:
    for name, cls in (("TrainConfig", ac.TrainConfig), ("PPOConfig", ac.PPOConfig), ("SHACConfig", SHACConfig)):
        assert generated.configuration(name).count("\n") == 1 + len(fields(cls))
    face = generated.public_face()
    assert all(f"`ac.{name} <" in face for name in ac.__all__ if name not in ("__version__", "dem", "verify"))


def test_every_result_of_the_benchmarks_is_in_its_page(generated: ModuleType) -> None:
    text = generated.benchmarks()
    for path in (ROOT / "benchmarks/results").glob("*.json"):
        for suite, report in json.loads(path.read_text())["suites"].items():
            assert f"### {suite} ({path.name})" in text
            rows = [row for row in report["rows"] if row.get("status", "ok") == "ok"]
            assert generated.results(suite, report).count("\n|") >= len(rows)


def test_every_case_of_verify_is_on_its_page_and_met(generated: ModuleType) -> None:
    from jaxdem_ac.verify import CASES

    page = (DOCS / "verify.md").read_text()
    stored = generated.verified()
    assert [case["name"] for case in stored] == list(CASES)
    for case in stored:
        name = case["name"]
        assert case["passed"]
        assert f"\n## {name}\n" in page
        assert f"```{{verify-table}} {name}\n" in page
        assert generated.verify_table(name).count("\n") == 1 + len(case["checks"])
        assert (CASES[name].draw is None) == (f"pictures/verify_{name}.png" not in page)


def test_the_errors_of_the_entropy_are_those_that_its_page_claims(generated: ModuleType) -> None:
    for mean, std in ((0.0, 1.0), (0.0, 3.0), (5.0, 5.0)):
        by_points, here = generated.errors_of(mean, std)
        assert here < 2e-5
        assert here < by_points or by_points < 1e-5
    assert generated.errors_of(0.0, 20.0)[0] > 0.1


@pytest.fixture(scope="module")
def collect() -> ModuleType:
    """The script that makes reference figures."""
    spec = importlib.util.spec_from_file_location("collect", DOCS / "reference/collect.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(env="multi_navigator", num_seeds=5),
        TrainConfig.from_file("reference/swarm_navigator"),
        TrainConfig(env="evacuation", action_space="Box", steps=100, env_kw={"gap": 3.0}),
        TrainConfig().with_values({"ppo.gamma": 0.9, "model_kw.architecture": [8, 8], "seed": 3, "devices": 2}),
    ],
)
def test_the_command_of_a_reference_run_makes_it(config: TrainConfig, collect: ModuleType) -> None:
    words = shlex.split(collect.command_of(with_training_defaults(config)))
    assert words[:2] == ["jaxdem-ac", "train"]
    params = context_of("train", words[2:]).params
    chosen = {item.name: params[item.name] for item in fields(TrainConfig) if params.get(item.name) not in (None, ())}
    base = TrainConfig.from_file(params["file"]) if params["file"] else TrainConfig()
    again = replace(base, **chosen).with_values(parse_assignments(params["assignments"]))
    assert replace(with_training_defaults(again), out=None) == with_training_defaults(config)


def test_reference_curves_are_means_over_seeds(collect: ModuleType, generated: ModuleType, tmp_path: Path) -> None:
    values = [[None, 0.1, 0.5], [0.2, 0.3, 0.7], [None, 0.2, 0.6]]
    seeds = [[{"steps": 10 * k, "final_success": v} for k, v in enumerate(own)] for own in values]
    curve = collect.curve_of(seeds)
    assert curve["steps"] == [10, 20]
    assert curve["mean"] == pytest.approx([0.2, 0.6])
    # Student's quantile for 2 degrees of freedom is 4.303.
    half = 4.303 * 0.1 / 3**0.5
    assert curve["high"] == pytest.approx([0.2 + half, 0.6 + half], abs=1e-3)
    assert curve["low"] == pytest.approx([0.0, 0.6 - half], abs=1e-3)
    stored = {"command": "jaxdem-ac train", "seeds": [0, 1, 2], "success": [0.5, 0.7, 0.6], "curve": curve}
    stored |= {"seconds": 1234.0, "machine": "a machine, 2 cores"}
    assert "No reference runs" in generated.reference_of("evacuation", tmp_path, tmp_path)
    (tmp_path / "evacuation.json").write_text(json.dumps(stored))
    text = generated.reference_of("evacuation", tmp_path, tmp_path)
    assert "3 seeds side by side took 1,234 s on a machine, 2 cores" in text
    assert "| success | 0.500 | 0.700 | 0.600 |" in text
    assert f"0.600 [{0.6 - half:.3f}, {0.6 + half:.3f}]" in text
    assert "_curve.png" not in text
    line = generated.references_of(tmp_path, ["swarm_roller", "evacuation"]).splitlines()[-2:]
    assert "not stored" in line[0]
    assert f"0.600 [{0.6 - half:.3f}, {0.6 + half:.3f}] | 0.500, 0.700 | 0.0 million | 21 min" in line[1]
    pytest.importorskip("matplotlib")
    collect.draw(curve, "share outside", tmp_path / "evacuation_curve.png")
    assert "evacuation_curve.png" in generated.reference_of("evacuation", tmp_path, tmp_path)


def test_baselines_stand_beside_the_reference_runs(generated: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "baselines").mkdir()
    said = {
        kind: {"success": {"mean": mean, "low": mean - 0.1, "high": mean + 0.05}}
        for kind, mean in (("random", 0.2), ("scripted", 0.5), ("oracle", 0.9))
    }
    (tmp_path / "baselines/evacuation.json").write_text(json.dumps(said))
    (tmp_path / "evacuation.json").write_text(json.dumps({"success": [0.6, 0.6]}))
    (line,) = generated.baselines_of(tmp_path, ["evacuation", "swarm_roller"]).splitlines()[2:]
    assert "| 0.200 [0.100, 0.250] | 0.500 [0.400, 0.550] | 0.600 [" in line
    assert line.endswith("| 0.900 [0.800, 0.950] |")
    (tmp_path / "evacuation.json").unlink()
    assert "| not stored | 0.900" in generated.baselines_of(tmp_path, ["evacuation"])
    stored = {path.stem: json.loads(path.read_text()) for path in (DOCS / "reference/baselines").glob("*.json")}
    assert sorted(stored) == sorted(CASES)
    for found in stored.values():
        random, scripted, oracle = (found[kind]["success"]["mean"] for kind in ("random", "scripted", "oracle"))
        assert random < scripted <= oracle
        assert {each["num_episodes"] for each in found.values()} == {128}


def test_stored_reference_figures_are_whole() -> None:
    for path in (DOCS / "reference").glob("*.json"):
        found = json.loads(path.read_text())
        assert path.stem in ac.list_environments()
        assert len(found["seeds"]) == len(found["success"]) >= 2
        lengths = {len(found["curve"][name]) for name in ("steps", "mean", "low", "high")}
        assert len(lengths) == 1
        assert lengths != {0}
        check_call(shlex.split(found["command"])[1:])
        assert (DOCS / f"pictures/{path.stem}_curve.png").is_file()


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    for name in ("sphinx", "furo", "myst_nb", "numpydoc"):
        pytest.importorskip(name, reason="the extra docs is not installed")
    options = ["-W", "--keep-going", "-n", "-q", "-b", "html", "-D", "nb_execution_mode=off"]
    run(["-m", "sphinx", *options, str(DOCS), str(tmp_path / "html")], tmp_path)
    page = (tmp_path / "html/environments/evacuation.html").read_text()
    assert "tangential_damping" in page
    assert "Play whole episodes" in (tmp_path / "html/api/trainers.html").read_text()


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    path = DOCS / "notebooks/swarm.ipynb"
    assert path.stat().st_size < 1_000_000
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    for cell in notebook.cells:
        cell.source = re.sub(r"\bsteps=[\d_]+", f"steps={FEW_STEPS}", cell.source)
    nbclient.NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output]
    assert any("<img" in output["data"].get("text/html", "") for output in shown)


# Words with which a fragment begins that only its code completes.
FRAGMENTS = re.compile(
    r"(about|above|as|at|below|by|everybody|for|from|how|in|into|it|its|itself|likewise|of|on|someone|something|that|their|"
    r"these|this|through|to|under|what|whatever|when|where|who|whom|whose|with|within)\b",
    re.IGNORECASE,
)


def test_docstrings_begin_with_the_noun_of_what_they_describe() -> None:
    begins = {}
    for file in sorted((ROOT / "jaxdem_ac").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                begins[f"{file.relative_to(ROOT)}:{node.lineno}"] = node.value.value.strip()
    assert len(begins) > 1_000
    assert {place: text for place, text in begins.items() if FRAGMENTS.match(text)} == {}


def test_a_module_stands_once_in_the_api_pages() -> None:
    """Sphinx warns of a second description, and `make docs` takes a warning for an error."""
    named = [
        name
        for page in sorted((DOCS / "api").glob("*.md"))
        for name in re.findall(r"automodule:: (\S+)", page.read_text())
    ]
    assert len(named) > 50
    assert sorted(set(named)) == sorted(named)
