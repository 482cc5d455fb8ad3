// Times: moments and spans as people read them.
import { locale } from "./text.js";

export function clock(at) {
  const when = new Date(at);
  const today = when.toDateString() === new Date().toDateString();
  const time = when.toLocaleTimeString(locale(), { hour: "2-digit", minute: "2-digit", hour12: false });
  return today ? time : `${when.toLocaleDateString(locale())} ${time}`;
}

export function exactly(at) {
  return new Date(at).toLocaleTimeString(locale(), { hour12: false });
}

const UNITS = { en: [" s", " min", " h", " d"], "zh-CN": [" 秒", " 分钟", " 小时", " 天"] };

export function span(seconds) {
  const [second, minute, hour, day] = UNITS[locale()];
  if (seconds < 90) return `${Math.round(seconds)}${second}`;
  if (seconds < 5400) return `${Math.round(seconds / 60)}${minute}`;
  return seconds < 129600 ? `${Math.round(seconds / 3600)}${hour}` : `${Math.round(seconds / 86400)}${day}`;
}
