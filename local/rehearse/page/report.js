"use strict";
// Whatever a model or a user wrote reaches the page as textContent only.

const $ = (id) => document.getElementById(id);

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

async function unpack(element) {
  const bytes = Uint8Array.from(atob(element.textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

const number = (value, digits = 3) =>
  Number.isInteger(value) ? value.toLocaleString("en") : Number(value.toPrecision(digits)).toLocaleString("en", { maximumFractionDigits: 6 });
const rewardText = (reward) => (reward === null ? "none" : number(reward));

// --- charts -----------------------------------------------------------------------------------------

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

// --- the list ---------------------------------------------------------------------------------------

const FIELDS = ["id", "group", "member", "reward", "status", "turns", "seconds", "tokens", "truncated", "text", "unsampled", "line", "block", "place"];
const PAGE = 200;
const SORTS = {
  group: (a, b) => a.group - b.group || a.member - b.member,
  worst: (a, b) => (a.reward ?? -Infinity) - (b.reward ?? -Infinity),
  best: (a, b) => (b.reward ?? -Infinity) - (a.reward ?? -Infinity),
  slow: (a, b) => b.seconds - a.seconds,
  turns: (a, b) => b.turns - a.turns,
  tokens: (a, b) => b.tokens - a.tokens,
};
let all = [], shown = [], listed = 0, current = null, passMark = 1, matches = null, searching = 0;

function kindFits(row, kind) {
  const passed = row.reward !== null && row.reward >= passMark;
  return { "": true, passed, short: !passed, failed: row.status === "failed" }[kind] ?? row[kind];
}

function fits(row) {
  const value = (id) => ($(id).value === "" ? null : Number($(id).value));
  const [group, low, high] = [value("group"), value("low"), value("high")];
  return (group === null || row.group === group) && (low === null || (row.reward !== null && row.reward >= low)) &&
    (high === null || (row.reward !== null && row.reward <= high)) && kindFits(row, $("kind").value) &&
    (matches === null || matches.has(row));
}

function refresh() {
  shown = all.filter(fits).sort(SORTS[$("sort").value]);
  listed = 0;
  $("list").replaceChildren();
  addRows(PAGE);
  say();
}

function say(progress = "") {
  const embedded = all.length;
  const total = Number($("index").dataset.rollouts);
  let text = `${shown.length.toLocaleString("en")} of ${embedded.toLocaleString("en")} rollouts`;
  if (embedded < total) text += `; ${(total - embedded).toLocaleString("en")} more are not embedded, see ${$("index").dataset.file}`;
  $("count").textContent = text + progress;
}

function addRows(count) {
  const rows = shown.slice(listed, listed + count).map((row) => {
    const link = make("a", "row");
    link.href = `#rollout=${encodeURIComponent(row.id)}`;
    link.dataset.id = row.id;
    const passed = row.reward !== null && row.reward >= passMark;
    link.append(make("span", `reward ${row.status === "failed" ? "failed" : passed ? "passed" : ""}`, row.status === "failed" ? "failed" : rewardText(row.reward)));
    const facts = make("span", "facts", `group ${row.group}, ${row.member} · ${row.turns} turn${row.turns === 1 ? "" : "s"} · ${number(row.seconds, 2)} s`);
    for (const [flag, text] of [["truncated", "cut off"], ["text", "text call"], ["unsampled", "not sampled"]]) {
      if (row[flag]) facts.append(make("span", "flag", ` · ${text}`));
    }
    link.append(facts, make("span", "line", row.line));
    if (current === row.id) link.setAttribute("aria-current", "true");
    const item = make("li");
    item.append(link);
    return item;
  });
  listed += rows.length;
  $("list").append(...rows);
  $("more").hidden = listed >= shown.length;
}

function filterTo({ group = "", low = "", high = "" }) {
  Object.assign($("group"), { value: group });
  Object.assign($("low"), { value: low });
  Object.assign($("high"), { value: high });
  refresh();
  $("rollouts").scrollIntoView();
}

// --- transcripts ------------------------------------------------------------------------------------

const blocks = [...document.querySelectorAll("script[data-block]")];
const unpacked = new Map();

/** A block's transcripts; the last few are kept unpacked. */
async function block(index) {
  const found = unpacked.get(index) ?? unpack(blocks[index]);
  unpacked.delete(index);
  unpacked.set(index, found);
  if (unpacked.size > 8) unpacked.delete(unpacked.keys().next().value);
  return found;
}

function holds(value, wanted) {
  if (typeof value === "string") return value.toLowerCase().includes(wanted);
  if (value && typeof value === "object") return Object.values(value).some((item) => holds(item, wanted));
  return false;
}

/** Look for a text in every transcript, block by block; a newer search ends an older one. */
async function search() {
  const wanted = $("search").value.trim().toLowerCase();
  const mine = ++searching;
  matches = wanted === "" ? null : new Set(all.filter((row) => holds([row.id, row.line], wanted)));
  refresh();
  if (wanted === "") return;
  for (let index = 0; index < blocks.length; index++) {
    const transcripts = await unpack(blocks[index]);
    if (mine !== searching) return;
    for (const row of all) {
      if (row.block === index && !matches.has(row) && holds(transcripts[row.place], wanted)) matches.add(row);
    }
    say(`; searched ${Math.round((100 * (index + 1)) / blocks.length)} %`);
  }
  refresh();
}

function fold(summary, value, open = false) {
  const details = make("details");
  details.open = open;
  const head = make("summary");
  head.append(...summary);
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  details.append(head, make("pre", "", text));
  return details;
}

function contentOf(message) {
  const content = message.content;
  if (content === null || content === undefined) return "";
  if (typeof content === "string") return content;
  if (Array.isArray(content) && content.every((part) => part?.type === "text")) return content.map((part) => part.text).join("\n");
  return JSON.stringify(content, null, 2);
}

const oneLine = (text) => (text.length > 110 ? `${text.slice(0, 110)}…` : text).replaceAll("\n", " ");

function callLine(call) {
  const name = String(call?.function?.name ?? "?");
  const given = call?.function?.arguments ?? "";
  const text = typeof given === "string" ? given : JSON.stringify(given);
  let value = text;
  try { value = JSON.parse(text); } catch { /* shown as it was written */ }
  return fold([make("span", "", "calls "), make("code", "", `${name}(${oneLine(text)})`)], value);
}

function messageNode(message, called) {
  const role = String(message.role ?? "?");
  const node = make("div", "message");
  if (role === "assistant") node.classList.add("assistant");
  node.append(make("span", "role", role));
  const body = make("div", "body");
  node.append(body);
  const text = contentOf(message);
  for (const field of ["reasoning_content", "reasoning"]) {
    if (message[field]) body.append(fold([make("span", "", `thinks: ${oneLine(String(message[field]))}`)], message[field]));
  }
  if (role === "tool") {
    const name = called.get(message.tool_call_id);
    body.append(fold([make("span", "", name ? `${name} answers ` : "answer "), make("code", "", oneLine(text))], text));
  } else if (role === "system" || role === "developer") {
    body.append(fold([make("span", "", oneLine(text))], text));
  } else if (text) {
    body.append(make("div", "text", text));
  }
  for (const call of Array.isArray(message.tool_calls) ? message.tool_calls : []) {
    called.set(call?.id, call?.function?.name);
    body.append(callLine(call));
  }
  if (!body.childNodes.length) body.append(make("div", "text", "(empty)"));
  return node;
}

function turnNodes(turn, index, before, called) {
  const head = make("div", "turn");
  const usage = turn.usage ?? {};
  const parts = [`turn ${index + 1}`];
  if (usage.prompt_tokens !== undefined) parts.push(`${number(usage.prompt_tokens)} tokens read`);
  if (usage.completion_tokens !== undefined) parts.push(`${number(usage.completion_tokens)} sampled`);
  if (turn.seconds !== null && turn.seconds !== undefined) parts.push(`${number(turn.seconds, 2)} s`);
  head.append(make("span", "", parts.join(" · ")));
  if (turn.finish_reason === "length") head.append(make("span", "flag", "cut off by max_tokens"));
  const nodes = [head];
  if (index > 0 && turn.known < before) nodes.push(make("p", "summary", `The conversation was changed: it goes on from message ${turn.known}.`));
  if (turn.params) {
    const tools = (Array.isArray(turn.params.tools) ? turn.params.tools : []).map((tool) => tool?.function?.name ?? "?");
    const line = tools.length ? `request: tools ${tools.join(", ")}` : "request";
    if (Object.keys(turn.params).length) nodes.push(fold([make("span", "", line)], turn.params));
  }
  // The reply of the turn before stands there already.
  const added = turn.messages.filter((message, place) => !(index > 0 && place === 0 && message.role === "assistant"));
  for (const message of [...added, turn.message]) nodes.push(messageNode(message, called));
  return nodes;
}

function transcriptNodes(row, record) {
  const head = make("div", "head");
  head.append(make("h3", "", record.trajectory_id));
  const passed = record.reward !== null && record.reward >= passMark;
  head.append(make("span", `reward ${record.reward === null ? "failed" : passed ? "passed" : ""}`, record.reward === null ? "failed" : `reward ${rewardText(record.reward)}`));
  const summary = make("p", "summary");
  const group = make("button", "", `group ${record.group}`);
  group.type = "button";
  group.addEventListener("click", () => filterTo({ group: record.group }));
  summary.append(group, ` · member ${record.member} · ${record.turns.length} turns · ${number(row.tokens)} tokens sampled · ${number(record.seconds)} s`);
  const nodes = [head, summary];
  if (record.error) {
    const box = make("div", "error");
    box.append(make("b", "", `${record.error.boundary ?? ""}: ${record.error.title ?? "failed"}`), make("div", "", record.error.detail ?? ""));
    nodes.push(box);
  }
  const facts = make("div", "facts-list");
  facts.append(fold([make("span", "", `problem ${oneLine(JSON.stringify(record.instance))}`)], record.instance));
  if (Object.keys(record.metrics).length) {
    facts.append(fold([make("span", "", `metrics ${Object.entries(record.metrics).map(([k, v]) => `${k} ${number(v)}`).join(", ")}`)], record.metrics));
  }
  if (record.output !== null) facts.append(fold([make("span", "", `output ${oneLine(JSON.stringify(record.output))}`)], record.output));
  if (record.rewards && record.rewards.length > 1) facts.append(fold([make("span", "", "rewards by turn")], record.rewards));
  if (record.reports.length) facts.append(fold([make("span", "", `reports ${record.reports.join(", ")}`)], record.reports));
  nodes.push(facts);
  const called = new Map();
  let length = 0;
  record.turns.forEach((turn, index) => {
    nodes.push(...turnNodes(turn, index, length, called));
    length = turn.known + turn.messages.length;
  });
  if (!record.turns.length) nodes.push(make("p", "empty", "No turn was recorded."));
  return nodes;
}

async function open(id, { scroll = true } = {}) {
  const row = all.find((each) => each.id === id);
  const article = $("transcript");
  current = id;
  for (const link of $("list").querySelectorAll(".row")) link.toggleAttribute("aria-current", false);
  if (!row) {
    article.replaceChildren(make("p", "empty", `Rollout ${id} is not in this page.`));
    return;
  }
  while (listed < shown.length && !linkOf(id) && shown.includes(row)) addRows(PAGE);
  const link = linkOf(id);
  link?.setAttribute("aria-current", "true");
  link?.scrollIntoView({ block: "nearest" });
  const record = (await block(row.block))[row.place];
  if (current !== id) return;
  article.replaceChildren(...transcriptNodes(row, record));
  article.scrollTop = 0;
  if (scroll && matchMedia("(max-width: 760px)").matches) article.scrollIntoView();
}

const linkOf = (id) => $("list").querySelector(`.row[data-id="${CSS.escape(id)}"]`);

function fromAddress() {
  const found = /^#rollout=(.+)$/.exec(location.hash);
  if (!found) return false;
  let id = found[1];
  try { id = decodeURIComponent(id); } catch { /* as it stands */ }
  open(id);
  $("rollouts").scrollIntoView();
  return true;
}

function step(by) {
  const at = shown.findIndex((row) => row.id === current);
  const next = shown[at < 0 ? 0 : Math.min(Math.max(at + by, 0), shown.length - 1)];
  if (!next) return;
  history.replaceState(null, "", `#rollout=${encodeURIComponent(next.id)}`);
  open(next.id, { scroll: false });
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1);
  else if (event.key === "/") $("search").focus();
  else if (event.key === "e") {
    const all = [...$("transcript").querySelectorAll("details")];
    const unfold = all.some((each) => !each.open);
    for (const each of all) each.open = unfold;
  } else return;
  event.preventDefault();
}

async function start() {
  passMark = Number($("index").dataset.pass);
  const [rows, data] = await Promise.all([unpack($("index")), unpack($("charts"))]);
  all = rows.map((values) => Object.fromEntries(FIELDS.map((field, i) => [field, values[i]])));
  drawCharts(data);
  refresh();
  const form = document.querySelector(".filter");
  let typing = 0;
  form.addEventListener("input", (event) => {
    if (event.target.id !== "search") return refresh();
    clearTimeout(typing);
    typing = setTimeout(search, 150);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(search));
  $("more").addEventListener("click", () => addRows(PAGE));
  addEventListener("hashchange", fromAddress);
  addEventListener("keydown", keys);
  if (!fromAddress() && shown.length) open(shown[0].id, { scroll: false });
  document.documentElement.dataset.started = "true";
}

start();
