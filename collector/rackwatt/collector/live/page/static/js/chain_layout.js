// SPDX-License-Identifier: Apache-2.0
// Where the boxes of a one-line diagram stand: side A on the left, side B on the right, the utility
// at the top; below, each bank of racks between the busways that feed it. The same in all
// languages: it is a drawing of the building, not a text.

const GAP = 12;
const BAND = 30;
/**
 * @param {object} chain one chain of /api/chain, of one hall
 * @param {number} width of the drawing, px
 * @returns {{height: number, boxes: Map, lines: Array, small: boolean}} boxes by id:
 *     {x, y, w, h, asset | bank}; lines: {id, edge, points}
 */
export function layOut(chain, width) {
  const small = width < 560;
  const size = { h: small ? 64 : 66, widest: small ? 150 : 190, narrowest: small ? 60 : 120 };
  const drawn = new Map(chain.assets.map((asset) => [asset.id, asset]));
  const edges = chain.edges.filter((edge) => drawn.has(edge.source) && drawn.has(edge.target));
  const above = new Set(edges.map((edge) => edge.source));
  const feeds = new Set(chain.banks.flatMap((bank) => bank.feeds));
  const last = (asset) => feeds.has(asset.id) && !above.has(asset.id);
  const boxes = new Map();
  let y = 4;
  for (const band of bands(chain.assets.filter((asset) => !last(asset)), edges)) {
    y = placeBand(band, boxes, { y, width, size }) + BAND;
  }
  const byName = (a, b) => a.id.localeCompare(b.id, "en", { numeric: true });
  const bottom = placeBanks([...chain.banks].sort(byName), drawn, boxes, { y: y - 6, width, size, small });
  return { height: bottom + 6, boxes, lines: linesOf(edges, chain.banks, boxes, width), small };
}

/** Assets by level; what only stands by is drawn right above what it would feed. */
function bands(assets, edges) {
  const level = new Map(assets.map((asset) => [asset.id, asset.level]));
  for (const asset of assets) {
    const out = edges.filter((edge) => edge.source === asset.id && level.has(edge.target));
    if (asset.level === 0 && out.length && out.every((edge) => edge.standby)) {
      level.set(asset.id, Math.min(...out.map((edge) => level.get(edge.target))) - 1);
    }
  }
  const found = new Map();
  for (const asset of assets) {
    const at = level.get(asset.id);
    found.set(at, [...(found.get(at) ?? []), asset]);
  }
  return [...found.keys()].sort((a, b) => a - b).map((at) => found.get(at));
}

function placeBand(assets, boxes, { y, width, size }) {
  const sides = { A: [], B: [], "": [] };
  for (const asset of assets) sides[asset.side].push(asset);
  const both = sides.A.length + sides.B.length > 0;
  let bottom = y;
  const put = (members, from, room) => {
    if (!members.length) return;
    const columns = Math.max(1, Math.min(members.length, Math.floor((room + GAP) / (size.narrowest + GAP))));
    const w = Math.min(size.widest, (room - GAP * (columns - 1)) / columns);
    members.forEach((asset, i) => {
      const rowLength = Math.min(columns, members.length - Math.floor(i / columns) * columns);
      const left = from + (room - rowLength * w - GAP * (rowLength - 1)) / 2;
      const x = left + (i % columns) * (w + GAP);
      const top = y + Math.floor(i / columns) * (size.h + GAP);
      boxes.set(asset.id, { x, y: top, w, h: size.h, asset });
      bottom = Math.max(bottom, top + size.h);
    });
  };
  const half = (width - 2 * GAP) / 2;
  put(sides.A, GAP / 2, half);
  put(sides.B, width / 2 + GAP / 2, half);
  if (sides[""].length) {
    const top = both ? bottom + GAP : y;
    const saved = { y: top, width, size };
    return both ? placeBand(sides[""], boxes, saved) : placeWide(sides[""], boxes, saved);
  }
  return bottom;
}

