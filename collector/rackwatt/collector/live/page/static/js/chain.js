// SPDX-License-Identifier: Apache-2.0
// The chain page: asks /api/chain every other second, draws what it says, and opens feeds and racks.

import { Diagram, partOf } from "./chain_draw.js";
import * as panels from "./chain_panels.js";
import { Texts } from "./chain_text.js";
import { makeLocale } from "./format.js";

const EVERY_MS = 2000;
const SLOWEST_MS = 30000;
const STALE_MS = 45000;
const body = document.body;
const root = document.documentElement;
const at = (id) => document.getElementById(id);

function setState(state) {
  if (body.dataset.state !== state) body.dataset.state = state;
}

/** Writes children anew where they differ; what had the focus keeps it. */
function replace(element, children) {
  const made = document.createElement(element.tagName);
  made.append(...children);
  if (made.innerHTML === element.innerHTML) return;
  const active = element.contains(document.activeElement) ? document.activeElement : null;
  const key = active?.dataset.key;
  const heading = active?.classList.contains("detail-title");
  element.replaceChildren(...made.childNodes);
  if (key) element.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
  else if (heading) element.querySelector(".detail-title")?.focus({ preventScroll: true });
}

/** Nobody answers; anything else that goes wrong is a defect, and is heard of. */
class Lost extends Error {}

async function request(address, headers = {}) {
  let answer;
  try {
    answer = await fetch(address, { headers, cache: "no-store" });
  } catch (error) {
    throw new Lost(error.message);
  }
  if (!answer.ok && answer.status !== 304 && answer.status !== 404) {
    throw new Lost(`${address}: ${answer.status}`);
  }
  return answer;
}

async function read(answer) {
  try {
    return await answer.json();
  } catch (error) {
    throw new Lost(error.message);
  }
}

class Page {
  constructor(texts) {
    this.texts = texts;
    this.data = null;
    this.tag = "";
    this.hall = "";
    this.chosen = decodeURIComponent(location.hash.slice(1));
    this.rack = "";
    const choose = (id) => this.choose(id, true);
    this.power = new Diagram(at("power-diagram"), texts, choose);
    this.cooling = new Diagram(at("cooling-diagram"), texts, choose, { cools: true });
    at("key").append(...panels.key(texts));
  }

  async ask() {
    const headers = this.tag ? { "If-None-Match": this.tag } : {};
    const answer = await request("api/chain", headers);
    if (answer.status === 404) throw new Lost("no chains here");
    if (answer.status !== 304) {
      this.data = await read(answer);
      this.tag = answer.headers.get("ETag") ?? "";
    }
    const now = Date.parse(answer.headers.get("Date") ?? "");
    const { time } = this.data;
    const chains = this.data.power || this.data.cooling;
    setState(!chains ? "live" : time === null ? "starting" : now - time > STALE_MS ? "stale" : "live");
    at("clock").textContent = this.texts.time(time) ?? "–";
    this.show();
    await this.open(false);
  }

  halls() {
    const { power, cooling } = this.data;
    const names = new Set([power, cooling].flatMap((chain) => chain?.banks.map((bank) => bank.hall) ?? []));
    names.delete("");
    return [...names].sort().map((id) => {
      const own = new Set(power?.assets.filter((asset) => asset.hall === id).map((asset) => asset.id));
      const edges = power?.edges.filter((edge) => own.has(edge.target)) ?? [];
      const ratios = edges.map((edge) => edge.failover_ratio ?? edge.ratio).filter((ratio) => ratio !== null && ratio !== undefined);
      const racks = power?.banks.some((bank) => bank.hall === id && bank.at_risk) ?? false;
      const risk = racks || edges.some((edge) => edge.at_risk === true);
      return { id, ratio: ratios.length ? Math.max(...ratios) : null, risk };
    });
  }

  show() {
    const { data, texts } = this;
    const { power, cooling } = data;
    const found = this.halls();
    const many = found.length > 1;
    if (!many) this.hall = "";
    else if (!this.hall) this.hall = (found.find((hall) => hall.risk) ?? found[0]).id;
    at("none").hidden = Boolean(power || cooling);
    for (const id of ["capacity", "detail"]) at(id).hidden = !(power || cooling);
    at("halls").hidden = !many;
    at("power").hidden = !power;
    at("cooling").hidden = !cooling;
    for (const id of ["risks", "levels"]) at(id).hidden = !power;
    const groups = [...data.groups, ...data.pumps];
    at("redundancy").hidden = !groups.length;
    if (!power && !cooling) return;
    replace(at("tiles"), panels.tiles(texts, data));
    if (many) this.showHalls(found);
    const byId = new Map(groups.map((group) => [group.id, group]));
    if (power) this.power.show(partOf(power, this.hall), this.chosen, byId);
    if (cooling) this.cooling.show(partOf(cooling, this.hall), this.chosen, byId);
    this.tell("groups", panels.groupTable(texts, groups, this.groupsHere()));
    if (!power) return;
    this.tell("risk-table", [panels.riskTable(texts, power.risks, (id) => this.choose(id, true))]);
    this.tell("level-table", [panels.levelTable(texts, power.levels)]);
  }

