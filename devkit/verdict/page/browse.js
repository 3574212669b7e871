"use strict";
// The list of rollouts: filter, search, keyboard, address.

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
    const facts = make("span", "facts", `group ${row.group}, ${row.member} · ${plural(row.turns, "turn")} · ${number(row.seconds, 2)} s`);
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
  const started = ++searching;
  matches = wanted === "" ? null : new Set(all.filter((row) => holds([row.id, row.line], wanted)));
  refresh();
  if (wanted === "") return;
  for (let index = 0; index < blocks.length; index++) {
    const transcripts = await unpack(blocks[index]);
    if (started !== searching) return;
    for (const row of all) {
      if (row.block === index && !matches.has(row) && holds(transcripts[row.place], wanted)) matches.add(row);
    }
    say(`; searched ${Math.round((100 * (index + 1)) / blocks.length)} %`);
  }
  refresh();
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
