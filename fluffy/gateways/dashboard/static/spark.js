// A small line of the last values.
import { s } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 56;

/** `update(values)` draws them from left to right, newest last; `label` says it to those who do not see. */
export function spark(label, length = 90) {
  const area = s("path", { class: "spark-area" });
  const line = s("path", { class: "spark-line" });
  const node = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "spark", role: "img", "aria-label": label }, area, line);
  return { node, update(values) {
    const most = Math.max(1, ...values);
    const step = WIDTH / (length - 1);
    const first = WIDTH - (values.length - 1) * step;
    const points = values.map((value, index) =>
      `${(first + index * step).toFixed(1)} ${(HEIGHT - 4 - (value / most) * (HEIGHT - 12)).toFixed(1)}`);
    if (points.length < 2) return;
    line.setAttribute("d", `M${points.join("L")}`);
    area.setAttribute("d", `M${points.join("L")}L${WIDTH} ${HEIGHT}L${first.toFixed(1)} ${HEIGHT}Z`);
  } };
}
