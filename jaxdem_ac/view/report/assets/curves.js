// The point of a curve that is nearest to the pointer, in words. The same numbers are in the table.

function followPointer(figure) {
  const plot = figure.querySelector("svg");
  const says = figure.querySelector(".reading");
  const cursor = figure.querySelector(".cursor");
  const points = JSON.parse(figure.dataset.points);
  const still = says.textContent;
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const scale = plot.viewBox.baseVal.width / box.width;
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    // Along a curve first; of several curves the nearest one.
    const distance = (point) => 8 * Math.abs(point[0] - x) + Math.abs(point[1] - y);
    const nearest = points.reduce((best, point) => (distance(point) < distance(best) ? point : best));
    cursor.setAttribute("transform", `translate(${nearest[0]} ${nearest[1]})`);
    cursor.removeAttribute("visibility");
    says.textContent = `${nearest[3]} at ${nearest[2]} agent-steps`;
  });
  plot.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    says.textContent = still;
  });
}
