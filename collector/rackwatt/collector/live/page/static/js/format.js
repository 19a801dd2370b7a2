// SPDX-License-Identifier: Apache-2.0
// How the page writes a value: the JavaScript half of the specification in formats.py.
// Both halves run through tests/collector/test_page_vectors.json; change them together.

export const UNKNOWN = "–";
const MINUS = "\u2212";

/**
 * What formatting needs besides the value.
 * @param {object} messages the catalogue
 * @param {Array<[number, number]>} offsets of the site's zone from UTC: since when (ms), seconds
 * @param {number|null} nowMs instant of the frame
 */
export function makeLocale(messages, offsets, nowMs = null) {
  return { messages, offsets: offsets.length ? offsets : [[0, 0]], nowMs };
}

/** Fixed decimals, halves away from zero; never "-0". */
function fixed(value, decimals) {
  const text = Math.abs(value).toFixed(decimals);
  return value < 0 && Number(text) !== 0 ? `-${text}` : text;
}

export function writtenNumber(value, decimals, locale) {
  let text = fixed(value, decimals);
  const sign = text.startsWith("-") ? MINUS : "";
  text = text.replace("-", "");
  let [whole, fraction = ""] = text.split(".");
  if (whole.length > 3) {
    whole = whole.replace(/\B(?=(\d{3})+$)/g, locale.messages["number.group"]);
  }
  const point = fraction ? locale.messages["number.decimal"] : "";
  return sign + whole + point + fraction;
}

function decimalsFor(size, wholeUnits) {
  if (size < 10) return 2;
  return size < 100 || !wholeUnits ? 1 : 0;
}

function scaled(value, locale, units, whole) {
  const names = locale.messages[units].split(" ");
  if (value === 0) return ["0", names[0]];
  let index = 0;
  let size = Math.abs(value);
  while (index < names.length - 1) {
    const decimals = decimalsFor(size, whole || index === 0);
    if (Number(fixed(size, decimals)) < 1000) break;
    index += 1;
    size = Math.abs(value) / 1000 ** index;
  }
  const decimals = decimalsFor(size, whole || index === 0);
  return [writtenNumber(value < 0 ? -size : size, decimals, locale), names[index]];
}

function local(value, locale) {
  let offset = locale.offsets[0][1];
  for (const [start, seconds] of locale.offsets) if (start <= value) offset = seconds;
  const text = new Date((Math.floor(value / 1000) + offset) * 1000).toISOString();
  return { date: text.slice(0, 10), time: text.slice(11, 19) };
}

const FORMATS = {
  power: (value, locale) => scaled(value, locale, "units.power", false),
  energy: (value, locale) => scaled(value, locale, "units.energy", false),
  bytes: (value, locale) => scaled(value, locale, "units.bytes", true),
  pue: (value, locale) => [writtenNumber(value, 3, locale), ""],
  count: (value, locale) => [writtenNumber(value, 0, locale), ""],
  percent: (value, locale) => [writtenNumber(value * 100, 1, locale), "%"],
  percent_whole: (value, locale) => [writtenNumber(value * 100, 0, locale), "%"],
  percent_signed: (value, locale) => {
    const plus = value > 0 && Number(fixed(value * 100, 2)) > 0 ? "+" : "";
    return [plus + writtenNumber(value * 100, 2, locale), "%"];
  },
  intensity: (value, locale) => [
    writtenNumber(value, Math.abs(value) >= 100 ? 0 : 1, locale),
    locale.messages["units.intensity"],
  ],
  temperature: (value, locale) => [
    writtenNumber(value, 1, locale),
    locale.messages["units.temperature"],
  ],
  flow: (value, locale) => [writtenNumber(value, 1, locale), locale.messages["units.flow"]],
  seconds: (value, locale) => [writtenNumber(value, 1, locale), locale.messages["units.seconds"]],
  time: (value, locale) => [local(value, locale).time, ""],
  moment: (value, locale) => {
    const { date, time } = local(value, locale);
    const today = locale.nowMs !== null && local(locale.nowMs, locale).date === date;
    return [today ? time : `${date} ${time}`, ""];
  },
};

/** Says in words why a figure is unknown. */
export function explain(code, messages) {
  const text = String(code || "unknown");
  if (text.startsWith("missing:")) {
    const meters = text.slice("missing:".length).replaceAll(",", ", ");
    return messages["why.missing"].replace("{meters}", meters);
  }
  return messages[`why.${text}`] ?? text;
}

/** Writes one value of a frame; null when it is unknown. */
export function write(value, kind, locale, part = "") {
  if (value === null || value === undefined || value === "") return null;
  if (kind === "text") return String(value);
  if (kind === "why") return explain(value, locale.messages);
  if (kind.startsWith("enum:")) {
    return locale.messages[`${kind.slice(5)}.${value}`] ?? String(value);
  }
  if (typeof value !== "number" || !Number.isFinite(value)) return null;
  const [number, unitName] = FORMATS[kind](value, locale);
  if (part === "number") return number;
  const space = unitName === "%" ? "number.percent_space" : "number.space";
  const unit = unitName && locale.messages[space] + unitName;
  return part === "unit" ? unit : number + unit;
}
