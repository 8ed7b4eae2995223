// What is drawn on request: the forces of contacts, and the ways of the last decisions.

const TRAIL = 20;

/** A line from centre to centre, or to a wall, as wide as its force is of the largest one. */
function drawForces(scene, frame) {
  const { episode, context } = scene;
  const { contact } = episode;
  const kept = contact.before(frame);
  const most = contact.low[2] + contact.step[2] * (contact.missing - 1) || 1;
  context.strokeStyle = scene.colours.force;
  context.lineCap = "round";
  for (let k = 0; k < contact.particles; k++) {
    const force = contact.get(kept, k, 2);
    if (!Number.isFinite(force)) continue;
    const one = Math.round(contact.get(kept, k, 0));
    const other = Math.round(contact.get(kept, k, 1));
    const end = other < 0 ? footOnWall(episode, one, -1 - other) : besides(episode, one, other);
    context.lineWidth = 1 + (7 * force) / most;
    context.beginPath();
    context.moveTo(...scene.toScreen(episode.x[one], episode.y[one]));
    context.lineTo(...scene.toScreen(...end));
    context.stroke();
  }
  context.lineCap = "butt";
}

/** Where a particle is, seen from another one: through a periodic side if that is nearer. */
function besides(episode, one, other) {
  return [
    episode.x[one] + episode.across(episode.x[other] - episode.x[one], 0),
    episode.y[one] + episode.across(episode.y[other] - episode.y[one], 1),
  ];
}

/** The nearest point of a side; of one that is seen from above, floor or lid, the particle itself. */
function footOnWall(episode, one, side) {
  const foot = [episode.x[one], episode.y[one]];
  const axis = Math.floor(side / 2);
  if (axis < 2) foot[axis] = (side % 2 ? episode.box.high : episode.box.low)[axis];
  return foot;
}

/** The way of every particle that moves, through the last decisions. */
function drawTrails(scene, time) {
  const { episode, context } = scene;
  const { position } = episode;
  const now = position.before(Math.floor(time));
  let first = now;
  while (first > 0 && position.frameOf(first) > time - TRAIL) first--;
  context.beginPath();
  for (let i = 0; i < episode.count; i++) {
    if (episode.fixed.has(i)) continue;
    let [x, y] = [episode.x[i], episode.y[i]];
    context.moveTo(...scene.toScreen(x, y));
    // From now to then: a way through a periodic side leaves the box, and is cut there.
    for (let kept = now; kept >= first; kept--) {
      const [dx, dy] = [0, 1].map((axis) => position.get(kept, i, axis) - [x, y][axis]);
      const next = [x + dx, y + dy];
      const jumps = dx !== episode.across(dx, 0) || dy !== episode.across(dy, 1);
      if (jumps) context.moveTo(...scene.toScreen(...next));
      else context.lineTo(...scene.toScreen(...next));
      [x, y] = next;
    }
  }
  context.strokeStyle = scene.colours.trail;
  context.lineWidth = 1.5;
  context.stroke();
}
