"""Configuration of a run."""

import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from jaxdem_ac._files import as_path, parse_json
from jaxdem_ac._messages import check_kind
from jaxdem_ac._numbers import COUNT, WHOLE, check_number, shown
from jaxdem_ac._types import Json
from jaxdem_ac.registry import algorithms, check_known, normalize_key, suggest
from jaxdem_ac.runs.own_code import ACTION_SPACE, ENV, MODEL, ClassField
from jaxdem_ac.trainers.ppo import config as ppo
from jaxdem_ac.trainers.ppo.config import PPOConfig
from jaxdem_ac.trainers.shac import config as shac

if TYPE_CHECKING:
    from jaxdem_ac.trainers.base import AlgorithmConfig

Log = Literal["tensorboard", "wandb"]

MOST_STEPS = 2**53
"""Longest run, agent-steps: larger numbers are not exact in reports and figures."""
MOST_RUNS = 1_024
"""Runs that are made side by side."""

PPO = "ppo"
# Hyperparameters of this package's algorithms, and those that a grid may vary: an algorithm itself imports the models.
_OWN: dict[str, tuple[type, tuple[str, ...]]] = {
    PPO: (PPOConfig, ppo.GRID_FIELDS),
    "shac": (shac.SHACConfig, shac.GRID_FIELDS),
}
_KEYWORD_FIELDS = ("env_kw", "model_kw", "action_space_kw")
_MAPPINGS = (*_KEYWORD_FIELDS, "grid")
# As Python spells them, and JSON does not.
_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run: task, model, action space, algorithm, length and place.

    `env`, `model` and `action_space` may be given as classes too, and are kept as what finds them again.
    """

    env: ClassField = ENV
    """Name of the environment, or my_file.py:Class, or my_package.module:Class."""
    env_kw: Mapping[str, object] = field(default_factory=dict)
    """Keywords of the environment; others are taken from its `training_defaults`, then from its own defaults."""
    model: ClassField = MODEL
    """Name of the model, or of a class as for env."""
    model_kw: Mapping[str, object] = field(default_factory=dict)
    """Keywords of the model, but for sizes, key and action space."""
    action_space: ClassField = ACTION_SPACE
    """Name of the action space, or of a class as for env."""
    action_space_kw: Mapping[str, object] = field(default_factory=dict)
    """Keywords of the action space."""
    algorithm: str = "ppo"
    """Name of the learning algorithm."""
    steps: int = 4_000_000
    """Length of the run in agent-steps: decisions times particles, rounded up to whole reports."""
    seed: int = 0
    """Seed of every random number in the run."""
    out: str | None = None
    """The run's folder; kept in memory only if left out."""
    init_from: str | None = None
    """The folder of a run whose policy is the beginning: its parameters and normalizers, and its model and action space
    where those stand at their defaults here."""
    init_checkpoint: str | int = "last"
    """Checkpoint of that run: best, last, or a number of updates."""
    report_every: int = 10
    """Updates between two reports: one compiled call."""
    eval_every: int = 0
    """Reports between two evaluations: whole episodes that no training sees, by mode and sampled; the last is one. 0:
    none."""
    eval_episodes: int = 64
    """Episodes of an evaluation, the same ones every time; of a run among many its own."""
    stop_at_success: float | None = None
    """Mean success of an evaluation, over runs side by side too, at which the run is complete; needs `eval_every`."""
    rollback: int = 0
    """Evaluations in a row that have fallen from the best one, after which a run goes back to it, twice as many each
    time that it has gone back to this one; at its end one is enough. 0: none. Needs `eval_every`."""
    num_seeds: int = 1
    """Runs that are made side by side as one compiled program, with the seeds seed, seed + 1, and so on."""
    grid: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Values of hyperparameters, by field: each combination is made side by side too, once for every seed."""
    devices: int | Literal["all"] = 1
    """Over how many devices the environments are spread, or all that JAX sees."""
    log: Sequence[str] = ()
    """Loggers that get reports beside metrics.jsonl: tensorboard, wandb. Repeatable."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    """Hyperparameters of ppo."""
    algorithm_config: "AlgorithmConfig | None" = None
    """Hyperparameters of another algorithm, of its configuration class; in a file a mapping under its name."""

    def __post_init__(self) -> None:
        """Check every field, once."""
        self._check_log()
        self._check_algorithm()
        self._check_whole("steps", 1, MOST_STEPS, "a whole number from 1 to 2**53")
        self._check_whole("seed", 0, 2**32 - 1, "a whole number in [0, 2**32)")
        self._check_whole("num_seeds", 1)
        self._check_grid()
        self._check_whole("report_every", 1)
        self._check_evaluation()
        self._check_source()
        if self.devices != "all":
            self._check_whole("devices", 1, math.inf, "a whole number from 1, or 'all'")
        if self.out is not None:
            object.__setattr__(self, "out", str(as_path("TrainConfig", "out", self.out)))
        for name in _KEYWORD_FIELDS:
            given = getattr(self, name)
            check_kind(f"TrainConfig: {name} is a mapping of keywords", given, Mapping, "Pass a dict.")
            for keyword, value in given.items():
                if isinstance(value, int) and abs(value) >= COUNT:
                    raise ValueError(
                        f"TrainConfig: whole numbers of {name} are below 2**31; got {name}.{keyword}={shown(value)}. "
                        "Lower it."
                    )

    def _check_whole(self, name: str, least: int, most: float = COUNT - 1, rule: str = WHOLE) -> None:
        check_number("TrainConfig", name, getattr(self, name), int, lambda x: least <= x <= most, rule)

    def _check_evaluation(self) -> None:
        """Raise ValueError unless evaluations can be made as they are configured."""
        self._check_whole("eval_every", 0, rule=f"{WHOLE}, or 0 for none")
        self._check_whole("eval_episodes", 2, rule=WHOLE.replace("1", "2", 1))
        self._check_whole("rollback", 0, rule=f"{WHOLE}, or 0 for none")
        if self.rollback and not self.eval_every:
            raise ValueError(
                f"TrainConfig: rollback is to the best evaluation; got rollback={self.rollback} and eval_every=0. Set "
                "eval_every=1, say, or leave rollback out."
            )
        stop = self.stop_at_success
        if stop is None:
            return
        rule = "above 0 and at most 1, or null"
        check_number("TrainConfig", "stop_at_success", stop, float, lambda x: 0 < x <= 1, rule)
        if not self.eval_every:
            raise ValueError(
                f"TrainConfig: stop_at_success is of evaluations; got stop_at_success={stop:g} and eval_every=0. Set "
                "eval_every=10, say, or leave stop_at_success out."
            )

    def _check_source(self) -> None:
        """Raise TypeError or ValueError unless the run that is begun from, if any, is a path, its checkpoint one."""
        chosen = self.init_checkpoint
        is_kind = isinstance(chosen, int | str) and not isinstance(chosen, bool)
        if not is_kind or (isinstance(chosen, str) and chosen not in ("best", "last")):
            raise (ValueError if is_kind else TypeError)(
                f"TrainConfig: init_checkpoint is 'best', 'last' or a number; got {chosen!r:.60}. Pass one."
            )
        if self.init_from is not None:
            object.__setattr__(self, "init_from", str(as_path("TrainConfig", "init_from", self.init_from)))
        elif chosen != "last":
            raise ValueError(
                f"TrainConfig: init_checkpoint is of the run in init_from; got init_checkpoint={chosen!r} alone. "
                "Set init_from too."
            )

    def _check_algorithm(self) -> None:
        """Raise unless the hyperparameters are those of the algorithm; fill in its defaults if there are none."""
        check_kind("TrainConfig: algorithm is a name", self.algorithm, str, "Pass a string.")
        check_kind("TrainConfig: ppo is a PPOConfig, in a file a mapping", self.ppo, PPOConfig, "Build one.")
        if self.section == PPO:
            if self.algorithm_config is not None:
                raise ValueError(
                    "TrainConfig: the hyperparameters of ppo are the field ppo; got algorithm_config too. Leave it out."
                )
            return
        config_class = _config_class(self.algorithm)
        if self.algorithm_config is None:
            object.__setattr__(self, "algorithm_config", config_class())
        rule = f"TrainConfig: algorithm_config is a {config_class.__name__}, in a file a mapping"
        check_kind(rule, self.algorithm_config, config_class, "Build one, or leave it out.")

    @property
    def section(self) -> str:
        """Name under which the hyperparameters stand in a file: that of the algorithm."""
        return _section(self.algorithm)

    @property
    def hyperparameters(self) -> Any:
        """Hyperparameters of the algorithm: `ppo`, or `algorithm_config` for another one."""
        return self.ppo if self.section == PPO else self.algorithm_config

    def _check_log(self) -> None:
        """Raise TypeError or ValueError unless `log` is a list of names; keep it as a tuple, as a default is."""
        known = get_args(Log)
        if not isinstance(self.log, list | tuple):
            raise TypeError(f"TrainConfig: log is a list of names; got log={self.log!r}. Pass {list(known)}, say.")
        check_known("TrainConfig: no such log", self.log, known)
        # Equal to what comes back from config.json, whatever it was given as.
        object.__setattr__(self, "log", tuple(dict.fromkeys(self.log)))

    def _check_grid(self) -> None:
        """Raise ValueError unless the grid has values of hyperparameters that can be varied, each one allowed."""
        advice = "Pass a dict, {'learning_rate': [1e-3, 3e-3]} say."
        check_kind("TrainConfig: grid is a mapping of lists", self.grid, Mapping, advice)
        for name, values in self.grid.items():
            check_known(f"TrainConfig: a grid varies numbers of {self.section}", [name], _grid_fields(self.algorithm))
            if not isinstance(values, list | tuple) or not values or len(set(map(str, values))) != len(values):
                raise ValueError(
                    f"TrainConfig: grid.{name} is a list of different values; got {values!r}. "
                    f"Pass grid.{name}=[...], or set {self.section}.{name} if there is one."
                )
            for value in values:
                check_number("TrainConfig", f"grid.{name}", value, float, lambda _: True, "a list of numbers")
                replace(self.hyperparameters, **{name: value})
            if len(set(values)) != len(values):
                raise ValueError(f"TrainConfig: values of grid.{name} differ; got {values!r}. Leave one out.")
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
        field_name = "ppo" if self.section == PPO else "algorithm_config"
        short = {name: len({f"{value:g}" for value in values}) == len(values) for name, values in self.grid.items()}
        for values in itertools.product(*self.grid.values()):
            chosen = dict(zip(self.grid, values, strict=True))
            hyperparameters: Any = {field_name: replace(self.hyperparameters, **chosen)}
            point = "".join(f",{of}={value:g}" if short[of] else f",{of}={value!r}" for of, value in chosen.items())
            for seed in range(self.seed, self.seed + self.num_seeds):
                name = f"seed-{seed}{point}"
                out = None if self.out is None else str(Path(self.out) / name)
                runs[name] = replace(self, **hyperparameters, seed=seed, out=out, num_seeds=1, grid={}, devices=1)
        return runs

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as nested JSON types."""
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        keywords = {name: {key: _plain(value) for key, value in plain[name].items()} for name in _MAPPINGS}
        del plain["algorithm_config"], plain["ppo"]
        return {**plain, **keywords, "log": list(self.log), self.section: asdict(self.hyperparameters)}

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
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Return the configuration that :meth:`to_dict` gave; ValueError if a field is unknown or out of its range."""
        check_kind("TrainConfig.from_dict: values are a mapping of fields", values, Mapping, "Pass a dict.")
        values = dict(values)
        algorithm = values.get("algorithm", PPO)
        algorithm = algorithm if isinstance(algorithm, str) else PPO
        section, config_class = _section(algorithm), _config_class(algorithm)
        given = values.pop(section, None)
        _check_known("TrainConfig", values, cls, [section])
        if isinstance(given, Mapping):
            _check_known(config_class.__name__, given, config_class)
            given = config_class(**_whole(config_class, given))
        if given is not None:
            values["ppo" if section == PPO else "algorithm_config"] = given
        return cls(**_whole(cls, values))

    def with_values(self, assignments: Mapping[str, object]) -> Self:
        """Return it with dotted fields set, ``{"ppo.gamma": 0.9}``; raises ValueError if there is no such field."""
        if not isinstance(assignments, Mapping) or not all(isinstance(path, str) for path in assignments):
            raise TypeError(
                f"TrainConfig.with_values: assignments are a mapping of dotted fields; got {assignments!r:.100}. "
                'Pass {"ppo.gamma": 0.9}, say.'
            )
        algorithm: Any = assignments.get("algorithm", self.algorithm)
        section = _section(algorithm) if isinstance(algorithm, str) else self.section
        values = self.to_dict()
        if section != self.section:
            # Numbers of one algorithm are nothing to another.
            del values[self.section]
            values[section] = {}
        for path, value in assignments.items():
            head, _, tail = path.partition(".")
            if tail and (head in _MAPPINGS or head == section) and isinstance(values[head], Mapping):
                values[head][tail] = value
            elif tail or head == section:
                raise ValueError(f"TrainConfig: no such field; got {path!r}. {suggest(path, field_paths(algorithm))}")
            else:
                values[head] = value
        return self.from_dict(values)


def parse_assignments(assignments: Iterable[str]) -> dict[str, Json]:
    """Return ``a.b=c`` as a mapping, values read as JSON or else text; raises ValueError if one is no assignment."""
    values: dict[str, Json] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise ValueError(
                f"parse_assignments: an assignment is field=value; got {assignment!r}. Write ppo.gamma=0.99, say."
            )
        try:
            values[path] = parse_json(_PYTHON_WORDS.get(text, text))
        except ValueError as error:
            reason = f"{error.msg} at letter {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else str(error)
            # What begins so is meant as JSON; a number of too many digits is no text either.
            if text.lstrip()[:1] in ("[", "{", '"') or not isinstance(error, json.JSONDecodeError):
                raise ValueError(
                    f"parse_assignments: a list, a mapping or a quoted text is JSON; got {path}={text[:60]}, which is "
                    f"malformed: {reason}. Mend it, and keep it in quotes from the shell."
                ) from None
            values[path] = text
    return values


def _plain(value: object) -> object:
    """Return a number or array of numpy or jax, or a tuple, as Python's own and JSON's, anything else as it is."""
    return value.tolist() if hasattr(value, "tolist") else list(value) if isinstance(value, tuple) else value


def _section(algorithm: str) -> str:
    """Return the name of an algorithm as it is registered, which the section of its hyperparameters has in a file."""
    # Without a question to the registry, which may import plugins.
    name = normalize_key(algorithm)
    return name if name in _OWN else algorithms.find(algorithm).name


def _config_class(algorithm: str) -> Any:
    """Return the class of an algorithm's hyperparameters, or raise TypeError if it is no algorithm."""
    if (section := _section(algorithm)) in _OWN:
        return _OWN[section][0]
    from jaxdem_ac.trainers.base import check_algorithm

    check_algorithm(algorithm, algorithms.create(algorithm))
    return algorithms.get(algorithm).config_class


