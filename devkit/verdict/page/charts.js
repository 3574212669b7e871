"use strict";
// The charts; what the pointer is on is told in the caption.

const CHARTS = [];

function colours() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return {
    ink: read("--dim"), line: read("--line"), accent: read("--accent"), accentSoft: read("--accent-soft"),
    second: read("--second"), secondSoft: read("--second-soft"), bad: read("--bad"),
  };
}

function axes(c, { x = {}, y = {} } = {}) {
  const font = "12px system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
  const common = { stroke: c.ink, font, ticks: { show: false } };
  const plain = (u, values) => values.map((v) => (v === null ? "" : number(v, 4)));
  return [
    { ...common, grid: { show: false }, size: 28, values: plain, ...x },
    { ...common, grid: { stroke: c.line, width: 1 }, size: 46, values: plain, ...y },
  ];
}

/** Draw a chart into a figure; drawn again when its width or the colour scheme changes. */
function chart(id, data, options, click) {
  const figure = $(id);
  const box = figure.querySelector("div");
  if (!data) {
    box.append(make("p", "none", "nothing to show"));
    return;
  }
  if (click) figure.classList.add("clickable");
  let plot = null;
  const draw = () => {
    plot?.destroy();
    plot = new uPlot({
      width: box.clientWidth, height: 190, legend: { show: false }, padding: [8, 8, 0, 0],
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      ...options(colours()),
    }, data, box);
    if (click) plot.over.addEventListener("click", () => plot.cursor.idx !== null && click(plot.cursor.idx));
  };
  draw();
  CHARTS.push(draw);
  let width = box.clientWidth;
  new ResizeObserver(() => {
    if (box.clientWidth !== width && box.clientWidth > 0) {
      width = box.clientWidth;
      plot.setSize({ width, height: 190 });
    }
  }).observe(box);
}

function histogram(id, bars, { name, whole = false, limit = null, click } = {}) {
  if (!bars) return chart(id, null);
  const { middles, counts, width } = bars;
  let high = middles.at(-1) + width * 0.6;
  const shown = limit !== null && limit <= high * 3;
  if (shown) high = Math.max(high, limit * 1.04);
  const range = (i) => {
    if (whole && width === 1) return number(middles[i]);
    return `${number(Math.max(middles[i] - width / 2, Math.min(0, middles[0])))} to ${number(middles[i] + width / 2)}`;
  };
  chart(id, [middles, counts], (c) => ({
    scales: { x: { time: false, range: [middles[0] - width * 0.6, high] }, y: { range: (u, low, top) => [0, Math.max(top * 1.08, 1)] } },
    axes: axes(c, { x: whole ? { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000] } : {}, y: { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000] } }),
    series: [{}, { fill: c.accent, stroke: c.accent, width: 0, points: { show: false }, paths: bar(width) }],
    hooks: { draw: shown ? [(u) => rule(u, limit, c.bad)] : [], ...cursorHook(id, (i) => `${range(i)} ${name}: ${counts[i].toLocaleString("en")} rollouts`) },
  }), click);
}

/** Bars as wide as their bin, whatever the gaps between them. */
function bar(width) {
  return (u, series, first, last) => {
    const path = new Path2D();
    const half = width * 0.46;
    const zero = u.valToPos(0, "y", true);
    for (let i = first; i <= last; i++) {
      const count = u.data[series][i];
      if (!count) continue;
      const left = u.valToPos(u.data[0][i] - half, "x", true);
      const wide = Math.max(2, Math.min(u.valToPos(u.data[0][i] + half, "x", true) - left, 60 * devicePixelRatio));
      const centre = u.valToPos(u.data[0][i], "x", true);
      const top = Math.min(u.valToPos(count, "y", true), zero - 2);
      path.rect(centre - wide / 2, top, wide, zero - top);
    }
    return { stroke: path, fill: path };
  };
}

