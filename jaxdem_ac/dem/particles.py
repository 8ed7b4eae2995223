"""The particles of a simulation, as one pytree."""

from dataclasses import dataclass
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxdem_ac._checks import is_concrete, limits
from jaxdem_ac.dem.springs import Springs


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Particles:
    """Discs (dim = 2) or spheres (dim = 3)."""

    position: Array
    """Centres, ``(N, dim)``, length."""
    velocity: Array
    """``(N, dim)``, length / time."""
    force: Array
    """Total force of the last step, ``(N, dim)``; velocity Verlet opens the next step with it."""
    radius: Array
    """``(N,)``, length."""
    mass: Array
    """``(N,)``, mass."""
    angular_velocity: Array
    """``(N, 1)`` about the axis out of the plane (dim = 2) or ``(N, 3)``, 1 / time."""
    torque: Array
    """Total torque of the last step, ``(N, 1)`` or ``(N, 3)``, force * length."""
    fixed: Array
    """Mask of obstacles, which nothing moves, ``(N,)`` of bool."""
    springs: Springs | None = None
    """Tangential springs of their contacts, under a law that remembers; a world adds them. None where particles have
    been added or taken away: springs name them by their numbers."""

    @classmethod
    def create(
        cls,
        position: ArrayLike,
        velocity: ArrayLike = 0.0,
        radius: ArrayLike = 1.0,
        mass: ArrayLike = 1.0,
        force: ArrayLike = 0.0,
        angular_velocity: ArrayLike = 0.0,
        torque: ArrayLike = 0.0,
        fixed: ArrayLike = False,
    ) -> Self:
        """Return particles; scalars broadcast.

        Parameters
        ----------
        position : array, (N, dim), length
            Centres; dim is 2 or 3.
        velocity : array, (N, dim) or broadcastable, length / time
            Of the centres.
        radius : array, (N,) or broadcastable, length
            Above 0.
        mass : array, (N,) or broadcastable
            Above 0.
        force : array, (N, dim) or broadcastable
            What the particles have felt so far: to go on from a recorded state.
        angular_velocity, torque : array, (N, 1) in 2D or (N, 3) in 3D or broadcastable
            Spin, and what has turned the particles so far.
        fixed : array of bool, (N,) or broadcastable
            Obstacles: they push others, and nothing moves or turns them.

        Raises
        ------
        ValueError
            If a shape does not fit, a number is not finite, or a radius or mass is not above 0, or so small that the
            square of the radius or the moment of inertia is 0 in the dtype.
        """
        position = as_float("position", position)
        if position.ndim != 2 or position.shape[-1] not in (2, 3):
            raise ValueError(
                f"Particles.create: position is (N, 2) or (N, 3); got shape {position.shape}. "
                "Give one row for each particle."
            )
        num, dim = position.shape
        spin_shape = (num, 1 if dim == 2 else 3)
        radius = _check_positive("radius", _broadcast("radius", radius, (num,), position.dtype))
        mass = _check_positive("mass", _broadcast("mass", mass, (num,), position.dtype))
        _check_squares(radius, mass)
        return cls(
            position=position,
            velocity=_broadcast("velocity", velocity, position.shape, position.dtype),
            force=_broadcast("force", force, position.shape, position.dtype),
            radius=radius,
            mass=mass,
            angular_velocity=_broadcast("angular_velocity", angular_velocity, spin_shape, position.dtype),
            torque=_broadcast("torque", torque, spin_shape, position.dtype),
            fixed=_broadcast("fixed", fixed, (num,), position.dtype) != 0,
        )

    @property
    def num_particles(self) -> int:
        """N."""
        return self.position.shape[-2]

    @property
    def dim(self) -> int:
        """2 or 3."""
        return self.position.shape[-1]

    @property
    def inertia(self) -> Array:
        """Moment of inertia of each particle, ``(N,)``, mass * length**2: a full disc's, a full sphere's."""
        return (0.5 if self.dim == 2 else 0.4) * self.mass * self.radius**2

    @property
    def kinetic_energy(self) -> Array:
        """Kinetic energy of each particle's translation, ``(N,)``, energy."""
        return 0.5 * self.mass * jnp.sum(self.velocity**2, axis=-1)

    @property
    def rotational_energy(self) -> Array:
        """Rotational energy of each particle's rotation, ``(N,)``, energy."""
        return 0.5 * self.inertia * jnp.sum(self.angular_velocity**2, axis=-1)


def as_float(name: str, value: ArrayLike) -> Array:
    """Return `value` as a float array, refusing what is not finite or not numbers."""
    try:
        # A number beyond the dtype becomes infinite here, and is refused below in one line.
        with np.errstate(all="ignore"):
            array = jnp.asarray(value)
            array = array.astype(jnp.promote_types(array.dtype, jnp.result_type(float)))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: an array of numbers; got {type(value).__name__}. {error}") from None
    if jnp.iscomplexobj(array):
        raise TypeError(f"{name}: an array of real numbers; got {array.dtype}. Take its real part.")
    if is_concrete(array) and not np.isfinite(np.asarray(array)).all():
        raise ValueError(f"{name}: every number is finite; got NaN or infinity. Check where it comes from.")
    return array


def _broadcast(name: str, value: ArrayLike, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    array = as_float(name, value)
    try:
        return jnp.broadcast_to(array, shape).astype(dtype)
    except ValueError:
        raise ValueError(
            f"Particles.create: {name} broadcasts to {shape}; got shape {array.shape}. "
            "Give one number, or one for each particle."
        ) from None


def _check_positive(name: str, array: Array) -> Array:
    if is_concrete(array) and not (np.asarray(array) >= limits(array.dtype)[0]).all():
        raise ValueError(
            f"Particles.create: every {name} is above 0 in {array.dtype}; got {name}={float(jnp.min(array))}. "
            "Set a positive one."
        )
    return array


def _check_squares(radius: Array, mass: Array) -> None:
    """Raise ValueError if squared radii or moments of inertia are below what the dtype holds; traced ones pass."""
    if not is_concrete(radius, mass) or not radius.size:
        return
    long, heavy = np.asarray(radius, np.float64), np.asarray(mass, np.float64)
    square, inertia, least = float(np.min(long) ** 2), float(np.min(0.4 * heavy * long**2)), limits(radius.dtype)[0]
    if min(square, inertia) < least:
        raise ValueError(
            f"Particles.create: a radius squared and a moment of inertia are above {least:.3g} in {radius.dtype}; got "
            f"radius={np.min(long):.3g} and mass={np.min(heavy):.3g}. Choose larger units of length and mass, or "
            "enable jax_enable_x64."
        )
