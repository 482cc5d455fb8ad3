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
const charts = [
  new Chart("chart.lag", [{ name: "series.lag", of: (p) => p.lag_ms }], (ms) => `${plain(ms)} ms`),
  new Chart("chart.turn", [
    { name: "series.p50", of: (p) => p.turn_p50 }, { name: "series.p95", of: (p) => p.turn_p95 },
  ], lasted),
  new Chart("chart.delivery", [
    { name: "series.p50", of: (p) => p.delivery_p50 }, { name: "series.p95", of: (p) => p.delivery_p95 },
  ], lasted),
  new Chart("chart.rate", [
    { name: "series.turns", of: (p) => p.turns * 60 / interval },
    { name: "series.deliveries", of: (p) => p.deliveries * 60 / interval },
  ], plain),
  new Chart("chart.wait", [
    { name: "series.inbox", of: (p) => p.inbox }, { name: "series.outbox", of: (p) => p.outbox },
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
  for (const chart of charts) chart.draw(points, interval);
}

$("charts").append(...charts.map((chart) => chart.element));
onLanguage(draw);