def _grid_fields(algorithm: str) -> tuple[str, ...]:
    section = _section(algorithm)
    names: tuple[str, ...] = _OWN[section][1] if section in _OWN else algorithms.get(algorithm).grid_fields
    return names


def field_paths(algorithm: str) -> list[str]:
    """Return every dotted field that can be set in a run of an algorithm."""
    not_plain = ("ppo", "algorithm_config", *_MAPPINGS)
    own = [item.name for item in fields(TrainConfig) if item.name not in not_plain]
    deeper = [f"{_section(algorithm)}.{item.name}" for item in fields(_config_class(algorithm))]
    grid = [f"grid.{name}" for name in _grid_fields(algorithm)]
    return own + deeper + grid + [f"{name}.<keyword>" for name in _KEYWORD_FIELDS]


def _check_known(where: str, values: Mapping[str, object], cls: type, sections: Sequence[str] = ()) -> None:
    """Raise ValueError if a name is neither a field of a dataclass, but for hyperparameters, nor a section."""
    known = [item.name for item in fields(cls) if item.name not in ("ppo", "algorithm_config")] + [*sections]
    check_known(f"{where}: no such field", values, known)


def _whole(cls: type, values: Mapping[str, object]) -> dict[str, Any]:
    """Return the values of a dataclass with ``4e6`` as 4000000 where a field is a whole number."""
    counts = {item.name for item in fields(cls) if type(item.default) is int}
    return {
        name: int(value) if name in counts and isinstance(value, float) and value.is_integer() else value
        for name, value in values.items()
    }


def run_path(config: TrainConfig) -> Path | None:
    """Return the run's folder, or None for a run in memory."""
    return None if config.out is None else Path(config.out)
