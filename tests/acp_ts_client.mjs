// The SDK's client for TypeScript: every message of the agent passes its strict validation. Arguments: the SDK's module, a folder,
// then the agent's command. What happened is printed as JSON.
import { spawn } from "node:child_process";
import { Readable, Writable } from "node:stream";

const [module, cwd, program, ...args] = process.argv.slice(2);
const { client, methods, ndJsonStream } = await import(module);
const agent = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
const stream = ndJsonStream(Writable.toWeb(agent.stdin), Readable.toWeb(agent.stdout));
const seen = { updates: {}, asked: [] };

const told = client({ name: "tests" })
  .onRequest(methods.client.session.requestPermission, ({ params }) => {
    seen.asked.push(params.toolCall.title);
    const allow = params.options.find((option) => option.kind === "allow_once");
    return { outcome: { outcome: "selected", optionId: allow.optionId } };
  })
  .onNotification(methods.client.session.update, ({ params }) => {
    const kind = params.update.sessionUpdate;
    seen.updates[kind] = (seen.updates[kind] ?? 0) + 1;
  });

await told.connectWith(stream, async (context) => {
  const capabilities = { session: { notices: {}, compaction: {} }, elicitation: { form: {} } };
  seen.hello = await context.request(methods.agent.initialize, { protocolVersion: 1, clientCapabilities: capabilities });
  const session = await context.request(methods.agent.session.new, { cwd, mcpServers: [] });
  const prompt = [{ type: "text", text: "Go." }];
  seen.answer = await context.request(methods.agent.session.prompt, { sessionId: session.sessionId, prompt });
  seen.options = (await context.request(methods.agent.session.setConfigOption,
    { sessionId: session.sessionId, configId: "mode", value: "plan" })).configOptions.length;
  seen.listed = (await context.request(methods.agent.session.list, {})).sessions.length;
  await context.request(methods.agent.session.close, { sessionId: session.sessionId });
  await context.request(methods.agent.session.load, { sessionId: session.sessionId, cwd, mcpServers: [] });
  await context.request(methods.agent.session.delete, { sessionId: session.sessionId });
});
process.stdout.write(JSON.stringify(seen));
agent.stdin.end();
agent.on("exit", (code) => process.exit(code));
