// SPDX-License-Identifier: Apache-2.0
// The charts: power by source over the last hour, and the PUE's line. ECharts draws; it stands in
// window.echarts. All colours come from the style sheet, all numbers from format.js.

import { write } from "./format.js";

const SOURCES = ["pv", "wind", "hydro", "battery", "genset", "grid", "unknown"];
const HOUR_MS = 3600 * 1000;
const LEAST_MS = 300 * 1000;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** What nobody metered is hatched: a colour alone would make it look like one more source. */
function hatched(ground, line) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 8;
  const pen = canvas.getContext("2d");
  pen.fillStyle = ground;
  pen.fillRect(0, 0, 8, 8);
  pen.strokeStyle = line;
  pen.lineWidth = 2.5;
  for (const shift of [-8, 0, 8]) {
    pen.beginPath();
    pen.moveTo(shift - 1, 9);
    pen.lineTo(shift + 9, -1);
    pen.stroke();
  }
  return { image: canvas, repeat: "repeat" };
}

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

export class Charts {
  constructor(locale, rightToLeft) {
    this.messages = locale.messages;
    this.rightToLeft = rightToLeft;
    this.locale = locale;
    this.stepMs = 10000;
    this.points = [];
    this.power = this.#init("chart-power");
    this.pue = this.#init("chart-pue");
    this.legend = document.querySelectorAll("#legend li");
    this.restyle();
  }

