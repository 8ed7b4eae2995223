// Plays episodes, and answers to pointer and keys.

const element = (id) => document.getElementById(id);

class Player {
  constructor(episodes) {
    this.episodes = episodes;
    this.canvas = element("canvas");
    this.scene = new Scene(this.canvas);
    this.panel = new Panel();
    this.here = new Here(this);
    this.time = 0;
    this.playing = false;
    this.hovered = -1;
    this.kept = -1;
    this.drawTimes = [];
    this.#listen();
  }

  get frame() {
    return Math.floor(this.time);
  }

  get chosen() {
    return this.hovered >= 0 ? this.hovered : this.kept;
  }

  /** Show an episode from its beginning, or from another decision. */
  async open(number, time = 0, kept = -1) {
    this.pause();
    const opening = Symbol(number);
    this.opening = opening;
    const episode = await Episode.open(this.episodes[number]);
    // Another one may have been asked for since.
    if (this.opening !== opening) return;
    this.number = number;
    showChoices(this.episodes, number);
    element("scrub").max = episode.decisions;
    this.show(episode, time, kept);
  }

  /** Show an unpacked episode. */
  show(episode, time = 0, kept = this.kept) {
    this.episode = episode;
    this.hovered = -1;
    this.kept = kept < episode.count ? kept : -1;
    element("chosen").value = this.kept < 0 ? "" : this.kept;
    element("chosen").max = episode.count - 1;
    this.scene.show(episode);
    showLegend(episode, this.scene.colours);
    showStrip(episode);
    showOverlays(episode);
    this.here.show(episode);
    const view = episode.dim === 3 ? ", seen from above" : "";
    this.canvas.setAttribute("aria-label", `Episode of ${nameOf(episode)}${view}`);
    this.goTo(time);
  }

  play() {
    if (!this.episode || this.playing) return;
    if (this.time >= this.episode.decisions) this.time = 0;
    this.playing = true;
    this.last = null;
    element("play").textContent = "Pause";
    requestAnimationFrame((now) => this.#advance(now));
  }

  /** Stop at a frame, so that picture and numbers are of the same moment. */
  pause() {
    this.playing = false;
    this.time = this.frame;
    element("play").textContent = "Play";
    if (this.episode) this.#show();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  /** Go to a time, counted in decisions. */
  goTo(time) {
    this.time = Math.max(0, Math.min(time, this.episode.decisions));
    this.#show();
  }

  /** Keep a particle, or with -1 none. */
  keep(particle) {
    this.kept = particle;
    element("chosen").value = particle < 0 ? "" : particle;
    this.#show();
  }

  /** Where a particle is, in pixels of the canvas. */
  positionOnScreen(particle) {
    return this.scene.toScreen(this.episode.x[particle], this.episode.y[particle]);
  }

  #advance(now) {
    if (!this.playing) return;
    // A page that was hidden goes on where it was.
    const passed = Math.min(0.1, (now - (this.last ?? now)) / 1000);
    this.last = now;
    // Of what is played here, one decision a picture: a large swarm is slower then, and the page is not.
    const most = this.episode.isLive ? this.frame + 1 : this.episode.decisions;
    this.time = Math.min(most, this.time + passed * Number(element("speed").value));
    if (this.time >= this.episode.decisions) {
      this.pause();
      return;
    }
    this.#show();
    requestAnimationFrame((then) => this.#advance(then));
  }

  #show() {
    const start = performance.now();
    this.scene.draw(this.time, this.chosen, this.here.target);
    this.drawTimes.push(performance.now() - start);
    if (this.drawTimes.length > 1000) this.drawTimes.shift();
    const { frame, chosen, episode } = this;
    const now = `${frame} ${chosen} ${this.kept} ${this.playing}`;
    if (this.shown?.episode === episode && this.shown.now === now) return;
    this.shown = { episode, now };
    this.#tell(frame, chosen);
  }

  /** Everything beside the picture: it changes with the frame, not with every picture. */
  #tell(frame, chosen) {
    const { episode } = this;
    const success = episode.successAt(frame);
    const last = episode.isLive ? ", played here" : ` of ${episode.decisions}`;
    const words = [`time ${(frame * episode.decision_time).toFixed(2)}`, `decision ${frame}${last}`];
    if (Number.isFinite(success)) words.push(`${episode.success_name} ${success.toFixed(2)}`);
    element("clock").textContent = words.join(" \u00b7 ");
    const scrub = element("scrub");
    scrub.value = frame;
    scrub.setAttribute("aria-valuetext", words.join(", "));
    document.querySelector("#strip .now").setAttribute("d", `M${(1000 * frame) / episode.decisions} 0V40`);
    this.panel.show(episode, frame, chosen, chosen === this.kept);
    if (!this.playing) this.panel.say();
  }

