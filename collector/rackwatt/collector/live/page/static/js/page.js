// SPDX-License-Identifier: Apache-2.0
// The living page: follows /events and writes each frame into the marked elements.

import { apply } from "./bind.js";
import { makeLocale } from "./format.js";
import { follow } from "./stream.js";
import { derive } from "./view.js";

const root = document.documentElement;
const body = document.body;
const RETRY_MS = 3000;

async function fetchJson(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: ${response.status}`);
  return response.json();
}

function setState(state) {
  // Only a change is written: screen readers announce what is written.
  if (body.dataset.state !== state) body.dataset.state = state;
}

function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Storage may be forbidden; the choice then lasts as long as the page.
  }
}

function isDark() {
  if (root.dataset.theme) return root.dataset.theme === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function setUpTheme(onChange) {
  const button = document.getElementById("theme");
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
  if (!button) return;
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember("rackwatt.theme", root.dataset.theme);
    onChange();
  });
}

async function setUpCharts(messages, offsets) {
  if (body.dataset.page !== "operators" || !window.echarts) return null;
  const { Charts } = await import("./charts.js");
  return new Charts(makeLocale(messages, offsets), root.dir === "rtl");
}

/** The texts; without them nothing can be written, so a server that is away is asked again. */
async function fetchMessages() {
  for (;;) {
    try {
      return await fetchJson(`static/i18n/${body.dataset.lang}.json`);
    } catch {
      setState("lost");
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

async function main() {
  const messages = await fetchMessages();
  const isolate = root.dir === "rtl";
  const offsets = JSON.parse(body.dataset.zone || "[]");
  const charts = await setUpCharts(messages, offsets);
  setUpTheme(() => charts?.restyle());

  const loadHistory = async () => {
    if (charts) charts.load(await fetchJson("api/history").catch(() => ({})));
  };
  const show = (frame) => {
    const locale = makeLocale(messages, offsets, frame.time ?? null);
    apply(body, { ...frame, view: derive(frame) }, { locale, isolate });
    setState(frame.state ?? "starting");
    charts?.append(frame, locale);
  };

  loadHistory();
  follow("events?changes", { onFrame: show, onLost: () => setState("lost"), onReturn: loadHistory });
}

main();
