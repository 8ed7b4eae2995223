"""Species in JaxDEM's trainer, which knows no axis of particles: they travel as the last number of an observation."""

from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter

from jax import Array

from jaxdem_ac.environments.sizes import check_species
from jaxdem_ac.models.per_particle import species_as_feature
from jaxdem_ac.plugin.jaxdem import NativeEnvironment
from jaxdem_ac.plugin.to_jaxdem import environment_class

# One class for each base and species: the structure of a pytree names its class, and compiled code its structure.
_CLASSES: dict[tuple[type, tuple[int, ...]], type] = {}


def with_species(environment: NativeEnvironment, species: Sequence[int]) -> NativeEnvironment:
    """Return an environment of JaxDEM whose observations end with the species of each particle.

    For a policy `PerParticle` that is built with ``sharing="species"``, ``num_species`` and the environment's new
    ``observation_space_size``. The environment is a single one, not vectorised; `species`, ``(N,)``, say whose
    parameters each particle uses, numbered from 0. Raises ValueError if they are not one for each particle, or one is
    left out.
    """
    cls = type(environment)
    kinds = check_species("with_species", list(species), environment.max_num_agents)
    if (cls, kinds) not in _CLASSES:

        def observation(env: NativeEnvironment) -> Array:
            return species_as_feature(cls.observation(env), kinds)

        def size(env: NativeEnvironment) -> int:
            return int(attrgetter("observation_space_size.fget")(cls)(env)) + 1

        names = {
            # Before 2026-06-12 JaxDEM's wrappers change a class's own functions alone: so these have to be its own.
            **{name: each for name, each in vars(cls).items() if isinstance(each, staticmethod)},
            "observation": staticmethod(observation),
            "observation_space_size": property(size),
        }
        made = environment_class(f"Species{cls.__name__}", (cls,), names)
        # To this JaxDEM's `unwrap` goes back, and not to what has no species.
        made._base_env_cls = made  # type: ignore[attr-defined]
        _CLASSES[cls, kinds] = made
    kept = {field.name: getattr(environment, field.name) for field in fields(environment)}
    return _CLASSES[cls, kinds](**kept)
