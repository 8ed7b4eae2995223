// An observation by what its numbers are: vectors as arrows, lidars as sectors, the others by their names.

/** The blocks of a layout, [name, kind, size] each, with where they begin, their numbers and these in words. */
function blocksOf(layout, values) {
  let end = 0;
  return layout.map(([name, kind, size]) => {
    const start = end;
    end += size;
    const own = values.slice(start, end);
    return { name, kind, start, values: own, text: blockText(kind, own) };
  });
}

/** Three digits of each number: all of them are in the list of all numbers. */
function blockText(kind, values) {
  const written = values.map((value) => (Number.isFinite(value) ? value.toPrecision(3) : "not a number"));
  if (kind === "vector" || kind === "axial") return `(${written.join(", ")})`;
  if (kind !== "lidar") return written.join(", ");
  const highest = values.reduce((best, reading, i) => (reading > (values[best] ?? 0) ? i : best), -1);
  if (highest < 0) return values.every((reading) => reading === 0) ? "0 in every sector" : "nothing above 0";
  const angle = Math.round((360 * (highest + 0.5)) / values.length - 180);
  return `highest ${written[highest]} at ${angle}\u00b0`;
}

/** The largest size that each of a block's numbers has in the whole episode. */
function mostOf(numbers, start, size) {
  return Array.from({ length: size }, (_, i) => {
    const low = numbers.low[start + i];
    return Math.max(Math.abs(low), Math.abs(low + numbers.step[start + i] * (numbers.missing - 1)));
  });
}

/** An arrow from the centre of a circle of radius 1, as long as the vector is of the longest one. */
function arrowPath([x, y], most) {
  const [px, py] = [x / most, -y / most];
  const length = Math.hypot(px, py);
  if (!Number.isFinite(length)) return "";
  if (length < 0.02) return "M0 0h0";
  const barb = Math.min(0.3, length) / length;
  const at = (turn) => {
    const [cos, sin] = [Math.cos(turn) * barb, Math.sin(turn) * barb];
    return `${rounded(px - cos * px + sin * py)} ${rounded(py - sin * px - cos * py)}`;
  };
  const tip = `${rounded(px)} ${rounded(py)}`;
  return `M0 0L${tip}M${at(0.5)}L${tip}L${at(-0.5)}`;
}

/** Sectors of [-pi, pi) of a circle of radius 1, filled from its edge inwards by how large their readings are. */
function sectorsPath(readings, most) {
  const step = (2 * Math.PI) / readings.length;
  const pieces = Math.ceil(step / 0.2);
  const point = (radius, angle) => `${rounded(radius * Math.cos(angle))} ${rounded(-radius * Math.sin(angle))}`;
  const sector = (reading, i) => {
    const inner = 1 - Math.min(1, reading / most);
    const angles = Array.from({ length: pieces + 1 }, (_, k) => -Math.PI + step * (i + k / pieces));
    const edge = [...angles.map((angle) => point(1, angle)), ...angles.reverse().map((angle) => point(inner, angle))];
    return `M${edge.join("L")}z`;
  };
  return readings.map((reading, i) => (reading > 0 ? sector(reading, i) : "")).join("");
}

function rounded(number) {
  return Math.round(1000 * number) / 1000;
}

/** Shows blocks; what does not change over an episode is made once. */
class Blocks {
  constructor(list, note) {
    this.list = list;
    this.note = note;
  }

  /** Show an observation, and return what is said of it. */
  show(episode, values) {
    const blocks = blocksOf(episode.layout, values);
    if (this.episode !== episode) {
      this.episode = episode;
      this.rows = blocks.map((block) => this.#row(block, mostOf(episode.observation, block.start, block.values.length)));
      this.list.replaceChildren(...this.rows.map((row) => row.item));
      this.note.hidden = !blocks.some((block) => block.kind === "lidar");
    }
    blocks.forEach((block, i) => {
      this.rows[i].text.textContent = block.text;
      this.rows[i].draw?.(block.values);
    });
    return blocks.map((block) => `${block.name} ${block.text}`).join("; ");
  }

  #row({ name, kind }, most) {
    const item = document.createElement("div");
    const term = document.createElement("dt");
    const value = document.createElement("dd");
    const text = document.createElement("span");
    item.className = `block ${kind}`;
    term.textContent = name;
    item.dataset.name = name;
    item.append(term, value);
    const row = { item, text };
    if (kind === "vector" || kind === "axial") row.draw = this.#picture(value, arrowPath, Math.hypot(...most) || 1);
    if (kind === "lidar") row.draw = this.#picture(value, sectorsPath, Math.max(1, ...most));
    value.append(text);
    return row;
  }

  #picture(place, path, most) {
    const { namespaceURI } = document.getElementById("bars");
    const make = (name) => document.createElementNS(namespaceURI, name);
    const [picture, circle, drawn] = [make("svg"), make("circle"), make("path")];
    picture.setAttribute("viewBox", "-1.1 -1.1 2.2 2.2");
    picture.setAttribute("aria-hidden", "true");
    circle.setAttribute("r", "1");
    picture.append(circle, drawn);
    place.append(picture);
    return (values) => drawn.setAttribute("d", path(values, most));
  }
}
