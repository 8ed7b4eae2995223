"""Configuration of a run."""

import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Self, get_args

from jaxdem_ac._files import as_path, parse_json
from jaxdem_ac._numbers import COUNT, WHOLE, check_number, shown
from jaxdem_ac.registry import suggest
from jaxdem_ac.trainers.ppo.config import GRID_FIELDS, PPOConfig

Log = Literal["tensorboard", "wandb"]

MOST_STEPS = 2**53
"""Longest run, agent-steps: larger numbers are not exact in reports and figures."""
MOST_RUNS = 1_024
"""Runs that are made side by side."""

# As Python spells them, and JSON does not.
_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run: task, model, action space, algorithm, length and place."""

    env: str = "swarm_navigator"
    """Name of the environment."""
    env_kw: Mapping[str, Any] = field(default_factory=dict)
    """Its keywords; what is not here is taken from its `training_defaults`, then from its own defaults."""
    model: str = "SharedActorCritic"
    """Name of the model."""
    model_kw: Mapping[str, Any] = field(default_factory=dict)
    """Its keywords, but for sizes, key and action space."""
    action_space: str = "MaxNorm"
    """Name of the action space."""
    action_space_kw: Mapping[str, Any] = field(default_factory=dict)
    """Its keywords."""
    steps: int = 4_000_000
    """Length of the run in agent-steps: decisions times particles, rounded up to whole reports."""
    seed: int = 0
    """Of every random number in the run."""
    out: str | None = None
    """The run's folder; kept in memory only if left out."""
    report_every: int = 10
    """Updates between two reports: one compiled call."""
    num_seeds: int = 1
    """Runs that are made side by side as one compiled program, with the seeds seed, seed + 1, and so on."""
    grid: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Values of hyperparameters, by field of ppo: each combination is made side by side too, once for every seed."""
    devices: int | Literal["all"] = 1
    """Over how many devices the environments are spread, or all that JAX sees."""
    log: Sequence[str] = ()
    """Where reports go beside metrics.jsonl: tensorboard, wandb. Repeatable."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    """Hyperparameters."""

    def __post_init__(self) -> None:
        """Check every field, once."""
        self._check_log()
        check_number(
            "TrainConfig", "steps", self.steps, int, lambda x: 1 <= x <= MOST_STEPS, "a whole number from 1 to 2**53"
        )
        check_number("TrainConfig", "seed", self.seed, int, lambda x: 0 <= x < 2**32, "a whole number in [0, 2**32)")
        check_number("TrainConfig", "num_seeds", self.num_seeds, int, lambda x: 1 <= x < COUNT, WHOLE)
        self._check_grid()
        check_number("TrainConfig", "report_every", self.report_every, int, lambda x: 1 <= x < COUNT, WHOLE)
        if self.devices != "all":
            check_number(
                "TrainConfig", "devices", self.devices, int, lambda x: x >= 1, "a whole number from 1, or 'all'"
            )
        for name in ("env", "model", "action_space"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(
                    f"TrainConfig: {name} is a name; got {type(getattr(self, name)).__name__}. Pass a string."
                )
        if self.out is not None:
            object.__setattr__(self, "out", str(as_path("TrainConfig", "out", self.out)))
        for name in ("env_kw", "model_kw", "action_space_kw"):
            if not isinstance(getattr(self, name), Mapping):
                raise TypeError(
                    f"TrainConfig: {name} is a mapping of keywords; got {type(getattr(self, name)).__name__}. "
                    "Pass a dict."
                )
            for keyword, value in getattr(self, name).items():
                if isinstance(value, int) and abs(value) >= COUNT:
                    raise ValueError(
                        f"TrainConfig: whole numbers of {name} are below 2**31; got {name}.{keyword}={shown(value)}. "
                        "Lower it."
                    )
        if not isinstance(self.ppo, PPOConfig):
            raise TypeError(
                f"TrainConfig: ppo is a PPOConfig, in a file a mapping; got {type(self.ppo).__name__}. Build one."
            )

    def _check_log(self) -> None:
        """Raise TypeError or ValueError unless `log` is a list of names; keep it as a tuple, as a default is."""
        known = get_args(Log)
        if not isinstance(self.log, list | tuple):
            raise TypeError(f"TrainConfig: log is a list of names; got log={self.log!r}. Pass {list(known)}, say.")
        for name in self.log:
            if name not in known:
                raise ValueError(f"TrainConfig: no such log; got {name!r}. {suggest(str(name), known)}")
        # Equal to what comes back from config.json, whatever it was given as.
        object.__setattr__(self, "log", tuple(dict.fromkeys(self.log)))

    def _check_grid(self) -> None:
        """Raise ValueError unless the grid has values of hyperparameters that can be varied, each one allowed."""
        if not isinstance(self.grid, Mapping):
            raise TypeError(
                f"TrainConfig: grid is a mapping of lists; got {type(self.grid).__name__}. Pass a dict, "
                "{'learning_rate': [1e-3, 3e-3]} say."
            )
        for name, values in self.grid.items():
            if name not in GRID_FIELDS:
                raise ValueError(
                    f"TrainConfig: a grid varies numbers of ppo; got {name!r}. {suggest(str(name), GRID_FIELDS)}"
                )
            if not isinstance(values, list | tuple) or not values or len(set(map(str, values))) != len(values):
                raise ValueError(
                    f"TrainConfig: grid.{name} is a list of different values; got {values!r}. "
                    f"Pass grid.{name}=[...], or set ppo.{name} if there is one."
                )
            for value in values:
                check_number("TrainConfig", f"grid.{name}", value, float, lambda _: True, "a list of numbers")
                replace(self.ppo, **{name: value})
        number = self.num_seeds * math.prod(len(values) for values in self.grid.values())
        if number > MOST_RUNS:
            raise ValueError(
                f"TrainConfig: at most {MOST_RUNS:,} runs are made side by side, num_seeds for each point of a grid; "
                f"got {number:,}. Make several folders of fewer."
            )

    @property
    def is_many(self) -> bool:
        """Whether it is of many runs."""
        return self.num_seeds > 1 or bool(self.grid)

    def members(self) -> dict[str, Self]:
        """Return the configurations of the runs that are made side by side, by name; each has a folder of its own."""
        runs = {}
        for values in itertools.product(*self.grid.values()):
            chosen: dict[str, Any] = dict(zip(self.grid, values, strict=True))
            for seed in range(self.seed, self.seed + self.num_seeds):
                name = ",".join([f"seed-{seed}", *(f"{field}={value:g}" for field, value in chosen.items())])
                runs[name] = replace(
                    self,
                    seed=seed,
                    ppo=replace(self.ppo, **chosen),
                    out=None if self.out is None else str(Path(self.out) / name),
                    num_seeds=1,
                    grid={},
                    devices=1,
                )
        return runs

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as nested JSON types."""
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        keywords = {name: {key: _plain(value) for key, value in plain[name].items()} for name in _MAPPINGS}
        return {**plain, **keywords, "log": list(self.log), "ppo": asdict(self.ppo)}

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Return the configuration that a YAML or JSON file says; what it leaves out is as by default.

        Parameters
        ----------
        path : path
            The file; a run's config.json too; or the name of one that comes with the package,
            ``"reference/swarm_navigator"``.

        Raises
        ------
        FileNotFoundError
            If there is no such file, nor such a name; the message gives the nearest name and all.
        TypeError, ValueError
            If it cannot be read, or sets what is not there or out of its range.
        """
        from jaxdem_ac.runs.config_file import read_values

        values = read_values(path)
        try:
            return cls.from_dict(values)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{path}: {error}") from None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the configuration that :meth:`to_dict` gave.

        Raises
        ------
        ValueError
            If it has a field that this version does not know, or a value out of its range.
        """
        if not isinstance(values, Mapping):
            raise TypeError(
                f"TrainConfig.from_dict: values are a mapping of fields; got {type(values).__name__}. Pass a dict."
            )
        values = dict(values)
        _check_known("TrainConfig", values, cls)
        if isinstance(values.get("ppo"), Mapping):
            _check_known("PPOConfig", values["ppo"], PPOConfig)
            values["ppo"] = PPOConfig(**_whole(PPOConfig, values["ppo"]))
        return cls(**_whole(cls, values))

    def with_values(self, assignments: Mapping[str, Any]) -> Self:
        """Return the configuration with dotted fields set: ``{"ppo.gamma": 0.9, "env_kw.num_particles": 32}``.

        Raises
        ------
        ValueError
            If there is no such field; the message gives the nearest.
        """
        if not isinstance(assignments, Mapping) or not all(isinstance(path, str) for path in assignments):
            raise TypeError(
                f"TrainConfig.with_values: assignments are a mapping of dotted fields; got {assignments!r:.100}. "
                'Pass {"ppo.gamma": 0.9}, say.'
            )
        values = self.to_dict()
        for path, value in assignments.items():
            head, _, tail = path.partition(".")
            if tail and (head in _MAPPINGS or head == "ppo") and isinstance(values[head], Mapping):
                values[head][tail] = value
            elif tail or head == "ppo":
                raise ValueError(f"TrainConfig: no such field; got {path!r}. {suggest(path, _paths())}")
            else:
                values[head] = value
        return self.from_dict(values)


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Return ``a.b=c`` as a mapping for :meth:`TrainConfig.with_values`; values are JSON, or else text.

    Raises
    ------
    ValueError
        If one is no assignment.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise ValueError(f"--set: an assignment is field=value; got {assignment!r}. Write ppo.gamma=0.99, say.")
        try:
            values[path] = parse_json(_PYTHON_WORDS.get(text, text))
        except ValueError as error:
            reason = f"{error.msg} at letter {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else str(error)
            # What begins so is meant as JSON; a number of too many digits is no text either.
            if text.lstrip()[:1] in ("[", "{", '"') or not isinstance(error, json.JSONDecodeError):
                raise ValueError(
                    f"--set: a list, a mapping or a quoted text is JSON; got {path}={text[:60]}, which is malformed: "
                    f"{reason}. Mend it, and keep it in quotes from the shell."
                ) from None
            values[path] = text
    return values