  /** Groups of the hall that is shown, and assets with pumps of their own; null: all. */
  groupsHere() {
    if (!this.hall) return null;
    const chains = [this.data.power, this.data.cooling].filter(Boolean);
    const assets = chains.flatMap((chain) => chain.assets).filter((asset) => !asset.hall || asset.hall === this.hall);
    return new Set(assets.flatMap((asset) => [asset.group, asset.id]));
  }

  tell(id, children) {
    replace(at(id), children);
  }

  showHalls(found) {
    const pick = (id) => {
      this.hall = id;
      this.show();
    };
    replace(at("hall-buttons"), panels.hallButtons(this.texts, found, this.hall, pick));
  }

  /** Opens an asset, a bank or a rack. */
  async choose(id, byHand) {
    this.chosen = id;
    this.rack = "";
    history.replaceState(null, "", `#${encodeURIComponent(id)}`);
    this.goTo(id);
    this.show();
    await this.open(byHand);
  }

  /** Shows the hall in which an asset stands. */
  goTo(id) {
    for (const chain of [this.data.power, this.data.cooling]) {
      const hall = chain?.assets.find((asset) => asset.id === id)?.hall;
      if (hall && this.hall) this.hall = hall;
    }
  }

  async open(byHand) {
    if (!this.chosen || !this.data) return;
    const asked = this.rack || this.chosen;
    let children;
    try {
      children = this.rack ? await this.rackDetail(this.rack) : await this.feedDetail(this.chosen);
    } catch (error) {
      if (error instanceof Lost) return; // the next answer of /api/chain says so
      throw error;
    }
    if (asked !== (this.rack || this.chosen)) return;
    replace(at("detail-body"), children);
    if (byHand) at("detail").querySelector(".detail-title")?.focus();
  }

  async feedDetail(id) {
    const { texts, data } = this;
    const chains = [data.power, data.cooling].filter(Boolean);
    const rack = (name) => {
      this.rack = name;
      this.open(true);
    };
    const bank = chains.flatMap((chain) => chain.banks).find((one) => `bank:${one.id}` === id);
    if (bank) {
      const racks = await this.racksBelow(bank.feeds[0]);
      return panels.feedDetail(texts, { title: bank.id, edges: [], racks }, rack);
    }
    const asset = chains.flatMap((chain) => chain.assets).find((one) => one.id === id);
    if (!asset) return this.smallFeed(id, rack);
    const edges = chains.flatMap((chain) => chain.edges).filter((edge) => edge.target === id);
    const outage = data.maintenance.find((one) => one.asset === id);
    return panels.feedDetail(texts, { ...asset, title: id, outage, edges, racks: await this.racksBelow(id) }, rack);
  }

  /** A rack's own PDU, or the rack itself: not in the diagram. */
  async smallFeed(id, onRack) {
    const edge = this.data.power?.risks.find((one) => one.target === id);
    const racks = await this.racksBelow(id);
    if (!edge && !racks.length) {
      this.rack = id;
      return this.rackDetail(id);
    }
    const about = { title: id, kind: edge?.kind, side: edge?.side, edges: edge ? [edge] : [], racks };
    return panels.feedDetail(this.texts, about, onRack);
  }

  async racksBelow(id) {
    const answer = await request(`api/chain/feed/${encodeURIComponent(id)}`);
    if (answer.status === 404) return [];
    const { racks } = await read(answer);
    return racks.sort((a, b) => a.id.localeCompare(b.id, "en", { numeric: true }));
  }

  async rackDetail(id) {
    const answer = await request(`api/chain/rack/${encodeURIComponent(id)}`);
    if (answer.status === 404) throw new Lost("no such rack");
    const back = this.chosen === id ? "" : this.chosen;
    return panels.rackDetail(this.texts, await read(answer), back, () => {
      this.rack = "";
      this.open(true);
    });
  }
}

/** Asks while the page is seen; slower and slower while nobody answers. */
function poll(page) {
  let timer = 0;
  let wait = EVERY_MS;
  let busy = false;
  const turn = async () => {
    clearTimeout(timer);
    if (document.hidden || busy) return;
    busy = true;
    try {
      await page.ask();
      wait = EVERY_MS;
    } catch (error) {
      if (!(error instanceof Lost)) console.error(error);
      setState("lost");
      wait = Math.min(wait * 2, SLOWEST_MS);
    }
    busy = false;
    timer = setTimeout(turn, wait);
  };
  document.addEventListener("visibilitychange", () => {
    wait = EVERY_MS;
    turn();
  });
  turn();
}

function setUpTheme() {
  const button = at("theme");
  button.hidden = false;
  button.addEventListener("click", () => {
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    root.dataset.theme = (root.dataset.theme || system) === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("rackwatt.theme", root.dataset.theme);
    } catch {
      // Storage may be forbidden; the choice then lasts as long as the page.
    }
  });
}

async function fetchMessages() {
  for (;;) {
    try {
      const answer = await fetch(`static/i18n/${body.dataset.lang}.json`);
      if (answer.ok) return await answer.json();
    } catch {
      // asked again below
    }
    setState("lost");
    await new Promise((resolve) => setTimeout(resolve, 3000));
  }
}

async function main() {
  setUpTheme();
  const messages = await fetchMessages();
  const locale = makeLocale(messages, JSON.parse(body.dataset.zone || "[]"));
  poll(new Page(new Texts(messages, locale)));
}

main();
