// Charts, and pages that look again while rollouts run. Everything else works without it.
(() => {
  "use strict";
  const main = document.getElementById("main");
  const status = document.getElementById("status");
  const holder = document.getElementById("charts");
  const seconds = Number(main.dataset.live || 0);
  let plots = [];

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const two = (n) => String(n).padStart(2, "0");

  // --- charts ----------------------------------------------------------------------------------
  const decimals = (digits) => (_, v) => (v == null ? "–" : v.toFixed(digits));
  const percent = (_, v) => (v == null ? "–" : `${(v * 100).toFixed(1)} %`);
  const kinds = {
    reward: { columns: ["mean", "low", "high"], unit: "reward", show: decimals(3) },
    passed: { columns: ["passed"], unit: "share passed", show: percent, range: [0, 1], tick: (v) => `${Math.round(v * 100)} %` },
    turns: { columns: ["turns"], unit: "turns", show: decimals(2), floor: true },
    seconds: { columns: ["seconds"], unit: "seconds", show: decimals(2), floor: true },
  };

  function range(kind) {
    return (_, low, high) => {
      if (kind.range) return kind.range;
      if (low == null) return [0, 1];
      if (kind.floor) return [0, (high || 1) * 1.15];
      const pad = (high - low || Math.abs(high) || 1) * 0.1;
      return [low - pad, high + pad];
    };
  }

  function options(kind, width) {
    const ink = colour("--quiet");
    const grid = { stroke: colour("--line"), width: 1 };
    const axis = { stroke: ink, grid, ticks: grid, font: "11px system-ui, sans-serif", labelFont: "11px system-ui, sans-serif", labelSize: 18 };
    const line = colour("--accent");
    const series = kind.columns.map((name, i) => ({
      label: ["mean", "−1 sd", "+1 sd"][i],
      stroke: i ? colour("--accent-soft") : line,
      width: i ? 1 : 2,
      points: { show: i ? false : undefined, size: 5 },
      spanGaps: true,
      value: kind.show,
    }));
    return {
      width,
      height: 190,
      tzDate: (t) => uPlot.tzDate(new Date(t * 1000), "UTC"),
      cursor: { sync: { key: "job" }, y: false },
      // The latest figures, until the pointer asks for others.
      hooks: { ready: [latest], setCursor: [(u) => { if (u.cursor.idx == null) latest(u); }] },
      scales: { y: { range: range(kind) } },
      axes: [
        { ...axis, label: "time (UTC)", size: 34, space: 76, values: ticks },
        { ...axis, label: kind.unit, size: 52, space: 32, values: kind.tick ? (_, vs) => vs.map(kind.tick) : undefined },
      ],
      series: [{ label: "from", value: (_, v) => (v == null ? "–" : clock(v)) }, ...series],
      bands: kind.columns.length === 3 ? [{ series: [3, 2], fill: colour("--accent-soft") }] : [],
    };
  }

  function latest(plot) {
    plot.setLegend({ idx: plot.data[0].length - 1 });
  }

  // One line of 24-hour UTC per tick, as coarse as the ticks are apart.
  function ticks(_, splits, __, ___, step) {
    return splits.map((t) => {
      const [day, time] = clock(t).split(" ");
      if (step >= 86400) return day;
      return step < 60 ? time : time.slice(0, 5);
    });
  }

  function clock(t) {
    const d = new Date(t * 1000);
    return `${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())} ${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`;
  }

  function draw(data) {
    plots.forEach((plot) => plot.destroy());
    plots = [];
    holder.querySelectorAll("figure").forEach((figure) => {
      const kind = kinds[figure.dataset.chart];
      figure.querySelector(".none")?.remove();
      const columns = [data.time, ...kind.columns.map((name) => data[name])];
      if (!data.time.length) {
        const none = document.createElement("p");
        none.className = "none";
        none.textContent = "No rollout has ended yet.";
        figure.append(none);
        return;
      }
      const width = figure.clientWidth - 30;
      plots.push(new uPlot(options(kind, width), columns, figure));
    });
    holder.dataset.drawn = String(data.time.length);
  }

  let last = null;
  async function chart() {
    if (!holder) return;
    const answer = await fetch(holder.dataset.series);
    if (!answer.ok) throw new Error(String(answer.status));
    const text = await answer.text();
    if (text === last) return;
    last = text;
    draw(JSON.parse(text));
  }

  function redraw() {
    if (last) draw(JSON.parse(last));
  }

  // --- live refresh ----------------------------------------------------------------------------
  async function refresh() {
    const answer = await fetch(location.href);
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const focused = document.activeElement;
    const href = focused?.getAttribute("href");
    document.querySelectorAll("[data-part]").forEach((part) => {
      const fresh = page.getElementById(part.id);
      if (!fresh || fresh.innerHTML === part.innerHTML) return;
      const held = part.contains(focused) ? href : null;
      part.replaceChildren(...fresh.childNodes);
      if (held) [...part.querySelectorAll("a")].find((a) => a.getAttribute("href") === held)?.focus();
    });
    main.dataset.live = page.getElementById("main").dataset.live || "";
  }

  async function again() {
    // A page that nobody looks at, or in which somebody reads an open fold, is left alone.
    if (!document.hidden && !main.querySelector("[data-part] details[open]")) {
      try {
        await Promise.all([refresh(), chart()]);
        const now = new Date();
        status.textContent = `Live, updated ${two(now.getUTCHours())}:${two(now.getUTCMinutes())}:${two(now.getUTCSeconds())} UTC`;
      } catch {
        status.textContent = "Not updated: the console does not answer";
      }
    }
    const pause = Number(main.dataset.live || 0);
    if (pause) setTimeout(again, pause * 1000);
  }

  chart().catch(() => { status.textContent = "The charts cannot be loaded"; });
  if (seconds) setTimeout(again, seconds * 1000);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  let wide = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== wide) { wide = innerWidth; redraw(); } });
})();
