// What the page holds: numbers as pack.py packs them, unpacked when an episode is opened.

async function inflated(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Numbers (frames, particles, components), of which a frame in so many may be kept. */
class Numbers {
  static async open(packed) {
    const numbers = new Numbers();
    const [frames, particles, components] = packed.shape;
    Object.assign(numbers, { frames, particles, components, total: packed.total, low: packed.low, step: packed.step });
    numbers.missing = 2 ** packed.bits - 1;
    numbers.at = packed.at;
    numbers.codes = Numbers.#unfolded(await inflated(packed.data), packed);
    numbers.keptBefore = new Int32Array(packed.total);
    for (let frame = 0, kept = 0; frame < packed.total; frame++) {
      while (kept + 1 < frames && numbers.frameOf(kept + 1) <= frame) kept++;
      numbers.keptBefore[frame] = kept;
    }
    return numbers;
  }

  /** The last kept frame up to a frame of the episode. */
  before(frame) {
    return this.keptBefore[Math.min(frame, this.total - 1)];
  }

  static #unfolded(bytes, { shape: [frames, particles, components], bits }) {
    const plane = frames * particles;
    const codes = bits === 8 ? bytes : new Uint16Array(plane * components);
    for (let component = 0; component < components; component++) {
      const start = component * plane;
      for (let i = 0; i < plane; i++) {
        const folded = bits === 8 ? bytes[start + i] : (bytes[2 * start + i] << 8) | bytes[2 * start + plane + i];
        const change = (folded >> 1) ^ -(folded & 1);
        codes[start + i] = change + (i < particles ? 0 : codes[start + i - particles]);
      }
    }
    return codes;
  }

  /** The frame of the episode that a kept one is. */
  frameOf(kept) {
    return this.at ? this.at[kept] : kept;
  }

  /** The number of a kept frame; NaN where there was none. */
  get(kept, particle, component) {
    const code = this.codes[(component * this.frames + kept) * this.particles + particle];
    return code === this.missing ? NaN : this.low[component] + code * this.step[component];
  }
}

/** An episode, unpacked. */
class Episode {
  static async open(stored) {
    const episode = Object.assign(new Episode(), stored);
    for (const [name, packed] of Object.entries(stored.arrays)) episode[name] = await Numbers.open(packed);
    episode.count = episode.position.particles;
    episode.dim = episode.position.components;
    episode.radii = Float64Array.from({ length: episode.count }, (_, i) => episode.radius.get(0, i, 0));
    episode.fixed = new Set(stored.fixed);
    episode.x = new Float64Array(episode.count);
    episode.y = new Float64Array(episode.count);
    episode.dx = new Float64Array(episode.count);
    episode.dy = new Float64Array(episode.count);
    episode.there = new Uint8Array(episode.count);
    return episode;
  }

  /** Put x, y, and the way to the next frame, dx, dy, where they are at a time, counted in decisions. */
  moveTo(time) {
    const { position, x, y, dx, dy } = this;
    const kept = position.before(Math.floor(time));
    const next = Math.min(kept + 1, position.frames - 1);
    const from = position.frameOf(kept);
    const span = position.frameOf(next) - from;
    const part = span ? (time - from) / span : 0;
    for (let i = 0; i < this.count; i++) {
      dx[i] = this.across(position.get(next, i, 0) - position.get(kept, i, 0), 0);
      dy[i] = this.across(position.get(next, i, 1) - position.get(kept, i, 1), 1);
      x[i] = position.get(kept, i, 0) + part * dx[i];
      y[i] = position.get(kept, i, 1) + part * dy[i];
    }
    if (this.targets) this.#seeWhoIsThere(Math.floor(time));
  }

  /** A way that leads through a side of a periodic box is the short one. */
  across(way, axis) {
    if (!this.box?.periodic) return way;
    const size = this.box.high[axis] - this.box.low[axis];
    return way - size * Math.round(way / size);
  }

  /** Mark whose centre is as near to a target as it has to be. */
  #seeWhoIsThere(frame) {
    const { targets, there, x, y, radii, count } = this;
    const kept = targets.before(frame);
    there.fill(0);
    for (let target = 0; target < targets.particles; target++) {
      const tx = targets.get(kept, target, 0);
      const ty = targets.get(kept, target, 1);
      const reach = this.target_radius?.get(0, target, 0);
      for (let i = 0; i < count; i++) {
        const near = reach ?? radii[i];
        const ex = x[i] - tx;
        const ey = y[i] - ty;
        if (ex * ex + ey * ey <= near * near) there[i] = 1;
      }
    }
  }

  /** The task's figure at a frame: it is known after a decision. NaN where it is not. */
  successAt(frame) {
    return this.success && frame > 0 ? this.success.get(this.success.before(frame - 1), 0, 0) : NaN;
  }
}
