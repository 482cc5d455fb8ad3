// Trends: the last hour of the gateway's figures, asked for while they are looked at.
import { Chart } from "./charts.js";
import { $ } from "./dom.js";
import { pulse } from "./pulse.js";
import { onLanguage, t } from "./text.js";
import { viewed } from "./views.js";
import { call } from "./wire.js";

const KEPT = 360;
const EVERY = 10000; // ms
let points = [];
let interval = 10;
let timer = 0;

const plain = (value) => String(Math.round(value * 10) / 10);
const lasted = (seconds) => (seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${plain(seconds)} s`);

// Of the points of one minute: what was measured in any of them.
const some = (name, points) => points.map((point) => point[name]).filter((value) => value !== null);
const sum = (values) => values.reduce((all, value) => all + value, 0);
const of = (name, reckon) => (points) => {
  const values = some(name, points);
  return values.length ? reckon(values) : null;
};
const most = (name) => of(name, (values) => Math.max(...values));
const mean = (name) => of(name, (values) => sum(values) / values.length);
const perMinute = (name) => of(name, (values) => sum(values) / values.length * 60 / interval);
const lasting = (kind) => [
  { name: "series.p50", of: mean(`${kind}_p50`) }, { name: "series.p95", of: most(`${kind}_p95`) },
];

const charts = [
  new Chart("chart.lag", [{ name: "series.lag", of: most("lag_ms") }], (ms) => `${plain(ms)} ms`),
  new Chart("chart.turn", lasting("turn"), lasted),
  new Chart("chart.delivery", lasting("delivery"), lasted),
  new Chart("chart.rate", [
    { name: "series.turns", of: perMinute("turns") }, { name: "series.deliveries", of: perMinute("deliveries") },
  ], plain),
  new Chart("chart.wait", [
    { name: "series.inbox", of: most("inbox") }, { name: "series.outbox", of: most("outbox") },
  ], plain),
];

export async function trends() {
  clearTimeout(timer);
  if (viewed() !== "board" || document.hidden) return;
  timer = setTimeout(trends, EVERY);
  try {
    const last = points.length ? points[points.length - 1].n : 0;
    const fresh = await call(`/api/history?since=${last}`);
    interval = fresh.interval;
    // A number that is not higher than ours is another process': its hour begins anew.
    const anew = fresh.points.length && fresh.points[0].n <= last;
    points = [...(anew ? [] : points), ...fresh.points].slice(-KEPT);
    draw();
  } catch (error) {
    if (error.status !== 401) pulse(error.status ? error.message : t("lost"), true);
  }
}

function draw() {
  for (const chart of charts) chart.show(points);
}

$("charts").append(...charts.map((chart) => chart.element));
onLanguage(draw);
