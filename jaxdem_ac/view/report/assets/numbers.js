// What a particle observes, does, expects and gains, in words and bars.

/** A number with the digits that its steps allow. */
function written(number, step) {
  if (!Number.isFinite(number)) return "not a number";
  const digits = step > 0 ? Math.ceil(-Math.log10(step)) : 4;
  const isTiny = digits > 6 && number !== 0 && Math.abs(number) < 1e-3;
  return isTiny || digits < -3 ? number.toPrecision(3) : number.toFixed(Math.min(5, Math.max(0, digits)));
}

/** All components of a particle in a kept frame, written out. */
function writtenOut(numbers, kept, particle) {
  const texts = [];
  for (let c = 0; c < numbers.components; c++) texts.push(written(numbers.get(kept, particle, c), numbers.step[c]));
  return texts;
}

/** What there is to say of a particle at a frame: [name, text] each, and its observation. */
function factsOf(episode, frame, particle) {
  const facts = [];
  const kept = episode.position.before(frame);
  const positionFrame = episode.position.frameOf(kept);
  const note = positionFrame === frame ? "" : ` (frame ${positionFrame})`;
  facts.push(["position", writtenOut(episode.position, kept, particle).join(", ") + note]);
  if (episode.fixed.has(particle)) facts.push(["kind", "obstacle, fixed"]);
  else if (particle >= episode.acting) facts.push(["kind", "does not act by itself"]);
  else if (episode.species) facts.push(["species", String(episode.species[particle])]);
  facts.push(["radius", written(episode.radii[particle], episode.radius.step[0] || 1e-3)]);
  if (particle >= episode.acting) return { facts, observation: null };
  if (frame >= episode.decisions) {
    facts.push(["decision", "none: this is the last frame"]);
    return { facts, observation: null };
  }
  const decided = episode.isLive ? ["action"] : ["action", "value", "reward"];
  for (const name of decided) facts.push([name, decidedText(episode, name, frame, particle)]);
  return { facts, observation: observationOf(episode, frame, particle) };
}

function decidedText(episode, name, frame, particle) {
  const numbers = episode[name];
  if (!numbers) return episode.left_out.includes(name) ? "left out, there was no room" : "not recorded";
  const kept = numbers.before(frame);
  const from = numbers.frameOf(kept);
  return writtenOut(numbers, kept, particle).join(", ") + (from === frame ? "" : ` (of decision ${from})`);
}

function observationOf(episode, frame, particle) {
  const numbers = episode.observation;
  if (!numbers) return null;
  const kept = numbers.before(frame);
  const values = Array.from({ length: numbers.components }, (_, c) => numbers.get(kept, particle, c));
  return { from: numbers.frameOf(kept), values, texts: writtenOut(numbers, kept, particle) };
}

/** Shows the numbers of a particle in the panel, and says them to who listens. */
class Panel {
  constructor() {
    for (const id of ["who", "hint", "facts", "seen", "bars", "observation", "live"]) {
      this[id] = document.getElementById(id);
    }
    this.seenTitle = document.getElementById("seen-title");
    this.every = document.getElementById("every");
    this.blocks = new Blocks(document.getElementById("blocks"), document.getElementById("blocks-note"));
  }

  show(episode, frame, particle, kept) {
    this.hint.hidden = particle >= 0;
    this.facts.replaceChildren();
    this.seen.hidden = true;
    if (particle < 0) {
      this.who.textContent = "No particle chosen";
      this.spoken = "";
      return;
    }
    this.who.textContent = `Particle ${particle}${kept ? ", kept" : ""}`;
    const { facts, observation } = factsOf(episode, frame, particle);
    for (const [name, text] of facts) this.#fact(name, text);
    const where = frame < episode.decisions ? `decision ${frame}` : "the last frame";
    this.spoken = `Particle ${particle}, ${where}: ${facts.map((fact) => fact.join(" ")).join("; ")}.`;
    if (observation) this.#observation(episode, observation, frame);
    else if (episode.left_out.includes("observation")) this.#fact("observation", "left out, there was no room");
  }

  #fact(name, text) {
    const term = document.createElement("dt");
    const value = document.createElement("dd");
    term.textContent = name;
    value.textContent = text;
    value.dataset.name = name;
    this.facts.append(term, value);
  }

  #observation(episode, { from, values, texts }, frame) {
    this.seen.hidden = false;
    this.#arrange(Boolean(episode.layout));
    const when = from === frame ? `decision ${from}` : `decision ${from}, the last one kept`;
    this.seenTitle.textContent = `Observation of ${when}`;
    this.observation.replaceChildren(
      ...texts.map((text) => {
        const item = document.createElement("li");
        item.textContent = text;
        return item;
      }),
    );
    const most = Math.max(1e-12, ...values.filter(Number.isFinite).map(Math.abs));
    const width = 100 / values.length;
    const bar = (v, i) => `M${(i + 0.1) * width} 20V${20 - (19 * v) / most}h${0.8 * width}V20z`;
    const path = values.map((v, i) => (Number.isFinite(v) ? bar(v, i) : "")).join("");
    this.bars.lastElementChild.setAttribute("d", path);
    const said = episode.layout ? this.blocks.show(episode, values) : texts.join(", ");
    this.spoken += ` Observation of ${when}: ${said}.`;
  }

  /** With blocks the bare numbers are folded away; without them they are all there is. */
  #arrange(hasBlocks) {
    if (this.hasBlocks === hasBlocks) return;
    this.hasBlocks = hasBlocks;
    document.getElementById("grouped").hidden = !hasBlocks;
    this.every.firstElementChild.hidden = !hasBlocks;
    this.every.open = !hasBlocks;
  }

  /** Say what is shown: only while nothing moves, and not for every pixel that the pointer goes. */
  say() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (this.live.textContent !== this.spoken) this.live.textContent = this.spoken;
    }, 300);
  }
}
