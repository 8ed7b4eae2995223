"""Parts of actor-critics: torsos, heads, activations by name."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxdem_ac.registry import suggest

Activation = Callable[[Array], Array]

_NAMES = (
    *("celu", "elu", "gelu", "hard_tanh", "leaky_relu", "log_sigmoid", "mish", "relu", "relu6", "selu", "sigmoid"),
    *("silu", "soft_sign", "softplus", "squareplus", "swish"),
)
ACTIVATIONS: dict[str, Activation] = {**{name: getattr(jax.nn, name) for name in _NAMES}, "tanh": jnp.tanh}
"""The activations that a file may name. Names are looked up here and nowhere else: nothing is imported."""

# Where the functions above live: prefixes that checkpoints of ours and of JaxDEM write before the name.
_KNOWN_MODULES = ("jax.nn.", "jax._src.nn.functions.", "jax.numpy.", "jax._src.numpy.ufuncs.", "flax.nnx.", "nnx.")

# Floats in a register of AVX-512, and the rows from which filling a kernel up costs nothing beside the product.
_LANES = 16
_MANY_ROWS = 1024


def resolve_activation(activation: str | Activation) -> Activation:
    """Return the activation that a function is or a name stands for.

    That is ``"gelu"``, or as a checkpoint has it, ``"jax.nn.gelu"``. Nothing is ever imported to find it. Raises
    ValueError if the name is unknown, TypeError if it is neither.
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

    Raises TypeError if it is none of :data:`ACTIVATIONS`.
    """
    for name, known in ACTIVATIONS.items():
        if known is activation:
            return f"jax.numpy.{name}" if name == "tanh" else f"jax.nn.{name}"
    raise TypeError(
        f"activation: only a known function can be kept in a file; got {activation!r}. "
        f"{suggest(getattr(activation, '__name__', ''), ACTIVATIONS)}"
    )


@jax.custom_jvp
def _gelu(x: Array) -> Array:
    return jax.nn.gelu(x)


@_gelu.defjvp
def _gelu_with_change(primals: tuple[Array], changes: tuple[Array]) -> tuple[Array, Array]:
    # JAX would keep five arrays in place of one, and in a loop all are written down and read again.
    (x,), (change,) = primals, changes
    factor, cubic = math.sqrt(2 / math.pi), 0.044715
    bend = jnp.tanh(factor * (x + cubic * x**3))
    slope = 0.5 * (1 + bend) + 0.5 * factor * x * (1 - bend**2) * (1 + 3 * cubic * x**2)
    return jax.nn.gelu(x), slope * change


def lean_gelu(x: Array) -> Array:
    """Return ``jax.nn.gelu(x)``, of which nothing but its slope is kept until the backward pass."""
    # A function of its own can be pickled within a model, which what JAX makes of one cannot.
    return _gelu(x)


def with_lean_slope(activation: Activation) -> Activation:
    """Return the activation, of the same values; training keeps less of it where it is known how."""
    return lean_gelu if activation is jax.nn.gelu else activation


class Dense(nnx.Linear):
    """A linear layer, ``x @ kernel + bias``, that may compute in another type and in whole vector registers.

    A hidden layer answers many rows with zeros behind its own features, up to a multiple of 16; the next layer takes
    them for what they are. Products of 42 by 42 took a third longer than of 48 by 48 on a CPU with AVX-512. With
    `widened` false it does not: an activation between the two may have no slope at 0.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        scale: float,
        key: nnx.Rngs,
        *,
        bias: float = 0.0,
        hidden: bool = False,
        widened: bool = True,
        compute_dtype: str | None = None,
    ) -> None:
        super().__init__(
            in_features,
            out_features,
            kernel_init=nnx.initializers.orthogonal(scale),
            bias_init=nnx.initializers.constant(bias),
            rngs=key,
        )
        self.hidden, self.widened = hidden, widened
        self.compute_dtype = compute_dtype

    def __call__(self, inputs: Array, out_sharding: object = None) -> Array:
        """Return ``(..., out_features)``, or wider with zeros, of ``(..., in_features)``, or as wide as those."""
        assert self.bias is not None
        kernel, bias = self.kernel[...], self.bias[...]
        behind = inputs.shape[-1] - kernel.shape[0]
        # An exported policy does not know how many rows it will see.
        rows = inputs.shape[0] if inputs.ndim == 2 and isinstance(inputs.shape[0], int) else 0
        is_wide = self.hidden and self.widened and rows >= _MANY_ROWS and kernel.shape[1] > _LANES
        fill = -kernel.shape[1] % _LANES if is_wide else 0
        if behind or fill:
            kernel, bias = jnp.pad(kernel, [(0, behind), (0, fill)]), jnp.pad(bias, (0, fill))
        if self.compute_dtype is not None:
            inputs, kernel, bias = (array.astype(self.compute_dtype) for array in (inputs, kernel, bias))
        result = inputs @ kernel + bias
        # What leaves the network is as exact as its parameters.
        return result if self.hidden else result.astype(self.kernel[...].dtype)


def hidden_layers(
    in_features: int,
    architecture: Sequence[int],
    scale: float,
    activation: Activation,
    key: nnx.Rngs,
    compute_dtype: str | None = None,
) -> tuple[list[Activation], int]:
    """Return linear layers, each followed by `activation`, and the width of what leaves the last one."""
    layers: list[Activation] = []
    options = {"hidden": True, "widened": activation in ACTIVATIONS.values()}
    activation = with_lean_slope(activation)
    for width in architecture:
        layers += [Dense(in_features, width, scale, key, **options, compute_dtype=compute_dtype), activation]
        in_features = width
    return layers, in_features


def inverse_softplus(y: float) -> float:
    """Return x of ``y = log(1 + exp(x))``, for y above 0."""
    return y + math.log(-math.expm1(-y))


class LearnedStd(nnx.Module):
    """A standard deviation that does not depend on the observation: ``std = exp(log_std)``; 1 at first."""

    def __init__(self, action_space_size: int, initial_std: float | None = None) -> None:
        log_std = np.full((1, action_space_size), math.log(initial_std or 1.0), jnp.result_type(float))
        self.log_std = nnx.Param(jnp.asarray(log_std))

    def __call__(self, features: Array) -> Array:
        """Return the standard deviation, ``(D,)``, of features ``(..., F)``."""
        return jnp.exp(self.log_std[0])


class StdHead(nnx.Module):
    """A standard deviation that depends on the observation: ``std = softplus(linear(features))``."""

    def __init__(
        self,
        in_features: int,
        action_space_size: int,
        scale: float,
        key: nnx.Rngs,
        compute_dtype: str | None = None,
        initial_std: float | None = None,
    ) -> None:
        bias = -1.0 if initial_std is None else inverse_softplus(initial_std)
        # Not used here: JaxDEM's trainer logs it for every model, and its parameters load by name.
        self.log_std = nnx.Param(jnp.zeros((1, action_space_size)))
        # A sequence of one, for the names of its parameters. softplus stays outside: it cannot be pickled.
        self.net = nnx.Sequential(
            Dense(in_features, action_space_size, scale, key, bias=bias, compute_dtype=compute_dtype)
        )

    def __call__(self, features: Array) -> Array:
        """Return the standard deviation, ``(..., D)``, of features ``(..., F)``."""
        # softplus underflows to 0 for inputs below -104 (float32), where no density is left.
        return jnp.maximum(jax.nn.softplus(self.net(features)), 1e-19)
