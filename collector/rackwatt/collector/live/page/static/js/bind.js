// SPDX-License-Identifier: Apache-2.0
// Puts a frame into the elements that bindings.py has marked. What a mark means stands there.

import { UNKNOWN, explain, write } from "./format.js";

const plans = new WeakMap();

function resolve(scope, path) {
  return path.split(".").reduce((value, key) => value?.[key], scope) ?? null;
}

function isEmpty(value) {
  if (value === null || value === false || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** Everything bound in `root` to the same scope: what lies inside a list belongs to its rows. */
function planOf(root) {
  const known = plans.get(root);
  if (known) return known;
  const plan = { texts: [], messages: [], attributes: [], conditions: [], lists: [] };
  const visit = (element) => {
    const data = element.dataset;
    if (data.bind) plan.texts.push(element);
    if (data.message) plan.messages.push(element);
    if (data.attrs) plan.attributes.push(element);
    if (data.if) plan.conditions.push(element);
    if (data.each) plan.lists.push(element);
    else for (const child of element.children) visit(child);
  };
  visit(root);
  plans.set(root, plan);
  return plan;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setAttribute(element, name, value) {
  if (value === null || value === "") element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
}

function bindText(element, scope, context) {
  const { bind, format, part = "", why } = element.dataset;
  let text = write(resolve(scope, bind), format, context.locale, part);
  let reason = null;
  if (text === null) {
    text = part === "unit" ? "" : UNKNOWN;
    if (part !== "unit") {
      reason = explain(why ? resolve(scope, why) : null, context.locale.messages);
    }
  }
  setText(element, text);
  setAttribute(element, "data-unknown", reason && "yes");
  setAttribute(element, "title", reason);
  setAttribute(element, "aria-label", reason);
  setAttribute(element, "role", reason && "img");
}

function bindMessage(element, scope, context) {
  let text = context.locale.messages[element.dataset.message];
  for (const argument of (element.dataset.args ?? "").split(";").filter(Boolean)) {
    const [name, figure] = argument.split("=");
    const [path, kind] = figure.split("|");
    const written = write(resolve(scope, path), kind, context.locale) ?? UNKNOWN;
    text = text.replace(`{${name}}`, () => (context.isolate ? `\u2068${written}\u2069` : written));
  }
  setText(element, text);
}

function bindAttributes(element, scope) {
  for (const pair of element.dataset.attrs.split(";")) {
    const [name, path] = pair.split("=");
    setAttribute(element, name, resolve(scope, path));
  }
}

function bindCondition(element, scope) {
  const path = element.dataset.if;
  const negated = path.startsWith("!");
  element.hidden = isEmpty(resolve(scope, negated ? path.slice(1) : path)) !== negated;
}

/** One row per item, found again by its key, so that only what changed is touched. */
function bindList(list, scope, context) {
  const items = resolve(scope, list.dataset.each) ?? [];
  const template = list.querySelector(":scope > template");
  const rows = [...list.children].filter((child) => child !== template);
  const byKey = new Map(rows.map((row) => [row.dataset.row, row]));
  let place = rows[0] ?? template;
  items.forEach((item, index) => {
    const key = String(list.dataset.key === "#" ? index : (item[list.dataset.key] ?? ""));
    let row = byKey.get(key);
    byKey.delete(key);
    if (!row) {
      row = template.content.firstElementChild.cloneNode(true);
      row.dataset.row = key;
    }
    if (row === place) place = place.nextElementSibling;
    else list.insertBefore(row, place);
    apply(row, item, context);
  });
  for (const row of byKey.values()) row.remove();
}

/**
 * Shows `scope` in `root`.
 * @param {Element} root the page's body, or one row of a list
 * @param {object} scope the frame, or the row's item
 * @param {{locale: object, isolate: boolean}} context language and direction
 */
export function apply(root, scope, context) {
  const plan = planOf(root);
  for (const element of plan.texts) bindText(element, scope, context);
  for (const element of plan.messages) bindMessage(element, scope, context);
  for (const element of plan.attributes) bindAttributes(element, scope);
  for (const element of plan.conditions) bindCondition(element, scope);
  for (const list of plan.lists) bindList(list, scope, context);
}