  #init(id) {
    const place = document.getElementById(id);
    if (!place) return null;
    const chart = window.echarts.init(place, null, { renderer: "canvas" });
    new ResizeObserver(() => chart.resize()).observe(place);
    return chart;
  }

  /** Starts again from the server's history. */
  load(history) {
    if (!Array.isArray(history.times)) return;
    this.stepMs = (history.step_seconds ?? 10) * 1000;
    this.points = history.times.map((time, index) => ({
      time,
      sources: SOURCES.map((id) => history.sources?.[id]?.[index] ?? null),
      load: history.load?.[index] ?? null,
      pue: history.pue?.[index] ?? null,
    }));
    this.draw();
  }

  /** Adds the newest figures: those of one step become their mean, as in the server's history. */
  append(frame, locale) {
    this.locale = locale;
    if (typeof frame.time !== "number") return;
    const byId = new Map((frame.sources ?? []).map((item) => [item.id, item.power_watts ?? null]));
    const point = {
      time: frame.time,
      sources: SOURCES.map((id) => byId.get(id) ?? null),
      load: frame.load_watts ?? null,
      pue: frame.pue?.value ?? null,
      count: 1,
    };
    const last = this.points.at(-1);
    if (last && frame.time < last.time) return;
    const step = (time) => Math.floor(time / this.stepMs);
    if (last && step(last.time) === step(frame.time)) {
      this.points.pop();
      point.count = (last.count ?? 1) + 1;
      const mean = (before, now) =>
        before === null || now === null ? (now ?? before) : before + (now - before) / point.count;
      point.sources = point.sources.map((now, index) => mean(last.sources[index], now));
      point.load = mean(last.load, point.load);
    }
    this.points.push(point);
    while (this.points[0].time < frame.time - HOUR_MS) this.points.shift();
    this.draw();
  }

  /** Takes the colours anew, after a change of theme. */
  restyle() {
    this.power?.setOption(this.#powerOption(), true);
    this.pue?.setOption(this.#pueOption(), true);
    this.draw();
  }

  draw() {
    if (this.points.length === 0) return;
    const end = this.points.at(-1).time;
    // A young site fills its chart: the hour grows from five minutes.
    const first = Math.min(this.points[0].time, end - LEAST_MS);
    const window_ = { min: Math.max(first, end - HOUR_MS), max: end };
    // A source that gave nothing all hour takes no room in the legend.
    const present = SOURCES.map((id, index) => this.points.some((p) => p.sources[index] > 0));
    const series = SOURCES.map((id, index) => ({
      id,
      data: present[index] ? this.points.map((p) => [p.time, p.sources[index]]) : [],
    }));
    series.push({ id: "load", data: this.points.map((p) => [p.time, p.load]) });
    for (const item of this.legend) {
      const index = SOURCES.indexOf(item.dataset.id);
      item.hidden = index >= 0 && !present[index];
    }
    this.power?.setOption({ xAxis: window_, series });
    const pue = this.points.map((p) => [p.time, p.pue]);
    this.pue?.setOption({ xAxis: window_, series: [{ id: "pue", data: pue }] });
  }

  #name(id) {
    return id === "load" ? this.messages["tooltip.load"] : this.messages[`source.${id}`];
  }

  #text() {
    return { fontFamily: getComputedStyle(document.body).fontFamily, color: colour("ink-2") };
  }

  #axes() {
    const side = this.rightToLeft ? "right" : "left";
    return {
      xAxis: {
        type: "time",
        axisLine: { lineStyle: { color: colour("line-strong") } },
        axisTick: { show: false },
        splitLine: { show: false },
        axisLabel: {
          ...this.#text(),
          fontSize: 12,
          hideOverlap: true,
          formatter: (value) => write(value, "time", this.locale).slice(0, 5),
        },
      },
      yAxis: {
        type: "value",
        position: side,
        splitNumber: 4,
        splitLine: { lineStyle: { color: colour("line") } },
        axisLabel: {
          ...this.#text(),
          fontSize: 12,
          formatter: (value) => this.#axisPower(value),
        },
      },
    };
  }

  /** A round number needs no decimals: "2 MW", not "2.00 MW". */
  #axisPower(value) {
    const number = write(value, "power", this.locale, "number");
    const round = number.replace(/[.,]0+$/, "").replace(/([.,]\d*?)0+$/, "$1");
    return round + write(value, "power", this.locale, "unit");
  }

  #powerOption() {
    const text = this.#text();
    const areas = SOURCES.map((id) => {
      const fill = id === "unknown" ? hatched(colour("hatch-ground"), colour("hatch-line")) : colour(id);
      return {
        id,
        name: this.#name(id),
        type: "line",
        stack: "sources",
        symbol: "none",
        lineStyle: { width: 1, color: colour("surface") },
        itemStyle: { color: fill },
        areaStyle: { color: fill, opacity: 1 },
        emphasis: { disabled: true },
        data: [],
      };
    });
    const load = {
      id: "load",
      name: this.#name("load"),
      type: "line",
      symbol: "none",
      lineStyle: { width: 2, color: colour("ink") },
      itemStyle: { color: colour("ink") },
      emphasis: { disabled: true },
      data: [],
    };
    return {
      animation: false,
      textStyle: text,
      grid: { left: 4, right: 4, top: 12, bottom: 4, outerBoundsMode: "same" },
      tooltip: {
        trigger: "axis",
        className: "chart-tip",
        backgroundColor: "transparent",
        borderWidth: 0,
        padding: 0,
        extraCssText: "box-shadow: none",
        axisPointer: { type: "line", lineStyle: { color: colour("ink-3") } },
        formatter: (items) => this.#tip(items),
      },
      ...this.#axes(),
      series: [...areas, load],
    };
  }

  #tip(items) {
    const box = element("div", "tip");
    box.dir = this.rightToLeft ? "rtl" : "ltr";
    box.append(element("p", "tip-time num", write(items[0].value[0], "time", this.locale)));
    for (const item of [...items].reverse()) {
      if (item.value[1] === null || item.value[1] === undefined) continue;
      const line = element("p", "tip-line");
      const mark = element("span", "swatch");
      mark.dataset.source = item.seriesId;
      const value = write(item.value[1], "power", this.locale);
      line.append(mark, element("span", "tip-name", item.seriesName), element("b", "num", value));
      box.append(line);
    }
    return box;
  }

  #pueOption() {
    return {
      animation: false,
      grid: { left: 2, right: 2, top: 6, bottom: 6 },
      xAxis: { type: "time", show: false },
      yAxis: { type: "value", show: false, scale: true, minInterval: 0.01 },
      series: [
        {
          id: "pue",
          type: "line",
          symbol: "none",
          lineStyle: { width: 2, color: colour("accent") },
          areaStyle: { color: colour("accent"), opacity: 0.1, origin: "start" },
          emphasis: { disabled: true },
          data: [],
        },
      ],
    };
  }
}
