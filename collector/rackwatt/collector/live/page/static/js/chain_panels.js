// SPDX-License-Identifier: Apache-2.0
// Tables and details of the chain page.

import { el, heat, name, num } from "./chain_text.js";

const MOST_RACKS = 200;
const MOST_RISKS = 12;

/** Load as a bar with its continuous rating at four fifths, and in words beside it. */
function share(texts, ratio, after = null, phase = 0) {
  const bar = el("meter", { class: "load-bar", min: 0, max: 1.25, value: Math.min(ratio ?? 0, 1.25), "data-heat": heat(ratio), "aria-hidden": "true" });
  const text = num(texts.percent(ratio));
  if (after === null) return [bar, text];
  return [bar, text, phase ? el("span", { class: "phase num" }, `L${phase}`) : null];
}

function risk(texts, edge) {
  if (edge.at_risk === true) return el("strong", { class: "risk" }, "▲ ", texts.t("chain.risk"));
  if (edge.at_risk === false) return el("span", {}, texts.t("chain.ok"));
  return el("span", { class: "unknown" }, texts.t("chain.unknown"));
}

function table(heads, rows) {
  const head = heads.map((text, i) => el("th", { scope: "col", class: i ? "end" : "" }, text));
  return el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
}

function row(first, ...cells) {
  return el("tr", {}, el("th", { scope: "row" }, first), ...cells.map((cell) => el("td", { class: "end" }, ...[cell].flat())));
}

function pick(texts, id, label, onPick, more = {}) {
  const button = el("button", { type: "button", class: "pick", "data-key": id, ...more }, label);
  button.addEventListener("click", () => onPick(id));
  return button;
}

export function tiles(texts, data) {
  const { capacity } = data;
  const tile = (title, value, note, bad = false, more = null) =>
    el("div", { class: "tile", "data-bad": bad ? "yes" : "" }, el("dt", {}, title), el("dd", {}, num(value), more), el("dd", { class: "note" }, note));
  const without = (racks) =>
    racks ? el("span", { class: "aside" }, ...texts.parts("chain.unknown_racks", { count: num(texts.count(racks)) })) : null;
  const found = [];
  if (capacity) {
    const missing = without(capacity.unknown_racks);
    found.push(
      tile(texts.t("chain.sellable"), texts.power(capacity.sellable_watts), texts.t("chain.sellable_note"), false, missing),
      tile(texts.t("chain.stranded"), texts.power(capacity.stranded_watts), texts.t("chain.stranded_note")),
      tile(texts.t("chain.at_risk"), texts.count(capacity.feeds_at_risk), texts.t("chain.at_risk_note"), capacity.feeds_at_risk > 0),
    );
    if (capacity.feeds_over) found.push(tile(texts.t("chain.over"), texts.count(capacity.feeds_over), "", true));
    found.push(tile(texts.t("chain.losses"), texts.power(data.losses_watts), texts.t("chain.losses_note")));
  }
  found.push(tile(texts.t("chain.ride"), texts.duration(data.ride_through_seconds), texts.t("chain.ride_note"), false, without(data.ride_through_unknown)));
  return found;
}

export function hallButtons(texts, halls, chosen, onPick) {
  return halls.map((hall) => {
    const attributes = { "aria-pressed": hall.id === chosen ? "true" : "false", "data-risk": hall.risk ? "yes" : "" };
    const label = el("span", {}, name(hall.id), " ", num(texts.percent(hall.ratio)), hall.risk ? el("strong", { class: "risk" }, " ▲") : null);
    return pick(texts, hall.id, label, onPick, attributes);
  });
}

export function riskTable(texts, risks, onPick) {
  const heads = ["chain.feed", "chain.now", "chain.failover", "chain.phase", "chain.headroom_now", "chain.state"];
  const rows = risks.slice(0, MOST_RISKS).map((edge) =>
    row(
      [pick(texts, edge.target, name(edge.target), onPick), " ", el("span", { class: "aside" }, texts.kind(edge.kind))],
      share(texts, edge.ratio),
      share(texts, edge.failover_ratio),
      edge.failover_phase ? num(`L${edge.failover_phase}`) : "",
      num(texts.power(edge.headroom_watts)),
      risk(texts, edge),
    ),
  );
  return table(heads.map((key) => texts.t(key)), rows);
}

export function levelTable(texts, levels) {
  const heads = ["chain.level", "chain.feeds", "chain.load", "chain.rating", "chain.headroom", "chain.worst", "chain.worst_failover"];
  const rows = levels.map((level) =>
    row(
      texts.kind(level.kind),
      num(texts.count(level.feeds)),
      num(texts.power(level.watts)),
      num(texts.power(level.continuous_watts)),
      num(texts.power(level.headroom_watts)),
      share(texts, level.ratio),
      share(texts, level.failover_ratio),
    ),
  );
  return table(heads.map((key) => texts.t(key)), rows);
}

