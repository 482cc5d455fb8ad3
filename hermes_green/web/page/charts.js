// Charts: lines over time, drawn as SVG by a few lines of our own.
import { make } from "./dom.js";
import { t } from "./text.js";
import { clock } from "./times.js";

const NS = "http://www.w3.org/2000/svg";
const HEIGHT = 150;
const EDGE = { top: 8, right: 8, bottom: 20, left: 44 };

function shape(name, attributes, text = "") {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

// One chart: `title` names its sentence, `series` are [{name, of: (point) => number | null}], `say` writes a value.
export class Chart {
  constructor(title, series, say) {
    Object.assign(this, { title, series, say, points: [], interval: 10 });
    this.svg = shape("svg", { role: "img" });
    this.heading = make("figcaption", { class: "head" });
    this.legend = make("p", { class: "legend" });
    this.element = make("figure", {}, this.heading, this.svg, this.legend);
    this.svg.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.svg.addEventListener("pointerleave", () => this.point(null));
    new ResizeObserver(() => this.draw(this.points, this.interval)).observe(this.element);
  }

  draw(points, interval) {
    Object.assign(this, { points, interval });
    this.heading.textContent = t(this.title);
    const width = this.element.clientWidth;
    if (!width) return;
    const last = points.length ? points[points.length - 1].at : Date.now() / 1000;
    const scale = new Scale(width, last - 3600, last, nice(this.most()));
    this.scale = scale;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.setAttribute("height", HEIGHT);
    this.rule = shape("line", { class: "rule", y1: EDGE.top, y2: HEIGHT - EDGE.bottom, visibility: "hidden" });
    this.svg.replaceChildren(...this.grid(scale), ...this.series.map((each, number) => shape("path", {
      class: `series-${number}`, d: path(points, each.of, scale, 3 * interval),
    })), this.rule);
    const all = this.series.map((each) => this.summary(each)).join("; ");
    this.svg.setAttribute("aria-label", t("chart.told", { title: t(this.title), all: points.length ? all : t("chart.none") }));
    this.point(null);
  }

  most() {
    return Math.max(0, ...this.series.flatMap((each) => this.points.map(each.of)).filter((value) => value !== null));
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

  summary(each) {
    const values = this.points.map(each.of).filter((value) => value !== null);
    if (!values.length) return `${t(each.name)} —`;
    const facts = { name: t(each.name), now: this.say(values[values.length - 1]), most: this.say(Math.max(...values)) };
    return t("chart.now", facts);
  }

  // The values under the pointer; without one, the last of each.
  point(x) {
    const found = x === null || !this.points.length ? null : this.nearest(this.scale.at(x));
    this.rule.setAttribute("visibility", found ? "visible" : "hidden");
    if (found) {
      this.rule.setAttribute("x1", this.scale.x(found.at));
      this.rule.setAttribute("x2", this.scale.x(found.at));
    }
    if (!this.points.length) return this.legend.replaceChildren(t("chart.none"));
    const entries = this.series.map((each, number) => {
      const value = found ? each.of(found) : null;
      const text = found ? `${t(each.name)} ${value === null ? "—" : this.say(value)}` : this.summary(each);
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

// A line from point to point; broken where nothing was measured for longer than `gap` seconds.
function path(points, of, scale, gap) {
  let said = "";
  let before = null;
  for (const point of points) {
    const value = of(point);
    if (value === null || point.at < scale.from) continue;
    const place = `${scale.x(point.at).toFixed(1)} ${scale.y(value).toFixed(1)}`;
    // A lone point is a line of no length, which round ends make a dot.
    said += before !== null && point.at - before <= gap ? `L${place}` : `M${place}h0`;
    before = point.at;
  }
  return said;
}

// The next of 1, 2, 5, 10, 20 … above `most`.
function nice(most) {
  if (most <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return power * [1, 2, 5, 10].find((step) => step * power >= most);
}
