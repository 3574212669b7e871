"use strict";
// One rollout as the nodes that show it.

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
  if (index > 0 && turn.repeated < before) nodes.push(make("p", "summary", `The conversation was changed: it goes on from message ${turn.repeated}.`));
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
  summary.append(group, ` · member ${record.member} · ${plural(record.turns.length, "turn")} · ${number(row.tokens)} tokens sampled · ${number(record.seconds)} s`);
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
    length = turn.repeated + turn.messages.length;
  });
  if (!record.turns.length) nodes.push(make("p", "empty", "No turn was recorded."));
  return nodes;
}
