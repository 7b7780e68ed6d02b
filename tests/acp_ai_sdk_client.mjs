// A client through the AI SDK: the agent is a model there. Arguments: the modules of the provider and of the SDK, a folder, then the
// agent's command. The parts of the stream are printed as JSON.
const [provider, sdk, cwd, command, ...args] = process.argv.slice(2);
const { createACPProvider } = await import(provider);
const { streamText } = await import(sdk);
const agent = createACPProvider({ command, args, env: process.env, session: { cwd, mcpServers: [] }, authMethodId: "kimi-login" });
const { fullStream } = streamText({ model: agent.languageModel(), prompt: "Go.", tools: agent.tools });
const seen = [];
for await (const part of fullStream) seen.push([part.type, part.text ?? part.finishReason ?? ""]);
process.stdout.write(JSON.stringify(seen) + "\n", () => process.exit(0));
