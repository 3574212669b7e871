// A two-turn agent with OpenAI's own package for Node, configured by the environment alone.
const OpenAI = require("openai");

const [prompt, mode] = process.argv.slice(2);
const client = new OpenAI(); // with its retries
const tools = [{
  type: "function",
  function: { name: "double", parameters: { type: "object", properties: { number: { type: "integer" } } } },
}];

async function main() {
  const messages = [{ role: "user", content: prompt }];
  const first = await client.chat.completions.create({ model: "policy", messages, tools });
  const [call] = first.choices[0].message.tool_calls;
  const { number } = JSON.parse(call.function.arguments);
  messages.push(first.choices[0].message);
  messages.push({ role: "tool", tool_call_id: call.id, content: `twice ${2 * number}` });
  if (mode !== "stream") {
    const last = await client.chat.completions.create({ model: "policy", messages });
    return last.choices[0].message.content;
  }
  let text = "";
  const told = await client.chat.completions.create({ model: "policy", messages, stream: true });
  for await (const chunk of told) text += chunk.choices[0].delta.content ?? "";
  return text;
}

main().then(
  (text) => process.stdout.write(text),
  (error) => {
    process.stdout.write(JSON.stringify({ name: error.constructor.name, status: error.status, code: error.code }));
    process.exit(mode === "quiet" ? 0 : 3);
  },
);
