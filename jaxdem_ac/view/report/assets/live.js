// "Run the policy here": an episode that is played on in the page, and answers to who moves its targets.

const HISTORY = 32;

/** Numbers of now, as Numbers has those of a recording. */
function ofNow(like, components, get, frameOf) {
  const scale = like ?? { low: Array(components).fill(1), step: Array(components).fill(1e-4), missing: 1 };
  const { low, step, missing } = scale;
  return { components, low, step, missing, at: null, total: 1, before: () => 0, frameOf, get };
}

/** An episode that goes on from a frame of a recorded one; a time is counted in decisions since then. */
class LiveEpisode extends Episode {
  static from(recorded, network, frame) {
    const live = Object.assign(new LiveEpisode(), recorded);
    const { dim, count, live: stored } = recorded;
    const start = stored.start.map(floats);
    const names = ["position", "velocity", "force", "targets", "radius", "mass"];
    const numbers = Object.fromEntries(names.map((name, i) => [name, start[i]]));
    if (frame > 0) LiveEpisode.#read(numbers, recorded, frame);
    live.discs = new Discs(stored.task, recorded.box, numbers);
    live.network = policyOf(network);
    live.history = [];
    live.decided = -1;
    live.position = {
      ...ofNow(recorded.position, dim, (kept, i, c) => live.history[kept % HISTORY][2 * i + c], (kept) => kept),
      before: (decision) => Math.min(decision, live.decided + 1),
      particles: count,
    };
    Object.defineProperty(live.position, "frames", { get: () => live.decided + 2 });
    const now = () => Math.max(0, live.decided);
    live.targets = { ...ofNow(recorded.targets, dim, (_, i, c) => numbers.targets[2 * i + c], now), particles: numbers.targets.length / 2 };
    live.observation = ofNow(recorded.observation, stored.task.observed, (_, i, c) => live.observed[i][c], now);
    live.action = ofNow(recorded.action, 2, (_, i, c) => live.forces[2 * i + c], now);
    Object.assign(live, { isLive: true, decisions: Infinity, left_out: [] });
    for (const name of ["contact", "value", "reward", "success"]) delete live[name];
    live.history[0] = numbers.position.slice();
    return live;
  }

  /** Put a frame that the page holds in place of the first: in its steps, and without the last step's force. */
  static #read(numbers, recorded, frame) {
    const { position, targets, observation, decision_time: time, live } = recorded;
    const kept = position.before(frame);
    const earlier = Math.max(0, kept - 1);
    const seen = observation?.before(Math.min(frame, observation.total - 1));
    const isSeen = seen !== undefined && observation.frameOf(seen) === frame;
    const span = (position.frameOf(kept) - position.frameOf(earlier)) * time || 1;
    for (let i = 0; i < recorded.count; i++) {
      for (const c of [0, 1]) {
        const place = position.get(kept, i, c);
        numbers.position[2 * i + c] = place;
        numbers.velocity[2 * i + c] = isSeen
          ? observation.get(seen, i, live.task.velocity + c)
          : (place - position.get(earlier, i, c)) / span;
        numbers.force[2 * i + c] = 0;
      }
    }
    numbers.targets.forEach((_, i) => {
      numbers.targets[i] = targets.get(targets.before(Math.min(frame, targets.total - 1)), i >> 1, i & 1);
    });
  }

  /** Play as far as a time, and put everything where it is then. */
  moveTo(time) {
    while (this.decided < Math.floor(time)) this.#decide();
    super.moveTo(time);
  }

  #decide() {
    const { discs } = this;
    this.observed = Array.from({ length: discs.count }, (_, i) => discs.observe(i));
    this.forces = Float64Array.from(this.observed.flatMap((seen) => Array.from(this.network(seen))));
    discs.decide(this.forces);
    this.decided++;
    this.history[(this.decided + 1) % HISTORY] = discs.position.slice();
  }

  /** The task's figure, with the targets where they are now. */
  successAt(frame) {
    return this.discs.success(this.history[frame % HISTORY]);
  }

  /** Move a target, as far as it stays in the box. */
  moveTarget(target, place) {
    const { low, high } = this.box;
    place.forEach((where, c) => (this.discs.targets[2 * target + c] = Math.max(low[c], Math.min(where, high[c]))));
  }
}