  #listen() {
    const { canvas } = this;
    const step = (by) => {
      this.pause();
      this.goTo(this.frame + by);
    };
    element("play").addEventListener("click", () => this.toggle());
    element("back").addEventListener("click", () => step(-1));
    element("forth").addEventListener("click", () => step(1));
    for (const [id, field] of Object.entries(CHOICES)) element(id).addEventListener("change", () => this.#choose(field));
    for (const name of ["forces", "trails"]) {
      element(name).addEventListener("change", (event) => {
        this.scene.overlays[name] = event.target.checked;
        this.#show();
      });
    }
    element("scrub").addEventListener("input", (event) => {
      const frame = Number(event.target.value);
      this.pause();
      this.goTo(frame);
    });
    element("chosen").addEventListener("input", (event) => {
      const number = event.target.value === "" ? -1 : Number(event.target.value);
      if (Number.isInteger(number) && number < this.episode.count) this.keep(Math.max(-1, number));
    });
    canvas.addEventListener("pointermove", (event) => this.#point(this.scene.particleAt(event.offsetX, event.offsetY)));
    canvas.addEventListener("pointerleave", () => this.#point(-1));
    canvas.addEventListener("click", (event) => {
      if (this.here.moved) return;
      const particle = this.scene.particleAt(event.offsetX, event.offsetY);
      this.keep(particle === this.kept ? -1 : particle);
    });
    canvas.addEventListener("keydown", (event) => this.#key(event, step));
    new ResizeObserver(() => this.#redraw()).observe(canvas.parentElement);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#redraw());
  }

  /** Open what the choices name; with another run or policy the moment stays, so that they can be compared. */
  async #choose(field) {
    const { kept, playing } = this;
    const time = this.here.live ? this.here.left : this.time;
    const number = chosenEpisode(this.episodes, field);
    if (field === "label") return this.open(number);
    await this.open(number, Math.floor(time), kept);
    if (playing) this.play();
  }

  #point(particle) {
    if (particle === this.hovered) return;
    this.hovered = particle;
    this.canvas.classList.toggle("pointing", particle >= 0);
    this.#show();
  }

  /** Show what has changed without the frame: a target has been moved. */
  refresh() {
    this.shown = null;
    this.#show();
  }

  #redraw() {
    this.scene.readColours();
    this.scene.resize();
    if (this.episode) this.#show();
  }

  #key(event, step) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.episode) return;
    if (this.here.key(event.key, event.shiftKey)) {
      event.preventDefault();
      return;
    }
    const next = (by) => this.keep((this.kept + by + this.episode.count) % this.episode.count);
    const answers = {
      " ": () => this.toggle(),
      ArrowLeft: () => step(-1),
      ArrowRight: () => step(1),
      Home: () => this.goTo(0),
      End: () => this.goTo(this.episode.decisions),
      ArrowUp: () => next(1),
      ArrowDown: () => next(this.kept < 0 ? 0 : -1),
      Escape: () => this.keep(-1),
    };
    if (!Object.hasOwn(answers, event.key)) return;
    event.preventDefault();
    answers[event.key]();
  }
}

/** Say what the colours mean, of what there is. */
function showLegend(episode, colours) {
  const entries = [];
  if (episode.species) {
    for (const number of [...new Set(episode.species)].sort((a, b) => a - b)) {
      entries.push([`species-${number % 6}`, `species ${number}`]);
    }
  } else entries.push(["particle", "particle"]);
  const passive = Array.from({ length: episode.count - episode.acting }, (_, i) => episode.acting + i);
  const carried = passive.some((i) => !episode.fixed.has(i));
  if (carried) entries.push(["passive", "does not act by itself"]);
  if (episode.targets) {
    const near = episode.target_radius ? "centre inside a target's ring" : "centre within its radius of a target";
    if (!episode.species) entries.push(["there", near]);
    if (episode.species || carried) entries.push(["there ring", episode.species ? near : "the same, of what does not act"]);
    entries.push([`target ring${episode.targets.particles > 200 ? " whole" : ""}`, "target"]);
  }
  if (episode.fixed.size) entries.push(["fixed", "obstacle"]);
  entries.push([`tick ${episode.species ? "species-0" : "particle"}`, "where it goes"]);
  if (episode.dim === 3) entries.push(["", "seen from above: x and y; z is in the numbers"]);
  if (episode.position.at) entries.push(["", "not every frame is kept: between them positions are interpolated"]);
  element("legend").replaceChildren(
    ...entries.map(([kind, text]) => {
      const item = document.createElement("li");
      if (kind) {
        const swatch = document.createElement("span");
        swatch.className = `swatch ${kind}`;
        item.append(swatch);
      }
      item.append(text);
      return item;
    }),
  );
}

/** Success over the episode, above the slider. */
function showStrip(episode) {
  const strip = element("strip");
  strip.toggleAttribute("hidden", !episode.success);
  if (!episode.success) return;
  const points = [];
  for (let frame = 1; frame <= episode.decisions; frame++) {
    const success = episode.successAt(frame);
    if (Number.isFinite(success)) points.push(`${(1000 * frame) / episode.decisions} ${39 - 38 * success}`);
  }
  element("strip-title").textContent = `${episode.success_name} over the episode, from 0 to 1`;
  const [area, line] = strip.querySelectorAll("path");
  line.setAttribute("d", `M${points.join("L")}`);
  area.setAttribute("d", `M${points[0].split(" ")[0]} 40L${points.join("L")}V40z`);
}

async function startPlayer(episodes) {
  const player = new Player(episodes);
  // For scripts, and for tests.
  window.jaxdemPlayer = player;
  await player.open(0);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) player.play();
}

function sayProblem(error) {
  const problem = element("problem");
  problem.hidden = false;
  problem.textContent =
    typeof DecompressionStream === "undefined"
      ? "The player needs a browser of 2023 or later; everything else on this page is shown."
      : `The player cannot show the episodes: ${error.message}`;
}
