// The task: discs in a reflecting box, what they see of each other and of targets, and one decision; see dem/step.py.

const SKIN = 0.5;

/** N discs and M targets; positions, velocities and forces are x, y, x, y, ... */
class Discs {
  constructor(task, box, { position, velocity, force, targets, radius, mass }) {
    Object.assign(this, { task, box, position, velocity, force, targets, radius, mass, count: radius.length });
    this.reach = 2 * Math.max(...radius);
  }

  /** Hold a force on each disc for a decision. */
  decide(action) {
    for (let step = 0; step < this.task.physics_steps; step++) this.#step(action);
  }

  /** Velocity Verlet: walls, half a kick with the last force, drift, the new force, half a kick. */
  #step(action) {
    const { position, velocity, force, mass, task } = this;
    const external = action.map((push, i) => push - task.drag * velocity[i]);
    const kick = () => velocity.forEach((_, i) => (velocity[i] += (0.5 * task.dt * force[i]) / mass[i >> 1]));
    for (let i = 0; i < position.length; i++) this.#reflect(i);
    kick();
    velocity.forEach((speed, i) => (position[i] += task.dt * speed));
    force.set(external);
    this.#contacts();
    kick();
  }

  /** Turn back what has passed a wall, where in the last step it met it: `_reflect` of dem/boundaries.py. */
  #reflect(i) {
    const { position, velocity, force, radius, mass, task, box } = this;
    const low = box.low[i & 1] + radius[i >> 1];
    const high = box.high[i & 1] - radius[i >> 1];
    const side = (position[i] < low) - (position[i] > high);
    if (!side) return;
    const face = side > 0 ? low : high;
    const { dt } = task;
    const acceleration = force[i] / mass[i >> 1];
    if (velocity[i] === 0 && force[i] === 0) position[i] = face;
    const start = (velocity[i] - dt * acceleration) * side * dt;
    const curve = 0.5 * acceleration * side * dt * dt;
    const travelled = side * (face - position[i]) + (velocity[i] - 0.5 * dt * acceleration) * side * dt;
    const root = Math.sqrt(Math.max(0, start * start + 4 * curve * travelled));
    const approach = start - root;
    const fraction =
      start < 0
        ? (2 * travelled) / (approach < -1e-10 ? approach : -1)
        : (-start - root) / (Math.abs(2 * curve) > 1e-10 ? 2 * curve : 1);
    const rest = 1 - Math.max(0, Math.min(fraction, 1));
    const atWall = velocity[i] - rest * dt * acceleration;
    if (!(atWall * side < 0)) return;
    position[i] -= 2 * atWall * rest * dt;
    velocity[i] -= 2 * atWall;
  }

  /** Add the spring of every two that overlap. */
  #contacts() {
    const { position, force, radius, task } = this;
    for (const [i, j] of this.#near()) {
      const dx = position[2 * i] - position[2 * j];
      const dy = position[2 * i + 1] - position[2 * j + 1];
      const distance = Math.sqrt(dx * dx + dy * dy);
      const overlap = radius[i] + radius[j] - distance;
      if (!(overlap > 0 && distance > 0)) continue;
      const push = (task.stiffness * overlap) / distance;
      force[2 * i] += push * dx;
      force[2 * i + 1] += push * dy;
      force[2 * j] -= push * dx;
      force[2 * j + 1] -= push * dy;
    }
  }

  /** Pairs that may touch: those of before, until one has gone half the skin. */
  #near() {
    const { position, count, reach } = this;
    const skin = SKIN * reach;
    const gone = (i) => Math.hypot(position[2 * i] - this.from[2 * i], position[2 * i + 1] - this.from[2 * i + 1]);
    const stale = () => this.radius.some((_, i) => !(gone(i) < skin / 2));
    if (this.from && !stale()) return this.pairs;
    [this.from, this.pairs] = [position.slice(), []];
    for (let i = 0; i < count; i++) {
      for (let j = i + 1; j < count; j++) {
        const distance = Math.hypot(position[2 * i] - position[2 * j], position[2 * i + 1] - position[2 * j + 1]);
        if (distance < reach + skin) this.pairs.push([i, j]);
      }
    }
    return this.pairs;
  }

  /** What disc i observes. */
  observe(i) {
    const { task, position, velocity, targets, radius, mass, box } = this;
    const [x, y] = [position[2 * i], position[2 * i + 1]];
    const own = Array.from(velocity.subarray(2 * i, 2 * i + 2));
    const swarm = new Float64Array(task.sectors);
    const see = (readings, dx, dy, away = Math.sqrt(dx * dx + dy * dy)) => {
      if (!(away < task.lidar_range)) return;
      const sector = Math.floor((Math.atan2(dy, dx) + Math.PI) * (task.sectors / (2 * Math.PI))) % task.sectors;
      readings[sector] = Math.max(readings[sector], (task.lidar_range - away) / task.lidar_range);
    };
    const seeAll = (readings, places, but) => {
      for (let j = 0; 2 * j < places.length; j++) if (j !== but) see(readings, places[2 * j] - x, places[2 * j + 1] - y);
    };
    seeAll(swarm, position, i);
    for (const corner of [box.low, box.high]) {
      see(swarm, corner[0] - x, 0);
      see(swarm, 0, corner[1] - y);
    }
    const sizes = task.observe_sizes ? [radius[i], mass[i]] : [];
    if (task.shared) {
      const seen = new Float64Array(task.sectors);
      seeAll(seen, targets, -1);
      return Float64Array.of(...own, ...seen, ...swarm, ...sizes);
    }
    const offset = [x - targets[2 * i], y - targets[2 * i + 1]];
    const distance = Math.hypot(...offset) || 1;
    const cut = offset.map((part) => Math.max(-3, Math.min(part, 3)));
    return Float64Array.of(...offset.map((part) => part / distance), ...cut, ...own, ...swarm, ...sizes);
  }

  /** The share of targets that a disc's centre is within its radius of, or its own disc's centre. */
  success(position = this.position) {
    const { targets, radius, task } = this;
    const within = (target, i) =>
      Math.hypot(position[2 * i] - targets[2 * target], position[2 * i + 1] - targets[2 * target + 1]) <= radius[i];
    const all = Array.from({ length: targets.length / 2 }, (_, target) => target);
    const reached = (target) => (task.shared ? radius.some((_, i) => within(target, i)) : within(target, target));
    return all.filter(reached).length / all.length;
  }
}
