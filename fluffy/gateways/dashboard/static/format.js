// Numbers, sizes and times as people read them.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const number = new Intl.NumberFormat("en");
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export function count(value) { return value === null || value === undefined ? "–" : number.format(value); }

export function several(value, one, many = `${one}s`) { return `${count(value)} ${value === 1 ? one : many}`; }

export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  let value = bytes, unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) { value /= 1024; unit += 1; }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

export function rate(bytes) { return `${size(bytes)}/s`; }

export function span(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 1) return "a moment";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export function time(text) { return text ? moment.format(new Date(text)) : "–"; }

export function ago(text) {
  if (!text) return "–";
  const seconds = (Date.now() - new Date(text).getTime()) / 1000;
  if (seconds < 5) return "just now";
  return seconds < 129600 * 5 ? `${span(seconds)} ago` : time(text);
}

export function percent(part, whole) { return whole > 0 ? Math.round((100 * part) / whole) : 0; }

/** "one", "one and two", "one, two and three". */
export function listed(names) {
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
