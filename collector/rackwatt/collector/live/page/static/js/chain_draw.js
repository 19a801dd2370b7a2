// SPDX-License-Identifier: Apache-2.0
// The one-line diagram: drawn once for a chain and a width, then only its figures change, so that
// the focus stays where it is.

import { heat, svg } from "./chain_text.js";
import { layOut } from "./chain_layout.js";

const FULL = 1.25;
const PAD = 8;

/** A diagram in an element; `onPick(id)` when an asset or a bank is chosen. */
export class Diagram {
  constructor(element, texts, onPick, { cools = false } = {}) {
    this.cools = cools;
    this.element = element;
    this.texts = texts;
    this.onPick = onPick;
    this.shape = "";
    this.chain = null;
    new ResizeObserver(() => this.chain && this.show(this.chain, this.selected, this.groups)).observe(element);
  }

  /** `groups` by id: how many may still fail, of assets whose load is not known here. */
  show(chain, selected, groups) {
    this.chain = chain;
    this.selected = selected;
    this.groups = groups;
    const width = Math.max(300, Math.floor(this.element.clientWidth));
    const shape = JSON.stringify([
      width,
      chain.assets.map((asset) => [asset.id, asset.level, asset.side]),
      chain.edges.map((edge) => edge.id),
      chain.banks.map((bank) => [bank.id, bank.feeds]),
    ]);
    if (shape !== this.shape) this.draw(chain, width);
    this.shape = shape;
    this.fill(chain);
  }

  draw(chain, width) {
    const plan = layOut(chain, width);
    const focused = document.activeElement?.dataset?.id;
    this.lines = new Map();
    this.boxes = new Map();
    const wires = svg("g", { class: "wires" });
    for (const line of plan.lines) {
      const points = line.points.map((point) => point.map((v) => Math.round(v * 2) / 2).join(",")).join(" ");
      const drawn = svg("polyline", { points, class: "wire", "data-side": line.edge?.side ?? line.side });
      this.lines.set(line.id, drawn);
      wires.append(drawn);
    }
    const nodes = svg("g", {});
    for (const [id, box] of plan.boxes) {
      const made = box.bank ? bankBox(box, plan.small) : assetBox(box, plan.small);
      this.boxes.set(id, made);
      this.listen(made.group, id);
      nodes.append(made.group);
    }
    const size = { width, height: plan.height, viewBox: `0 0 ${width} ${plan.height}` };
    this.element.replaceChildren(svg("svg", { ...size, class: "one-line" }, wires, nodes));
    if (focused) this.element.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  }