function redundancyState(texts, state) {
  return texts.messages[`redundancy.${state}`] ?? state;
}

/** Redundancy groups: those that have no spare first, then those of `here`; the rest is counted. */
export function groupTable(texts, groups, here) {
  const spare = (group) => (group.available === null ? -1 : Math.min(group.available - group.needed, 1));
  const shown = groups.filter((group) => spare(group) < 1 || !here || here.has(group.id));
  shown.sort((a, b) => spare(a) - spare(b));
  const more = groups.length - shown.length;
  const note = more ? el("p", { class: "note" }, ...texts.parts("chain.groups_more", { count: num(texts.count(more)) })) : null;
  const heads = ["chain.group", "chain.state", "chain.available", "chain.needed"];
  const rows = shown.map((group) => {
    const bad = group.available === null || group.available <= group.needed;
    const state = redundancyState(texts, group.state);
    return row(
      name(group.id),
      el(bad ? "strong" : "span", { class: bad ? "risk" : "num" }, bad ? "▲ " : "", state),
      el("span", { class: "num" }, `${texts.count(group.available) ?? "–"} / ${texts.count(group.installed)}`),
      num(texts.count(group.needed)),
    );
  });
  return [table(heads.map((key) => texts.t(key)), rows), note].filter(Boolean);
}

export function key(texts) {
  const item = (mark, text) => el("li", {}, el("i", { class: `key-${mark}`, "aria-hidden": "true" }), text);
  return [
    item("load", texts.t("chain.key_load")),
    item("limit", texts.t("chain.key_limit")),
    item("notch", texts.t("chain.key_failover")),
    item("standby", texts.t("chain.key_standby")),
    item("unknown", texts.t("chain.key_unknown")),
    item("risk", texts.t("chain.key_risk")),
  ];
}

/** The currents of an edge, phase by phase, now and with the other side down. */
function phases(texts, edge) {
  if (!edge.amperes?.some((amperes) => amperes !== null)) return null;
  const after = edge.failover_amperes ?? [];
  const limit = edge.continuous_amperes;
  const rows = edge.amperes.map((amperes, i) => {
    const decides = edge.failover_phase === i + 1;
    const next = after[i] ?? null;
    const over = limit && next > limit;
    return row(
      el("span", { class: "num" }, `L${i + 1}`),
      num(texts.current(amperes)),
      el("span", { class: over ? "risk" : "" }, over ? "▲ " : "", num(texts.current(next)), decides ? " ◂" : ""),
      num(texts.current(limit)),
    );
  });
  const heads = ["chain.phase", "chain.now", "chain.failover", "chain.rating"];
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": texts.t("chain.phase") }, table(heads.map((title) => texts.t(title)), rows));
}

function facts(...pairs) {
  const shown = pairs.filter(Boolean);
  return el("dl", { class: "facts-grid" }, ...shown.map(([title, ...value]) => el("div", {}, el("dt", {}, title), el("dd", {}, ...value.flat()))));
}

function edgeFacts(texts, edge) {
  if (edge.watts === undefined) return null;
  const measured = texts.t(edge.measured ? "chain.measured" : "chain.summed");
  const heading = el("h3", { class: "device-name" }, name(`${edge.source} → ${edge.target}`), edge.standby ? ` · ${texts.t("chain.standby")}` : "");
  const rated = edge.continuous_watts !== null;
  return el(
    "div",
    { class: "edge" },
    heading,
    facts(
      [texts.t("chain.load"), num(texts.power(edge.watts)), edge.watts === null ? null : el("span", { class: "aside" }, ` ${measured}`)],
      rated ? [texts.t("chain.now"), share(texts, edge.ratio)] : [texts.t("chain.rating"), texts.t("chain.no_rating")],
      rated && !edge.standby ? [texts.t("chain.failover"), share(texts, edge.failover_ratio, 0, edge.failover_phase), " ", risk(texts, edge)] : null,
      rated ? [texts.t("chain.headroom_now"), num(texts.power(edge.headroom_watts))] : null,
    ),
    phases(texts, edge),
  );
}

/** Until when an asset is out, by whom and why. */
function outageNote(texts, { until, author, reason, overdue }) {
  const till = texts.parts("maintenance.to", { time: num(texts.moment(until)) });
  const late = overdue ? [" ", el("strong", { class: "risk" }, texts.t("maintenance.overdue"))] : [];
  return el("p", {}, ...till, ...late, " · ", name(author), ": ", name(reason));
}

