"""What actor-critics are built from: torsos, heads, activations by name."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxdem_ac.registry import suggest

Activation = Callable[[Array], Array]

ACTIVATIONS: dict[str, Activation] = {
    "celu": jax.nn.celu,
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "hard_tanh": jax.nn.hard_tanh,
    "leaky_relu": jax.nn.leaky_relu,
    "log_sigmoid": jax.nn.log_sigmoid,
    "mish": jax.nn.mish,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "selu": jax.nn.selu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "soft_sign": jax.nn.soft_sign,
    "softplus": jax.nn.softplus,
    "squareplus": jax.nn.squareplus,
    "swish": jax.nn.silu,
    "tanh": jnp.tanh,
}
"""The activations that a file may name. Names are looked up here and nowhere else: nothing is imported."""

# Where the functions above live: prefixes that checkpoints of ours and of JaxDEM write before the name.
_KNOWN_MODULES = (
    "jax.nn.",
    "jax._src.nn.functions.",
    "jax.numpy.",
    "jax._src.numpy.ufuncs.",
    "flax.nnx.",
    "nnx.",
)


def resolve_activation(activation: str | Activation) -> Activation:
    """Return the activation function that `activation` is or names.

    Parameters
    ----------
    activation : callable or str
        A function of an array, or a name: ``"gelu"``, or as a checkpoint has it, ``"jax.nn.gelu"``.

    Raises
    ------
    ValueError
        If the name is unknown; nothing is ever imported to find it.
    TypeError
        If it is neither.
    """
    if callable(activation):
        return activation
    if not isinstance(activation, str):
        raise TypeError(
            f"activation: a function or a name; got {type(activation).__name__}. {suggest('', ACTIVATIONS)}"
        )
    name = activation
    for prefix in _KNOWN_MODULES:
        name = name.removeprefix(prefix)
    if name not in ACTIVATIONS:
        raise ValueError(f"activation: no such name; got {activation!r}. {suggest(name, ACTIVATIONS)}")
    return ACTIVATIONS[name]


def activation_name(activation: Activation) -> str:
    """Return the name under which a file keeps `activation`, as the host's loader reads it: ``"jax.nn.gelu"``.

    Raises
    ------
    TypeError
        If it is none of :data:`ACTIVATIONS`.
    """
    for name, known in ACTIVATIONS.items():
        if known is activation:
            return f"jax.numpy.{name}" if name == "tanh" else f"jax.nn.{name}"
    raise TypeError(
        f"activation: only a known function can be kept in a file; got {activation!r}. "
        f"{suggest(getattr(activation, '__name__', ''), ACTIVATIONS)}"
    )


def linear(in_features: int, out_features: int, scale: float, key: nnx.Rngs, bias: float = 0.0) -> nnx.Linear:
    """Return a linear layer with an orthogonal(`scale`) kernel and a constant bias."""
    return nnx.Linear(
        in_features,
        out_features,
        kernel_init=nnx.initializers.orthogonal(scale),
        bias_init=nnx.initializers.constant(bias),
        rngs=key,
    )


def hidden_layers(
    in_features: int, architecture: Sequence[int], scale: float, activation: Activation, key: nnx.Rngs
) -> tuple[list[Any], int]:
    """Return linear layers, each followed by `activation`, and the width of what leaves the last one."""
    layers: list[Any] = []
    for width in architecture:
        layers += [linear(in_features, width, scale, key), activation]
        in_features = width
    return layers, in_features


class LearnedStd(nnx.Module):
    """A standard deviation that does not depend on the observation: ``std = exp(log_std)``."""

    def __init__(self, action_space_size: int) -> None:
        self.log_std = nnx.Param(jnp.zeros((1, action_space_size)))

    def __call__(self, features: Array) -> Array:
        """Return the standard deviation, ``(D,)``, of features ``(..., F)``."""
        return jnp.exp(self.log_std[0])


class StdHead(nnx.Module):
    """A standard deviation that depends on the observation: ``std = softplus(linear(features))``."""

    def __init__(self, in_features: int, action_space_size: int, scale: float, key: nnx.Rngs) -> None:
        # Not used here: JaxDEM's trainer logs it for every model, and its parameters load by name.
        self.log_std = nnx.Param(jnp.zeros((1, action_space_size)))
        # A sequence of one, for the names of its parameters. softplus stays outside: it cannot be pickled.
        self.net = nnx.Sequential(linear(in_features, action_space_size, scale, key, bias=-1.0))

    def __call__(self, features: Array) -> Array:
        """Return the standard deviation, ``(..., D)``, of features ``(..., F)``."""
        # softplus underflows to 0 for inputs below -104 (float32), where no density is left.
        return jnp.maximum(jax.nn.softplus(self.net(features)), 1e-19)