  listen(group, id) {
    group.dataset.id = id;
    group.addEventListener("click", () => this.onPick(id));
    group.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      this.onPick(id);
    });
  }

  fill(chain) {
    const into = new Map();
    const out = new Map();
    for (const edge of chain.edges) {
      into.set(edge.target, [...(into.get(edge.target) ?? []), edge]);
      out.set(edge.source, [...(out.get(edge.source) ?? []), edge]);
      const line = this.lines.get(edge.id);
      if (line) wire(line, edge, this.cools);
    }
    for (const asset of chain.assets) {
      const box = this.boxes.get(asset.id);
      if (box) this.fillAsset(box, asset, into.get(asset.id) ?? [], out.get(asset.id) ?? []);
    }
    for (const bank of chain.banks) this.fillBank(this.boxes.get(`bank:${bank.id}`), bank);
  }

  fillAsset(box, asset, feeds, given) {
    const { texts } = this;
    const feed = worst(feeds);
    const watts = feed ? feed.watts : sum(given.map((edge) => edge.watts));
    const { cools } = this;
    const standing = given.length > 0 && given.every((edge) => edge.standby);
    set(box.name, clip(asset.id, box.letters));
    set(box.side, box.roomy ? asset.side : "");
    const group = cools ? (this.groups.get(asset.id) ?? this.groups.get(asset.group)) : null;
    const spare = group && (texts.messages[`redundancy.${group.state}`] ?? group.state);
    const value = cools ? spare : (texts.power(watts ?? null) ?? texts.t("chain.unknown"));
    set(box.value, standing || (!box.roomy && feed?.rated) ? "" : (value ?? ""));
    set(box.share, texts.percent(feed?.ratio ?? null) ?? "");
    const state = asset.maintenance ? "chain.maintenance" : standing ? "chain.standby" : "";
    const risky = feeds.some((edge) => edge.at_risk === true);
    const after = feed?.failover_ratio ?? null;
    const phase = feed?.failover_phase ? `L${feed.failover_phase}` : "";
    const kind = box.roomy ? clip(texts.kind(asset.kind), box.letters + 2) : "";
    const mark = risky ? `▲ ${box.wide ? `${texts.t("chain.risk")} ` : ""}${ltr(phase)}` : state && texts.t(state);
    set(box.kind, mark || kind);
    flag(box.kind, "data-mark", Boolean(mark));
    set(box.after, after === null || !feed?.rated || box.tiny ? "" : `→ ${texts.percent(after)}`);
    gauge(box, feed, cools);
    const flags = { "data-risk": risky, "data-out": asset.maintenance, "data-standby": standing };
    for (const [name, on] of Object.entries(flags)) flag(box.group, name, on);
    flag(box.group, "data-chosen", this.selected === asset.id);
    box.group.setAttribute("data-heat", feed ? heat(feed.ratio) : "low");
    box.group.setAttribute("aria-label", this.spoken(asset, feed, watts, risky, phase, state, spare));
  }

  spoken(asset, feed, watts, risky, phase, state, spare) {
    const { texts } = this;
    const said = [asset.id, texts.kind(asset.kind)];
    if (spare) said.push(spare);
    if (asset.side) said.push(texts.message("chain.side", { side: asset.side }));
    if (state) said.push(texts.t(state));
    if (!this.cools && state !== "chain.standby") said.push(texts.power(watts ?? null) ?? texts.t("chain.unknown"));
    if ((feed?.ratio ?? null) !== null) {
      said.push(texts.message("chain.of_rating", { share: texts.percent(feed.ratio) }));
    }
    if (feed?.failover_ratio) said.push(`${texts.t("chain.without")} ${texts.percent(feed.failover_ratio)}`);
    if (risky) said.push(`${texts.t("chain.risk")} ${phase}`);
    return said.join(", ");
  }

  fillBank(box, bank) {
    if (!box) return;
    const { texts } = this;
    const racks = texts.message("chain.racks", { count: ltr(texts.count(bank.racks)) });
    const ride = texts.duration(bank.ride_through_seconds);
    const lines = [racks];
    if (bank.watts !== null) lines.push(ltr(texts.power(bank.watts)));
    const risky = bank.at_risk > 0 && !this.cools;
    if (risky) lines.push(texts.message("chain.racks_at_risk", { count: ltr(texts.count(bank.at_risk)) }));
    else if (bank.unknown && !this.cools) lines.push(texts.message("chain.racks_unknown", { count: ltr(texts.count(bank.unknown)) }));
    else if (ride) lines.push(`${box.wide ? `${texts.t("chain.ride_short")} ` : ""}${ltr(ride)}`);
    set(box.name, clip(bank.id, box.letters));
    box.lines.forEach((line, i) => set(line, clip(lines[i] ?? "", box.letters + 6)));
    flag(box.group, "data-risk", risky);
    flag(box.group, "data-chosen", this.selected === `bank:${bank.id}`);
    box.group.setAttribute("aria-label", [bank.id, ...lines].join(", ").replace(/[\u2066\u2069]/g, ""));
  }
}

/** The chain's part that one hall hangs on; all of it without a hall. */
export function partOf(chain, hall) {
  if (!chain || !hall) return chain;
  const assets = chain.assets.filter((asset) => !asset.hall || asset.hall === hall);
  const there = new Set(assets.map((asset) => asset.id));
  const edges = chain.edges.filter((edge) => there.has(edge.source) && there.has(edge.target));
  return { ...chain, assets, edges, banks: chain.banks.filter((bank) => bank.hall === hall) };
}

function worst(feeds) {
  const used = feeds.filter((edge) => !edge.standby);
  const feed = used.reduce((most, edge) => ((edge.ratio ?? -1) > (most?.ratio ?? -2) ? edge : most), null);
  return feed && { ...feed, rated: feed.continuous_watts !== null && feed.continuous_watts !== undefined };
}

function sum(values) {
  const known = values.filter((value) => value !== null && value !== undefined);
  return known.length ? known.reduce((total, value) => total + value, 0) : null;
}