function placeWide(members, boxes, { y, width, size }) {
  const columns = Math.max(1, Math.min(members.length, Math.floor(width / (size.narrowest + GAP))));
  const w = Math.min(size.widest, (width - GAP * (columns + 1)) / columns);
  members.forEach((asset, i) => {
    const rowLength = Math.min(columns, members.length - Math.floor(i / columns) * columns);
    const left = (width - rowLength * w - GAP * (rowLength - 1)) / 2;
    const top = y + Math.floor(i / columns) * (size.h + GAP);
    boxes.set(asset.id, { x: left + (i % columns) * (w + GAP), y: top, w, h: size.h, asset });
  });
  return y + Math.ceil(members.length / columns) * (size.h + GAP) - GAP;
}

function placeBanks(banks, drawn, boxes, { y, width, size, small }) {
  const two = banks.some((bank) => bank.feeds.some((id) => drawn.get(id)?.side === "B"));
  const link = small ? 8 : 34;
  const RISER = small ? 12 : 22;
  const w = Math.min(two ? 230 : 260, (width - 2 * RISER - 2 * link) / (two ? 3 : 2));
  const middle = Math.min(260, two ? width - 2 * RISER - 2 * w - 2 * link : w);
  // Feeds stand close to their racks, the risers beside them.
  const from = two ? (width - middle) / 2 : (width - middle - w - link) / 2 + w + link;
  for (const bank of banks) {
    const left = bank.feeds.filter((id) => drawn.has(id) && drawn.get(id).side !== "B");
    const right = bank.feeds.filter((id) => drawn.get(id)?.side === "B");
    const fresh = (ids) => ids.filter((id) => !boxes.has(id));
    const rows = Math.max(1, fresh(left).length, fresh(right).length);
    fresh(left).forEach((id, i) => boxes.set(id, feedBox(drawn, id, from - link - w, y, i, w, size)));
    fresh(right).forEach((id, i) => boxes.set(id, feedBox(drawn, id, from + middle + link, y, i, w, size)));
    const h = rows * (size.h + GAP) - GAP;
    boxes.set(`bank:${bank.id}`, { x: from, y, w: middle, h, bank });
    y += h + GAP;
  }
  return y;
}

function feedBox(drawn, id, x, y, i, w, size) {
  return { x, y: y + i * (size.h + GAP), w, h: size.h, asset: drawn.get(id), beside: true };
}

function linesOf(edges, banks, boxes, width) {
  const lines = [];
  for (const edge of edges) {
    const from = boxes.get(edge.source);
    const to = boxes.get(edge.target);
    if (!from || !to) continue;
    lines.push({ id: edge.id, edge, points: to.beside ? riser(from, to, width) : down(from, to) });
  }
  for (const bank of banks) {
    const to = boxes.get(`bank:${bank.id}`);
    for (const id of bank.feeds) {
      const from = boxes.get(id);
      if (!from) continue;
      const points = from.beside && from.y + from.h > to.y && from.y < to.y + to.h
        ? across(from, to)
        : down(from, to);
      lines.push({ id: `${id}>${bank.id}`, edge: null, side: from.asset.side, points });
    }
  }
  return lines;
}

function down(from, to) {
  const start = [from.x + from.w / 2, from.y + from.h];
  const end = [to.x + to.w / 2, to.y];
  const bend = end[1] - BAND / 2;
  return [start, [start[0], bend], [end[0], bend], end];
}

function across(from, to) {
  const y = from.y + from.h / 2;
  const right = from.x > to.x;
  return right ? [[from.x, y], [to.x + to.w, y]] : [[from.x + from.w, y], [to.x, y]];
}

/** Down beside the feeds and into them from the outer side. */
function riser(from, to, width) {
  const right = to.asset.side === "B";
  const edge = right ? to.x + to.w : to.x;
  const x = right ? Math.min(edge + 14, width - 4) : Math.max(edge - 14, 4);
  const start = [from.x + from.w / 2, from.y + from.h];
  const y = to.y + to.h / 2;
  const bend = from.y + from.h + 12;
  return [start, [start[0], bend], [x, bend], [x, y], [edge, y]];
}
