// The policy: a network's mean action of one observation, as jaxdem_ac.models has it, in double precision.

const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const elu = (x) => (x > 0 ? x : Math.expm1(x));

const ACTIVATIONS = {
  celu: elu,
  elu,
  gelu: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  hard_tanh: (x) => Math.max(-1, Math.min(x, 1)),
  leaky_relu: (x) => (x < 0 ? 0.01 * x : x),
  log_sigmoid: (x) => -softplus(-x),
  mish: (x) => x * Math.tanh(softplus(x)),
  relu: (x) => Math.max(0, x),
  relu6: (x) => Math.max(0, Math.min(x, 6)),
  selu: (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
  sigmoid,
  silu: (x) => x * sigmoid(x),
  soft_sign: (x) => x / (1 + Math.abs(x)),
  softplus,
  squareplus: (x) => 0.5 * (x + Math.sqrt(x * x + 4)),
  tanh: Math.tanh,
};

/** Action spaces: from what the network answers to a force. */
const ACTION_SPACES = {
  Free: () => (x) => x,
  MaxNorm: ({ max_norm, eps }) => (x) => {
    const norm = Math.hypot(...x);
    const factor = (1 - eps) * max_norm * (norm > 0 ? Math.tanh(norm) / norm : 1);
    return x.map((component) => factor * component);
  },
  Box: ({ x_min, x_max, width, eps }) => (x) =>
    x.map((component, axis) => {
      const [low, high] = [x_min, x_max].map((bound) => bound[axis] ?? bound[0] ?? bound);
      const moved = (low + high) / 2 + ((1 - eps) * (high - low) * Math.tanh(component / width)) / 2;
      return Math.max(low, Math.min(moved, high));
    }),
};

/** Numbers of single precision, little-endian, out of base64. */
function floats(text) {
  const { buffer } = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const view = new DataView(buffer);
  return Float64Array.from({ length: buffer.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

/** Rows of so many numbers times a kernel (in, width), row by row. */
function times(row, kernel, width) {
  const sum = new Float64Array(width);
  row.forEach((number, i) => {
    for (let j = 0; number !== 0 && j < width; j++) sum[j] += number * kernel[i * width + j];
  });
  return sum;
}

/** The function from an observation to an action that a page holds. */
function policyOf({ kind, activation, action_space, action_space_kw, normalizer, weights, ...shape }) {
  const numbers = floats(weights);
  let next = 0;
  const take = (size) => numbers.subarray(next, (next += size));
  const network = { dense, symmetric }[kind](shape, ACTIVATIONS[activation], take);
  const toAction = ACTION_SPACES[action_space](action_space_kw);
  const seen = (number, i) => Math.max(-10, Math.min((number - normalizer.mean[i]) / normalizer.std[i], 10));
  return (observation) => toAction(network(normalizer ? observation.map(seen) : observation));
}

/** Layers after each other, all but the last with an activation. */
function dense({ widths }, activation, take) {
  const layers = widths.slice(1).map((width, i) => [take(widths[i] * width), take(width)]);
  return (observation) =>
    layers.reduce((row, [kernel, bias], number) => {
      const sum = times(row, kernel, bias.length).map((total, i) => total + bias[i]);
      return number < layers.length - 1 ? sum.map(activation) : sum;
    }, observation);
}

/** The network on the circle of a lidar's sectors; kernels come with their mirror images. */
function symmetric({ sectors, blocks, channels, widths, heads }, activation, take) {
  const [width, ...widthsAfter] = widths;
  const first = take(sectors * channels * width);
  const bias = take(width);
  const layers = widthsAfter.map((after, i) => [take(widths[i] * after), take(widths[i] * after), take(after)]);
  const angle = (sector) => ((sector + 0.5) * 2 * Math.PI) / sectors - Math.PI;
  const circle = Array.from({ length: sectors }, (_, sector) => [Math.cos(angle(sector)), Math.sin(angle(sector))]);
  const scale = Math.sqrt(2 / sectors);
  const channelsOf = (observation, [cos, sin], sector) => {
    let start = 0;
    return blocks.flatMap(([, kind, size]) => {
      const values = observation.subarray(start, (start += size));
      if (kind === "lidar") return [values[sector]];
      if (kind !== "vector") return Array.from(values, (value) => value / Math.sqrt(sectors));
      return [scale * (values[0] * cos + values[1] * sin), scale * (values[1] * cos - values[0] * sin)];
    });
  };
  return (observation) => {
    const seen = circle.map((direction, sector) => channelsOf(observation, direction, sector));
    let features = circle.map((_, to) => {
      const sum = Float64Array.from(bias);
      seen.forEach((row, from) => {
        const start = ((from - to + sectors) % sectors) * channels * width;
        times(row, first.subarray(start, start + channels * width), width).forEach((part, i) => (sum[i] += part));
      });
      return sum.map(activation);
    });
    for (const [own, pool, shift] of layers) {
      const mean = features[0].map((_, i) => features.reduce((sum, row) => sum + row[i], 0) / sectors);
      const everywhere = times(mean, pool, shift.length);
      const mixed = (row) => times(row, own, shift.length).map((sum, i) => activation(sum + everywhere[i] + shift[i]));
      features = features.map(mixed);
    }
    const mean = [0, 0];
    features.forEach((row, sector) => {
      const [radial, across] = times(row, heads.flat(), 2);
      const [cos, sin] = circle[sector];
      mean[0] += scale * (radial * cos - across * sin);
      mean[1] += scale * (radial * sin + across * cos);
    });
    return mean;
  };
}