/** Tells in the caption what the pointer is on. */
function cursorHook(id, read) {
  const line = $(id).querySelector(".read");
  const rest = line.textContent;
  return { setCursor: [(u) => { line.textContent = u.cursor.idx == null || u.cursor.left < 0 ? rest : read(u.cursor.idx); }] };
}

function rule(u, x, colour) {
  const at = u.valToPos(x, "x", true);
  u.ctx.save();
  u.ctx.strokeStyle = colour;
  u.ctx.lineWidth = 2 * devicePixelRatio;
  u.ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
  u.ctx.beginPath();
  u.ctx.moveTo(at, u.bbox.top);
  u.ctx.lineTo(at, u.bbox.top + u.bbox.height);
  u.ctx.stroke();
  u.ctx.restore();
}

function groupChart(groups) {
  if (!groups.length) return chart("chart-groups", null);
  const places = groups.map((_, i) => i + 1);
  const column = (n) => groups.map((row) => row[n]);
  const edge = (sign) => groups.map(([, mean, deviation, low, high]) => Math.min(Math.max(mean + sign * deviation, low), high));
  chart("chart-groups", [places, column(1), edge(-1), edge(1)], (c) => ({
    scales: { x: { time: false, range: [0.5, groups.length + 0.5] }, y: { range: (u, low, high) => [Math.min(low, 0), Math.max(high, 1) * 1.04] } },
    axes: axes(c, { x: { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] } }),
    series: [
      {},
      { stroke: c.accent, width: 2, points: { show: groups.length <= 60, size: 6, fill: c.accent } },
      { stroke: "transparent", points: { show: false } },
      { stroke: "transparent", points: { show: false } },
    ],
    bands: [{ series: [3, 2], fill: c.accentSoft }],
    hooks: cursorHook("chart-groups", (i) => {
      const [group, mean, deviation, low, high] = groups[i];
      return `group ${group}: mean ${number(mean)}, deviation ${number(deviation)}, ${number(low)} to ${number(high)}`;
    }),
  }), (i) => filterTo({ group: groups[i][0] }));
}

function passChart(passes) {
  if (!passes.length) return chart("chart-passes", null);
  const places = passes.map((_, i) => i);
  const column = (n) => passes.map((row) => row[n]);
  const line = (stroke) => ({ stroke, width: 2, points: { show: true, size: 6, fill: stroke } });
  const edge = { stroke: "transparent", points: { show: false } };
  chart("chart-passes", [places, ...[1, 2, 3, 4, 5, 6].map(column)], (c) => ({
    scales: { x: { time: false, range: [-0.3, passes.length - 0.7] }, y: { range: [0, 1.04] } },
    axes: axes(c, {
      x: { splits: () => places, values: () => passes.map((row) => `k = ${row[0]}`) },
      y: { values: (u, values) => values.map((v) => `${Math.round(v * 100)} %`) },
    }),
    series: [{}, line(c.accent), edge, edge, line(c.second), edge, edge],
    bands: [{ series: [3, 2], fill: c.accentSoft }, { series: [6, 5], fill: c.secondSoft }],
    hooks: cursorHook("chart-passes", (i) => {
      const [k, at, , , hat] = passes[i];
      return `pass@${k} ${number(at * 100)} %, pass^${k} ${number(hat * 100)} %`;
    }),
  }));
}

function drawCharts(data) {
  const half = data.rewards ? data.rewards.width / 2 : 0;
  const round = (value) => Number(value.toPrecision(6));
  histogram("chart-rewards", data.rewards, {
    name: "reward",
    click: (i) => filterTo({ low: round(data.rewards.middles[i] - half), high: round(data.rewards.middles[i] + half) }),
  });
  groupChart(data.groups);
  passChart(data.passes);
  histogram("chart-turns", data.turns, { name: "turns", whole: true });
  histogram("chart-seconds", data.seconds, { name: "s", limit: data.timeout });
  histogram("chart-tokens", data.tokens, { name: "tokens", whole: true });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => CHARTS.forEach((draw) => draw()));
}
