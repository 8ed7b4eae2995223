// One moment of an episode on a canvas.

/** Turns lengths of the simulation into pixels, and draws. */
class Scene {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.overlays = { forces: false, trails: false };
    this.readColours();
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(`--${name}`).trim();
    this.colours = Object.fromEntries(
      ["ground", "ink", "particle", "there", "target", "fixed", "passive", "edge", "box", "force", "trail"].map((name) => [name, read(name)]),
    );
    this.colours.species = [0, 1, 2, 3, 4, 5].map((number) => read(`species-${number}`));
  }

  show(episode) {
    this.episode = episode;
    const margin = 0.02;
    const [low, high] = episode.box ? [episode.box.low, episode.box.high] : Scene.#extent(episode);
    const width = (high[0] - low[0]) * (1 + 2 * margin) || 1;
    const height = (high[1] - low[1]) * (1 + 2 * margin) || 1;
    this.world = { left: low[0] - margin * width, bottom: low[1] - margin * height, width, height };
    this.resize();
  }

  /** The least and the greatest of all positions, by a radius more. */
  static #extent({ position, radii }) {
    const margin = radii.reduce((most, radius) => Math.max(most, radius), 0);
    const span = (axis) => position.step[axis] * (position.missing - 1);
    return [
      [0, 1].map((axis) => position.low[axis] - margin),
      [0, 1].map((axis) => position.low[axis] + span(axis) + margin),
    ];
  }

  resize() {
    if (!this.world) return;
    const { canvas, world } = this;
    const wide = canvas.parentElement.clientWidth;
    const tall = Math.min((wide * world.height) / world.width, Math.max(320, 0.72 * window.innerHeight));
    const ratio = window.devicePixelRatio || 1;
    canvas.style.height = `${tall}px`;
    canvas.width = Math.round(wide * ratio);
    canvas.height = Math.round(tall * ratio);
    this.scale = Math.min(wide / world.width, tall / world.height);
    this.left = (wide - this.scale * world.width) / 2 - this.scale * world.left;
    this.foot = tall - (tall - this.scale * world.height) / 2 + this.scale * world.bottom;
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  toScreen(x, y) {
    return [this.left + this.scale * x, this.foot - this.scale * y];
  }

  toBox(px, py) {
    return [(px - this.left) / this.scale, (this.foot - py) / this.scale];
  }

  /** The particle under a point of the canvas, or the nearest within a few pixels; -1 where there is none. */
  particleAt(px, py) {
    const { x, y, radii, count } = this.episode;
    let best = -1;
    let least = 6;
    for (let i = 0; i < count; i++) {
      const [cx, cy] = this.toScreen(x[i], y[i]);
      const gap = Math.hypot(cx - px, cy - py) - this.scale * radii[i];
      if (gap < least) [best, least] = [i, gap];
    }
    return best;
  }

  draw(time, chosen, target) {
    const { context, episode, colours } = this;
    episode.moveTo(time);
    const { x, y, targets } = episode;
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.#box();
    if (episode.targets) this.#targets(Math.floor(time));
    if (this.overlays.trails) drawTrails(this, time);
    const groups = this.#groups();
    for (const [colour, members] of groups) this.#discs(members, colour);
    if (groups.ringed.length) this.#rings(groups.ringed);
    this.#ticks();
    if (this.overlays.forces && episode.contact) drawForces(this, Math.floor(time));
    if (chosen >= 0) this.#mark(x[chosen], y[chosen], episode.radii[chosen], colours.ink);
    if (target >= 0) this.#mark(targets.get(0, target, 0), targets.get(0, target, 1), episode.radii[0], colours.target);
  }

  #box() {
    const { context, episode } = this;
    if (!episode.box) return;
    const [left, top] = this.toScreen(episode.box.low[0], episode.box.high[1]);
    const [right, foot] = this.toScreen(episode.box.high[0], episode.box.low[1]);
    context.strokeStyle = this.colours.box;
    context.lineWidth = 1.5;
    context.setLineDash(episode.box.periodic ? [6, 5] : []);
    context.strokeRect(left, top, right - left, foot - top);
    context.setLineDash([]);
  }

  /** Particles by colour. Those on a target whose colour says what they are keep it, and are ringed. */
  #groups() {
    const { episode, colours } = this;
    const groups = new Map();
    groups.ringed = [];
    for (let i = 0; i < episode.count; i++) {
      const there = episode.there[i] && !episode.fixed.has(i);
      let colour = there ? colours.there : colours.particle;
      if (episode.fixed.has(i)) colour = colours.fixed;
      else if (i >= episode.acting) colour = colours.passive;
      else if (episode.species) colour = colours.species[episode.species[i] % 6];
      if (there && colour !== colours.there) groups.ringed.push(i);
      if (!groups.has(colour)) groups.set(colour, []);
      groups.get(colour).push(i);
    }
    return groups;
  }

  #discs(members, colour) {
    const { context } = this;
    this.#circles(members, 0);
    context.fillStyle = colour;
    context.fill();
    if (this.scale * this.episode.radii[members[0]] < 6) return;
    context.strokeStyle = this.colours.edge;
    context.lineWidth = 0.75;
    context.stroke();
  }

  #rings(members) {
    this.#circles(members, 1);
    this.context.strokeStyle = this.colours.there;
    this.context.lineWidth = 3;
    this.context.stroke();
  }

  #circles(members, inset) {
    const { context, episode, scale } = this;
    context.beginPath();
    for (const i of members) {
      const [px, py] = this.toScreen(episode.x[i], episode.y[i]);
      const radius = Math.max(0.75, scale * episode.radii[i] - inset);
      context.moveTo(px + radius, py);
      context.arc(px, py, radius, 0, 2 * Math.PI);
    }
  }

  /** From the centre to the edge, where a particle goes; nothing for one that rests. */
  #ticks() {
    const { context, episode, scale } = this;
    context.beginPath();
    for (let i = 0; i < episode.count; i++) {
      const radius = episode.radii[i];
      const way = Math.hypot(episode.dx[i], episode.dy[i]);
      if (!(way > 0.02 * radius) || scale * radius < 2) continue;
      const [px, py] = this.toScreen(episode.x[i], episode.y[i]);
      context.moveTo(px, py);
      context.lineTo(px + (scale * radius * episode.dx[i]) / way, py - (scale * radius * episode.dy[i]) / way);
    }
    context.strokeStyle = this.colours.ground;
    context.lineWidth = Math.max(1, Math.min(2.5, 0.18 * scale * episode.radii[0]));
    context.stroke();
  }

  #targets(frame) {
    const { context, episode, scale } = this;
    const { targets } = episode;
    const kept = targets.before(frame);
    context.beginPath();
    for (let target = 0; target < targets.particles; target++) {
      const [px, py] = this.toScreen(targets.get(kept, target, 0), targets.get(kept, target, 1));
      const radius = scale * (episode.target_radius?.get(0, target, 0) ?? episode.radii[0]);
      context.moveTo(px + radius, py);
      context.arc(px, py, radius, 0, 2 * Math.PI);
    }
    context.strokeStyle = this.colours.target;
    context.lineWidth = 1.5;
    // Dashes of very many rings take longer than all the rest.
    context.setLineDash(targets.particles > 200 ? [] : [4, 3]);
    context.stroke();
    context.setLineDash([]);
  }

  #mark(x, y, radius, colour) {
    const { context, scale } = this;
    const [px, py] = this.toScreen(x, y);
    context.beginPath();
    context.arc(px, py, scale * radius + 4, 0, 2 * Math.PI);
    context.strokeStyle = colour;
    context.lineWidth = 2.5;
    context.stroke();
  }
}
