// Charts: lines over time, drawn as SVG by a few lines of our own.
import { make } from "./dom.js";
import { t } from "./text.js";
import { clock } from "./times.js";

const NS = "http://www.w3.org/2000/svg";
const HEIGHT = 150;
const EDGE = { top: 8, right: 8, bottom: 20, left: 52 };

function shape(name, attributes, text = "") {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

const EACH = 60; // seconds that one drawn point stands for: no screen shows more of an hour

// One chart: `title` names its sentence; `series` are [{name, of: (points) => number | null}], of the points of one
// minute; `say` writes a value. The first series is a line, the second an area behind it.
export class Chart {
  constructor(title, series, say) {
    Object.assign(this, { title, series, say, points: [], pointed: null });
    this.svg = shape("svg", { role: "img" });
    this.heading = make("figcaption", { class: "head" });
    this.legend = make("p", { class: "legend" });
    this.element = make("figure", {}, this.heading, this.svg, this.legend);
    this.svg.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.svg.addEventListener("pointerleave", () => this.point(null));
    new ResizeObserver(() => this.draw(this.points)).observe(this.element);
  }

  // The gateway's points of the last hour.
  show(points) {
    this.draw(minutes(points, this.series));
  }

  draw(points) {
    this.points = points;
    this.heading.textContent = t(this.title);
    const width = Math.floor(this.svg.getBoundingClientRect().width);
    if (!width) return;
    const last = points.length ? points[points.length - 1].at : Date.now() / 1000;
    const scale = new Scale(width, last - 3600, last, nice(this.most()));
    this.scale = scale;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.setAttribute("height", HEIGHT);
    this.rule = shape("line", { class: "rule", y1: EDGE.top, y2: HEIGHT - EDGE.bottom, visibility: "hidden" });
    const lines = this.series.map((each, number) => this.line(number, scale)).reverse();
    this.svg.replaceChildren(...this.grid(scale), ...lines.flat(), this.rule);
    const all = this.series.map((each, number) => this.summary(number)).join("; ");
    const told = { title: t(this.title), all: points.length ? all : t("chart.none") };
    this.svg.setAttribute("aria-label", t("chart.told", told));
    this.point(this.pointed);
  }

  most() {
    return Math.max(0, ...this.points.flatMap((point) => point.values).filter((value) => value !== null));
  }

  line(number, scale) {
    const runs = runsOf(this.points, number, scale);
    // A lone point is a line of no length, which round ends make a dot.
    const line = runs.map((run) => `M${run.join("L")}${run.length === 1 ? "h0" : ""}`).join("");
    const drawn = [shape("path", { class: `series-${number}`, d: line })];
    if (number) {
      const foot = scale.y(0);
      const below = (place) => `${place.split(" ")[0]} ${foot}`;
      const area = runs.map((run) => `M${below(run[0])}L${run.join("L")}L${below(run.at(-1))}Z`).join("");
      drawn.unshift(shape("path", { class: "area", d: area }));
    }
    return drawn;
  }

  grid(scale) {
    const marks = [];
    for (const part of [0, 0.5, 1]) {
      const y = scale.y(part * scale.top);
      marks.push(shape("line", { class: "grid", x1: EDGE.left, x2: scale.width - EDGE.right, y1: y, y2: y }));
      marks.push(shape("text", { x: EDGE.left - 6, y: y + 4, "text-anchor": "end" }, this.say(part * scale.top)));
    }
    for (const part of [0, 1 / 3, 2 / 3, 1]) {
      const at = scale.from + part * (scale.to - scale.from);
      const anchor = part === 0 ? "start" : part === 1 ? "end" : "middle";
      marks.push(shape("text", { x: scale.x(at), y: HEIGHT - 4, "text-anchor": anchor }, clock(at * 1000)));
    }
    return marks;
  }

  summary(number) {
    const name = t(this.series[number].name);
    const values = this.points.map((point) => point.values[number]).filter((value) => value !== null);
    if (!values.length) return `${name} —`;
    return t("chart.now", { name, now: this.say(values.at(-1)), most: this.say(Math.max(...values)) });
  }

  // The values under the pointer, which may rest while the chart is drawn anew; without one, the last of each.
  point(x) {
    this.pointed = x;
    const found = x === null || !this.points.length ? null : this.nearest(this.scale.at(x));
    this.rule.setAttribute("visibility", found ? "visible" : "hidden");
    if (found) {
      this.rule.setAttribute("x1", this.scale.x(found.at));
      this.rule.setAttribute("x2", this.scale.x(found.at));
    }
    if (!this.points.length) return this.legend.replaceChildren(t("chart.none"));
    const entries = this.series.map((each, number) => {
      const value = found ? found.values[number] : null;
      const text = found ? `${t(each.name)} ${value === null ? "—" : this.say(value)}` : this.summary(number);
      return make("span", { class: `series-${number}` }, text);
    });
    this.legend.replaceChildren(...(found ? [make("span", {}, clock(found.at * 1000))] : []), ...entries);
  }

  nearest(at) {
    return this.points.reduce((best, each) => (Math.abs(each.at - at) < Math.abs(best.at - at) ? each : best));
  }
}

class Scale {
  constructor(width, from, to, top) {
    Object.assign(this, { width, from, to, top });
  }

  x(at) {
    return EDGE.left + (at - this.from) / (this.to - this.from) * (this.width - EDGE.left - EDGE.right);
  }

  y(value) {
    return HEIGHT - EDGE.bottom - value / this.top * (HEIGHT - EDGE.top - EDGE.bottom);
  }

  at(x) {
    return this.from + (x - EDGE.left) / (this.width - EDGE.left - EDGE.right) * (this.to - this.from);
  }
}

// The places that are drawn in one go; a run ends where nothing was measured for longer than a minute.
function runsOf(points, number, scale) {
  const runs = [];
  let before = null;
  for (const point of points) {
    const value = point.values[number];
    if (value === null || point.at < scale.from) continue;
    if (before === null || point.at - before > 2 * EACH) runs.push([]);
    runs.at(-1).push(`${scale.x(point.at).toFixed(1)} ${scale.y(value).toFixed(1)}`);
    before = point.at;
  }
  return runs;
}

// The minutes of an hour's points: [{at, values}], a value for each of the series.
function minutes(points, series) {
  const found = new Map();
  for (const point of points) {
    const minute = Math.floor(point.at / EACH);
    if (!found.has(minute)) found.set(minute, []);
    found.get(minute).push(point);
  }
  return [...found.values()].map((some) => ({ at: some.at(-1).at, values: series.map((each) => each.of(some)) }));
}

// The next of 1, 2, 5, 10, 20 … above `most`.
function nice(most) {
  if (most <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return power * [1, 2, 5, 10].find((step) => step * power >= most);
}
