// SPDX-License-Identifier: Apache-2.0
// What the page shows that is no figure: bar widths, heat levels, groups. The JavaScript half of
// view.py; tests run the same frames through both.

/** Sources in the order of the bar: on site first, then the grid, then what nobody metered. */
export const SOURCES = ["pv", "wind", "hydro", "battery", "genset", "grid", "unknown"];
const HEAT_LEVELS = 9;
const INLET_SCALE = [15, 32];
const INLET_RECOMMENDED = [18, 27];
const CLOCK_LIMIT_SECONDS = 60;

function numberAt(item, key) {
  const value = item?.[key];
  return typeof value === "number" ? value : null;
}

function itemsAt(frame, key) {
  return Array.isArray(frame[key]) ? frame[key] : [];
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

function percent(ratio) {
  return `${(clamp(ratio, 0, 1) * 100).toFixed(3)}%`;
}

function segments(frame) {
  const byId = new Map(itemsAt(frame, "sources").map((item) => [item.id, item]));
  const shares = SOURCES.map((name) => Math.max(numberAt(byId.get(name), "share") ?? 0, 0));
  const scale = Math.max(shares.reduce((sum, share) => sum + share, 0), 1);
  const placed = {};
  let offset = 0;
  SOURCES.forEach((name, index) => {
    const width = shares[index] / scale;
    placed[name] = { x: percent(offset), width: percent(width) };
    offset += width;
  });
  return placed;
}

function niceCeiling(value) {
  for (let power = 1; ; power *= 10) {
    for (const step of [1, 2, 5]) if (step * power >= value) return step * power;
  }
}

function heatLevel(value, low, high) {
  if (value === null) return null;
  const step = Math.trunc(((clamp(value, low, high) - low) / (high - low)) * HEAT_LEVELS);
  return Math.min(step, HEAT_LEVELS - 1);
}

function inletFlag(inlet) {
  if (inlet === null) return null;
  if (inlet > INLET_RECOMMENDED[1]) return "high";
  return inlet < INLET_RECOMMENDED[0] ? "low" : null;
}

function rackView(rack, powerMax) {
  const inlet = numberAt(rack, "inlet_celsius");
  const gpus = numberAt(rack, "gpus");
  const up = numberAt(rack, "gpus_up");
  return {
    ...rack,
    power_level: heatLevel(numberAt(rack, "power_watts"), 0, powerMax),
    inlet_level: heatLevel(inlet, ...INLET_SCALE),
    inlet_flag: inletFlag(inlet),
    gpus_flag: gpus !== null && up !== null && up < gpus ? "down" : null,
  };
}

function halls(racks, powerMax) {
  const grouped = new Map();
  for (const rack of racks) {
    const hall = String(rack.hall ?? "");
    const row = String(rack.row ?? "");
    if (!grouped.has(hall)) grouped.set(hall, new Map());
    const rows = grouped.get(hall);
    if (!rows.has(row)) rows.set(row, []);
    rows.get(row).push(rackView(rack, powerMax));
  }
  return [...grouped].map(([id, rows]) => ({
    id,
    rows: [...rows].map(([row, members]) => ({ id: row, racks: members })),
  }));
}

function agentView(agent) {
  const offset = numberAt(agent, "clock_offset_seconds") ?? 0;
  return { ...agent, clock_wrong: Math.abs(offset) > CLOCK_LIMIT_SECONDS };
}

/** How near the running window comes to what is subscribed. */
function demandView(frame) {
  const projected = numberAt(frame.demand, "projected_watts");
  const limit = numberAt(frame.demand, "subscribed_watts");
  if (projected === null || limit === null || limit <= 0) {
    return { x: "0%", width: "0.000%", over: false };
  }
  return { x: "0%", width: percent(projected / limit), over: projected > limit };
}

/** The `view` part that templates and scripts bind to. */
export function derive(frame) {
  const racks = itemsAt(frame, "racks");
  const powers = racks.map((rack) => numberAt(rack, "power_watts")).filter((p) => p !== null);
  const powerMax = niceCeiling(powers.length ? powers.reduce((a, b) => Math.max(a, b)) : 1);
  const agents = itemsAt(frame, "agents");
  const storeUp = frame.quality?.store_up ?? null;
  return {
    segments: segments(frame),
    // A battery is no origin: its share is in those of what charged it.
    sources: itemsAt(frame, "sources").map((item) => ({
      ...item,
      why: item.id === "battery" ? "traced" : null,
    })),
    by_source: Object.fromEntries(
      itemsAt(frame, "sources")
        .filter((item) => (numberAt(item, "share") ?? 0) > 0)
        .map((item) => [item.id, { share: item.share }]),
    ),
    origin_known: itemsAt(frame, "sources").some((item) => numberAt(item, "share") !== null),
    halls: halls(racks, powerMax),
    rack_power_max_watts: powers.length ? powerMax : null,
    inlet_min_celsius: INLET_SCALE[0],
    inlet_max_celsius: INLET_SCALE[1],
    agents: agents.map(agentView),
    agents_total: agents.length,
    agents_online: agents.filter((agent) => agent.state === "online").length,
    battery_level: { x: "0%", width: percent(numberAt(frame.battery, "state_of_charge") ?? 0) },
    demand: demandView(frame),
    held: (numberAt(frame.quality, "held_readings") ?? 0) > 0,
    store: storeUp === null ? null : storeUp ? "up" : "down",
    no_events: itemsAt(frame, "events").length === 0,
  };
}