function wire(line, edge, cools) {
  const ratio = edge.ratio ?? null;
  const kind = edge.standby ? "standby" : !cools && ratio === null && (edge.watts ?? null) === null ? "unknown" : "used";
  line.setAttribute("data-kind", kind);
  const risky = edge.at_risk === true || ratio > 1;
  if (risky && !line.hasAttribute("data-risk")) line.parentNode.append(line);
  flag(line, "data-risk", risky);
  const width = kind === "used" && ratio !== null ? 1.5 + 5 * Math.min(ratio, 1.2) : 1.75;
  line.setAttribute("stroke-width", width.toFixed(2));
}

function gauge(box, feed, none) {
  const rated = !none && feed?.rated;
  for (const part of [box.track, box.bar, box.limit, box.notch]) flag(part, "data-none", !rated);
  if (!rated) return;
  const at = (ratio) => (Math.min(ratio, FULL) / FULL) * box.room;
  box.bar.setAttribute("width", at(feed.ratio ?? 0).toFixed(1));
  flag(box.track, "data-unknown", (feed.ratio ?? null) === null);
  const after = feed.failover_ratio;
  flag(box.notch, "data-none", after === null || after === undefined);
  if (after !== null && after !== undefined) {
    const x = box.left + at(after);
    const y = box.top;
    box.notch.setAttribute("points", `${x - 4.5},${y + 12} ${x + 4.5},${y + 12} ${x},${y + 5}`);
  }
}

function assetBox({ x, y, w, h, asset }, small) {
  const wide = w >= 150;
  const roomy = w >= 110;
  const text = (cls, dx, dy, end) => svg("text", { class: cls, x: end ? x + w - dx : x + dx, y: y + dy, "text-anchor": end ? "end" : "start" });
  const room = w - 2 * PAD;
  const top = y + h - 16;
  const left = x + PAD;
  const parts = {
    name: text("box-name", PAD, 16),
    side: text("box-side", PAD, 16, true),
    kind: text("box-kind", PAD, small ? 29 : 30),
    value: text("box-value", PAD, small ? 42 : 45),
    share: text("box-share", PAD, small ? 42 : 45, roomy),
    after: text("box-after", PAD, small && roomy ? 29 : roomy ? 30 : 42, true),
    track: svg("rect", { class: "track", x: left, y: top, width: room, height: 6, rx: 2 }),
    bar: svg("rect", { class: "load", x: left, y: top, width: 0, height: 6, rx: 2 }),
    limit: svg("line", { class: "limit", x1: left + room / FULL, x2: left + room / FULL, y1: top - 3, y2: top + 9 }),
    notch: svg("polygon", { class: "notch" }),
  };
  const frame = svg("rect", { class: "frame", x, y, width: w, height: h, rx: 8 });
  const attributes = { class: roomy ? "box" : "box narrow", role: "button", tabindex: 0, "data-side": asset.side };
  const group = svg("g", attributes, frame, ...Object.values(parts), svg("title", {}, asset.id));
  const letters = Math.floor((w - 2 * PAD - (asset.side && roomy ? 12 : 0)) / (roomy ? 7.1 : 6.3));
  return { ...parts, group, room, left, top, letters, wide, roomy, tiny: w < 84 };
}

function bankBox({ x, y, w, h }, small) {
  const middle = x + w / 2;
  const first = y + h / 2 - (small ? 16 : 20);
  const text = (cls, dy) => svg("text", { class: cls, x: middle, y: first + dy, "text-anchor": "middle" });
  const step = small ? 13 : 15;
  const name = text("box-name", 0);
  const lines = [1, 2, 3].map((i) => text("box-line", i * step));
  const frame = svg("rect", { class: "frame", x, y, width: w, height: h, rx: 8 });
  const group = svg("g", { class: "box bank", role: "button", tabindex: 0 }, frame, name, ...lines);
  return { group, name, lines, letters: Math.floor((w - 8) / (small ? 6.6 : 7.1)), wide: w >= 150 };
}

/** A figure within a sentence: left to right, whatever stands beside it. */
function ltr(text) {
  return text ? `\u2066${text}\u2069` : "";
}

function clip(text, letters) {
  const room = Math.max(letters, 5);
  if (text.length <= room) return text;
  // Both ends of a name tell it from its neighbours.
  const head = Math.ceil((room - 1) / 2);
  return `${text.slice(0, head)}…${text.slice(text.length - (room - 1 - head))}`;
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function flag(node, name, on) {
  if (on) node.setAttribute(name, "yes");
  else node.removeAttribute(name);
}