/** An asset or a bank: the edges that feed it, and the racks below. */
export function feedDetail(texts, { title, kind, side, common, maintenance, outage, edges, racks }, onRack) {
  const said = [kind && texts.kind(kind), side && texts.message("chain.side", { side }), common && texts.t("chain.common"), maintenance && texts.t("chain.maintenance")];
  const about = said.filter(Boolean).join(" · ");
  const parts = [el("h3", { class: "detail-title", tabindex: "-1" }, name(title)), about ? el("p", { class: "note" }, about) : null];
  if (outage) parts.push(outageNote(texts, outage));
  parts.push(...edges.map((edge) => edgeFacts(texts, edge)));
  if (!racks) return parts.filter(Boolean);
  if (!racks.length) return [...parts.filter(Boolean), el("p", { class: "note" }, texts.t("chain.no_racks"))];
  const heads = ["chain.rack", "chain.load", "chain.room", "chain.ride_short", "chain.state"];
  const rows = racks.slice(0, MOST_RACKS).map((rack) =>
    row(
      pick(texts, rack.id, name(rack.id), onRack),
      num(texts.power(rack.watts)),
      num(texts.power(rack.room_watts)),
      num(texts.duration(rack.ride_through_seconds)),
      risk(texts, rack),
    ),
  );
  parts.push(el("div", { class: "scroll rack-list", tabindex: "0", role: "region", "aria-label": texts.t("chain.rack") }, table(heads.map((head) => texts.t(head)), rows)));
  if (racks.length > MOST_RACKS) {
    parts.push(el("p", { class: "note" }, ...texts.parts("chain.more", { count: num(texts.count(racks.length - MOST_RACKS)) })));
  }
  return parts.filter(Boolean);
}

/** The edges of one side that lead to a rack, and those above, where the sides are one. */
function leading(part, rack, side) {
  const found = new Set();
  const waiting = [rack];
  while (waiting.length) {
    const target = waiting.pop();
    for (const edge of part.edges) {
      if (edge.target !== target || found.has(edge) || (side && edge.side && edge.side !== side)) continue;
      found.add(edge);
      waiting.push(edge.source);
    }
  }
  return [...found];
}

function way(texts, title, part, rack, side) {
  const levels = new Map(part.assets.map((asset) => [asset.id, asset]));
  const edges = leading(part, rack, side);
  edges.sort((a, b) => levels.get(a.target).level - levels.get(b.target).level);
  if (!edges.length) return null;
  const steps = edges.map((edge) => {
    const told = edge.watts === undefined || edge.standby ? [] : edge.continuous_watts === null ? [num(texts.power(edge.watts))] : share(texts, edge.ratio);
    const marks = [
      edge.standby ? el("span", { class: "aside" }, texts.t("chain.standby")) : null,
      levels.get(edge.source).maintenance ? el("strong", { class: "risk" }, texts.t("chain.maintenance")) : null,
      edge.at_risk === true ? el("strong", { class: "risk num" }, `▲ L${edge.failover_phase || ""} ${texts.percent(edge.failover_ratio)}`) : null,
    ];
    return el("li", { "data-side": edge.side }, name(`${edge.source} → ${edge.target}`), el("span", { class: "step" }, ...told, ...marks.filter(Boolean)));
  });
  return el("div", { class: "way" }, el("h4", { class: "row-name" }, title), el("ol", {}, ...steps));
}

/** A rack: what it draws, how long it lives without coolant, and every way to it. */
export function rackDetail(texts, rack, back, onBack) {
  const button = back ? pick(texts, back, el("span", {}, ...texts.parts("chain.back", { feed: name(back.replace("bank:", "")) })), onBack, { class: "pick back" }) : null;
  const sides = (rack.sides ?? []).length ? rack.sides : [""];
  const ways = rack.power
    ? sides.map((side) => way(texts, side ? texts.message("chain.side", { side }) : texts.t("chain.feed"), rack.power, rack.id, side))
    : [];
  if (rack.cooling) ways.push(way(texts, texts.t("chain.way_cooling"), rack.cooling, rack.id, ""));
  return [
    button,
    el("h3", { class: "detail-title", tabindex: "-1" }, name(rack.id)),
    facts(
      [texts.t("chain.load"), num(texts.power(rack.watts))],
      [texts.t("chain.ride_short"), num(texts.duration(rack.ride_through_seconds))],
      [texts.t("chain.room"), num(texts.power(rack.room_watts))],
      rack.limit ? [texts.t("chain.limited"), name(rack.limit.replace(">", " → "))] : null,
      [texts.t("chain.state"), risk(texts, rack)],
    ),
    el("h3", { class: "device-name" }, texts.t("chain.ways")),
    ...ways,
  ].filter(Boolean);
}
