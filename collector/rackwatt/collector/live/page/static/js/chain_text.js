// SPDX-License-Identifier: Apache-2.0
// Elements and texts of the chain page: numbers stand left to right in every language.

import { UNKNOWN, write, writtenNumber } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";

function make(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== "") element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** An HTML element with attributes and children; a child that is null is left out. */
export function el(name, attributes = {}, ...children) {
  return make(document.createElement(name), attributes, children);
}

/** The same of SVG. */
export function svg(name, attributes = {}, ...children) {
  return make(document.createElementNS(SVG, name), attributes, children);
}

/** A figure: left to right, digits of one width; what is unknown says so. */
export function num(text) {
  if (text === null || text === undefined) return el("span", { class: "num", "data-unknown": "yes" }, UNKNOWN);
  return el("span", { class: "num" }, text);
}

/** Names of assets are Latin, whatever the language. */
export function name(text) {
  return el("bdi", { dir: "ltr", class: "name" }, text);
}

/** How the page says things, in one language. */
export class Texts {
  constructor(messages, locale) {
    this.messages = messages;
    this.locale = locale;
  }

  t(key) {
    return this.messages[key] ?? key;
  }

  /** A text with its figures put in, as a string. */
  message(key, values) {
    return this.t(key).replace(/\{(\w+)\}/g, (_, place) => values[place] ?? UNKNOWN);
  }

  /** The same as nodes: each figure keeps its direction. */
  parts(key, values) {
    return this.t(key)
      .split(/(\{\w+\})/)
      .filter(Boolean)
      .map((part) => (part.startsWith("{") ? values[part.slice(1, -1)] : part));
  }

  kind(code) {
    return this.t(`kind.${code}`);
  }

  power(watts) {
    return write(watts, "power", this.locale);
  }

  percent(ratio) {
    return write(ratio, "percent_whole", this.locale);
  }

  count(value) {
    return write(value, "count", this.locale);
  }

  time(ms) {
    return write(ms, "time", this.locale);
  }

  /** A time, with its date on another day. */
  moment(ms) {
    return write(ms, "moment", this.locale);
  }

  /** Amperes: a decimal below 100. */
  current(amperes) {
    if (amperes === null || amperes === undefined) return null;
    return this.quantity(amperes, Math.abs(amperes) < 100 ? 1 : 0, "units.current");
  }

  /** Seconds; minutes and hours where seconds would say too much. */
  duration(seconds) {
    if (seconds === null || seconds === undefined) return null;
    if (seconds < 120) return this.quantity(seconds, seconds < 10 ? 1 : 0, "units.seconds");
    if (seconds < 7200) return this.quantity(seconds / 60, seconds < 600 ? 1 : 0, "units.minutes");
    return this.quantity(seconds / 3600, 1, "units.hours");
  }

  quantity(value, decimals, unit) {
    const number = writtenNumber(value, decimals, this.locale);
    return number + this.messages["number.space"] + this.t(unit);
  }
}

/** How a ratio looks: `none` is unknown, `high` from 80 %, `over` from 100 %. */
export function heat(ratio) {
  if (ratio === null || ratio === undefined) return "none";
  if (ratio > 1) return "over";
  return ratio > 0.8 ? "high" : "low";
}