/** The button, and the targets that pointer and keys move. */
class Here {
  constructor(player) {
    this.player = player;
    this.target = -1;
    this.button = element("here");
    this.button.addEventListener("click", () => (this.live ? this.leave() : this.start()));
    const { canvas } = player;
    canvas.addEventListener("pointerdown", (event) => this.#take(event));
    canvas.addEventListener("pointermove", (event) => this.#drag(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (this.dragging = false));
    // A finger on a target moves it; anywhere else it scrolls the page.
    canvas.addEventListener("touchstart", (event) => {
      const [touch] = event.changedTouches;
      const { left, top } = canvas.getBoundingClientRect();
      if (this.#targetAt(touch.clientX - left, touch.clientY - top) >= 0) event.preventDefault();
    }, { passive: false });
  }

  get live() {
    return this.player.episode?.isLive ? this.player.episode : null;
  }

  /** Say what can be played here, of the episode that is shown. */
  show(episode) {
    const reason = typeof episode.live === "string" ? episode.live : "";
    [this.target, this.dragging] = [-1, false];
    element("here-said").textContent = "";
    this.button.textContent = this.live ? "Back to the recording" : "Run the policy here";
    this.button.disabled = Boolean(reason);
    element("here-note").textContent = reason
      ? `The policy does not run in this page: ${reason}.`
      : this.live
        ? "The policy and its physics run in this page. Drag a target; or, with the picture in focus, press T to choose " +
          "one and move it by the arrow keys."
        : "The policy's mode goes on from this moment, in this page, and answers to where you drag the targets.";
    for (const id of ["scrub", "back"]) element(id).hidden = Boolean(this.live);
  }

  start() {
    const { player } = this;
    const { episode, frame, episodes } = player;
    const of = (each) => each.run === episode.run && each.policy === episode.policy && each.live.network;
    this.left = frame;
    player.show(LiveEpisode.from(episode, episodes.find(of).live.network, frame));
    player.play();
  }

  leave() {
    return this.player.open(this.player.number, this.left, this.player.kept);
  }

  /** Answer a key of the picture, or not. */
  key(name, shift) {
    if (!this.live) return false;
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const { targets, radii } = this.live;
    if (name === "t" || name === "T") {
      this.target = (this.target + (shift ? -1 : 1) + targets.particles) % targets.particles;
    } else if (name === "Escape" && this.target >= 0) this.target = -1;
    else if (ways[name] && this.target >= 0) {
      const place = [0, 1].map((c) => targets.get(0, this.target, c) + (shift ? 0.1 : 0.5) * radii[0] * ways[name][c]);
      this.live.moveTarget(this.target, place);
    } else return ["Home", "End", "ArrowLeft"].includes(name);
    this.#say();
    return true;
  }

  #say() {
    const { target, live, player } = this;
    const [x, y] = target < 0 ? [] : [0, 1].map((c) => live.targets.get(0, target, c).toFixed(1));
    element("here-said").textContent = target < 0 ? "" : `Target ${target} at ${x}, ${y}.`;
    player.refresh();
  }

  #targetAt(px, py) {
    if (!this.live) return -1;
    const { scene } = this.player;
    const { targets, radii } = this.live;
    const gaps = Array.from({ length: targets.particles }, (_, i) => {
      const [x, y] = scene.toScreen(targets.get(0, i, 0), targets.get(0, i, 1));
      return Math.hypot(x - px, y - py);
    });
    const least = Math.min(...gaps);
    return least < Math.max(14, scene.scale * radii[0]) ? gaps.indexOf(least) : -1;
  }

  #take(event) {
    const target = this.#targetAt(event.offsetX, event.offsetY);
    this.moved = false;
    if (target < 0) return;
    [this.target, this.dragging, this.pressed] = [target, true, [event.offsetX, event.offsetY]];
    this.player.canvas.setPointerCapture(event.pointerId);
    this.#say();
  }

  #drag(event) {
    const [x, y] = [event.offsetX, event.offsetY];
    if (!this.dragging || (!this.moved && Math.hypot(x - this.pressed[0], y - this.pressed[1]) < 4)) return;
    this.moved = true;
    this.live.moveTarget(this.target, this.player.scene.toBox(x, y));
    this.#say();
  }
}