def _plain(value: Any) -> Any:
    """Return a number or array of numpy or jax, or a tuple, as Python's own and JSON's, anything else as it is."""
    return value.tolist() if hasattr(value, "tolist") else list(value) if isinstance(value, tuple) else value


_KEYWORD_FIELDS = ("env_kw", "model_kw", "action_space_kw")
_MAPPINGS = (*_KEYWORD_FIELDS, "grid")


def _paths() -> list[str]:
    """Return every dotted field that can be set."""
    own = [item.name for item in fields(TrainConfig) if item.name != "ppo" and item.name not in _MAPPINGS]
    deeper = [f"ppo.{item.name}" for item in fields(PPOConfig)] + [f"grid.{name}" for name in GRID_FIELDS]
    return own + deeper + [f"{name}.<keyword>" for name in _KEYWORD_FIELDS]


def _check_known(where: str, values: Mapping[str, Any], cls: type[Any]) -> None:
    known = [item.name for item in fields(cls)]
    for name in values:
        if name not in known:
            raise ValueError(f"{where}: no such field; got {name!r}. {suggest(str(name), known)}")


def _whole(cls: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a dataclass with ``4e6`` as 4000000 where a field is a whole number."""
    counts = {item.name for item in fields(cls) if type(item.default) is int}
    return {
        name: int(value) if name in counts and isinstance(value, float) and value.is_integer() else value
        for name, value in values.items()
    }


def run_path(config: TrainConfig) -> Path | None:
    """Return the run's folder, or None for a run in memory."""
    return None if config.out is None else Path(config.out)
