/** What to type in each application: data, but for the address, the key and the model. */
import type { Words } from "../shared/language.ts";

export interface Server {
  /** Without `/v1`. */
  readonly address: string;
  /** The key, or what stands for it. */
  readonly key: string;
  readonly model: string;
  /** Whether a real key is in `key`: a link that sets an application up would else set up nothing. */
  readonly hasKey: boolean;
}

export interface Snippet {
  /** Where it goes. */
  readonly where: Words;
  readonly language: string;
  readonly code: string;
}

export interface Recipe {
  readonly id: string;
  readonly name: string;
  readonly kind: "code" | "agent" | "chat";
  /** The route that the application calls, without `/v1`. */
  readonly route: "/chat/completions" | "/messages" | "/responses";
  readonly notes?: readonly Words[];
  snippets(server: Server): readonly Snippet[];
  /** A link by which the application sets itself up. It holds the key, so it is made on a click only. */
  link?(server: Server): { readonly words: Words; readonly href: string };
}

const terminal: Words = ["In a terminal", "在终端中"];

/** Fields of a form, one a line. */
const form = (lines: readonly (readonly [name: string, value: string])[]): string =>
  lines
    .map(([name, value]) => `${name.padEnd(Math.max(...lines.map(([each]) => each.length)))}   ${value}`)
    .join("\n");

/** From inside a container, this machine has another name. */
const fromDocker = (address: string): string =>
  address.replace(/\/\/(localhost|127\.0\.0\.1|\[::1\])(?=[:/]|$)/, "//host.docker.internal");

const text = (value: string): string => JSON.stringify(value);
/** A text for a POSIX shell. */
const shell = (value: string): string =>
  /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
const base64 = (value: string): string =>
  btoa(Array.from(new TextEncoder().encode(value), (byte) => String.fromCharCode(byte)).join(""));

export const recipes: readonly Recipe[] = [
  {
    id: "curl",
    name: "curl",
    kind: "code",
    route: "/chat/completions",
    snippets: ({ address, key, model }) => [
      {
        where: terminal,
        language: "sh",
        code: `curl -N ${shell(`${address}/v1/chat/completions`)} \\
  -H ${shell(`Authorization: Bearer ${key}`)} \\
  -H 'Content-Type: application/json' \\
  -d ${shell(JSON.stringify({ model, messages: [{ role: "user", content: "Hello!" }], stream: true }))}`,
      },
    ],
  },
  {
    id: "python",
    name: "Python",
    kind: "code",
    route: "/chat/completions",
    snippets: ({ address, key, model }) => [
      { where: terminal, language: "sh", code: "pip install openai" },
      {
        where: ["In a file such as chat.py", "在文件中，例如 chat.py"],
        language: "python",
        code: `from openai import OpenAI

client = OpenAI(base_url=${text(`${address}/v1`)}, api_key=${text(key)})
stream = client.chat.completions.create(
    model=${text(model)},
    messages=[{"role": "user", "content": "Hello!"}],
    stream=True,
)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)`,
      },
    ],
  },
  {
    id: "javascript",
    name: "JavaScript",
    kind: "code",
    route: "/chat/completions",
    snippets: ({ address, key, model }) => [
      { where: terminal, language: "sh", code: "npm install openai" },
      {
        where: ["In a file such as chat.mjs", "在文件中，例如 chat.mjs"],
        language: "js",
        code: `import OpenAI from "openai";

const client = new OpenAI({ baseURL: ${text(`${address}/v1`)}, apiKey: ${text(key)} });
const stream = await client.chat.completions.create({
  model: ${text(model)},
  messages: [{ role: "user", content: "Hello!" }],
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? "");`,
      },
    ],
  },
  {
    id: "ai-sdk",
    name: "AI SDK",
    kind: "code",
    route: "/chat/completions",
    snippets: ({ address, key, model }) => [
      { where: terminal, language: "sh", code: "npm install ai @ai-sdk/openai-compatible" },
      {
        where: ["In a file such as chat.mjs", "在文件中，例如 chat.mjs"],
        language: "js",
        code: `import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { streamText } from "ai";

const gateway = createOpenAICompatible({
  name: "gateway",
  baseURL: ${text(`${address}/v1`)},
  apiKey: ${text(key)},
});
const { textStream } = streamText({ model: gateway(${text(model)}), prompt: "Hello!" });
for await (const text of textStream) process.stdout.write(text);`,
      },
    ],
  },
  {
    id: "langchain",
    name: "LangChain",
    kind: "code",
    route: "/chat/completions",
    snippets: ({ address, key, model }) => [
      { where: terminal, language: "sh", code: "pip install langchain-openai" },
      {
        where: ["In a file such as chat.py", "在文件中，例如 chat.py"],
        language: "python",
        code: `from langchain_openai import ChatOpenAI

chat = ChatOpenAI(model=${text(model)}, base_url=${text(`${address}/v1`)}, api_key=${text(key)})
for chunk in chat.stream("Hello!"):
    print(chunk.content, end="", flush=True)`,
      },
    ],
  },
  {
    id: "claude-code",
    name: "Claude Code",
    kind: "agent",
    route: "/messages",
    notes: [
      [
        "It sends some 48 KB before the first word and calls tools: choose a model of an upstream that can do both. The chat site can't.",
        "它在第一句话之前就会发送约 48 KB 并调用工具：请选择能胜任的上游模型，聊天站点不行。",
      ],
    ],
    snippets: ({ address, key, model }) => [
      {
        where: terminal,
        language: "sh",
        code: `export ANTHROPIC_BASE_URL=${shell(address)}
export ANTHROPIC_AUTH_TOKEN=${shell(key)}
export ANTHROPIC_MODEL=${shell(model)}
export ANTHROPIC_DEFAULT_HAIKU_MODEL=${shell(model)}
claude`,
      },
    ],
  },
  {
    id: "codex",
    name: "Codex",
    kind: "agent",
    route: "/responses",
    notes: [
      [
        "Its first request has 27,000 characters: choose a model of an upstream that takes them. The chat site can't.",
        "它的第一个请求就有 27,000 个字符：请选择能接收的上游模型，聊天站点不行。",
      ],
    ],
    snippets: ({ address, key, model }) => [
      {
        where: ["In ~/.codex/config.toml", "在 ~/.codex/config.toml 中"],
        language: "toml",
        code: `model = ${text(model)}
model_provider = "gateway"

[model_providers.gateway]
name = "gateway"
base_url = ${text(`${address}/v1`)}
env_key = "GATEWAY_KEY"
wire_api = "responses"`,
      },
      { where: terminal, language: "sh", code: `export GATEWAY_KEY=${shell(key)}\ncodex` },
    ],
  },
  {
    id: "open-webui",
    name: "Open WebUI",
    kind: "chat",
    route: "/chat/completions",
    notes: [
      [
        "Turn off title, tag and follow-up generation in its settings: each is a request of its own to the model.",
        "请在其设置中关闭标题、标签和追问生成：每一项都是一次额外请求。",
      ],
    ],
    snippets: ({ address, key }) => [
      {
        where: [
          "With Docker: a server on the same machine is host.docker.internal there",
          "用 Docker：同一台机器上的服务器在容器内是 host.docker.internal",
        ],
        language: "sh",
        code: `docker run -d -p 3000:8080 --add-host=host.docker.internal:host-gateway \\
  -e OPENAI_API_BASE_URL=${shell(`${fromDocker(address)}/v1`)} \\
  -e OPENAI_API_KEY=${shell(key)} \\
  -v open-webui:/app/backend/data ghcr.io/open-webui/open-webui:main`,
      },
      {
        where: [
          "Or: Admin Panel → Settings → Connections → OpenAI API",
          "或：管理员面板 → 设置 → 外部连接 → OpenAI API",
        ],
        language: "",
        code: form([
          ["URL", `${address}/v1`],
          ["API key", key],
        ]),
      },
    ],
  },
  {
    id: "librechat",
    name: "LibreChat",
    kind: "chat",
    route: "/chat/completions",
    notes: [
      [
        "dropParams keeps its chats apart: it sends the same user in all of them.",
        "dropParams 用来区分不同对话：它在所有对话里发送同一个 user。",
      ],
    ],
    snippets: ({ address, key, model }) => [
      {
        where: ["In librechat.yaml", "在 librechat.yaml 中"],
        language: "yaml",
        code: `version: 1.2.1
endpoints:
  custom:
    - name: "Gateway"
      apiKey: ${text(key)}
      baseURL: ${text(`${fromDocker(address)}/v1`)}
      models:
        default: [${text(model)}]
        fetch: true
      titleConvo: false
      dropParams: ["user"]`,
      },
    ],
  },
  {
    id: "nextchat",
    name: "NextChat",
    kind: "chat",
    route: "/chat/completions",
    snippets: ({ address, key, model }) => [
      {
        where: ["Settings → Custom Endpoint", "设置 → 自定义接口"],
        language: "",
        code: form([
          ["Endpoint", address],
          ["API Key", key],
          ["Custom Model", model],
        ]),
      },
      {
        where: ["Or run it yourself", "或自行部署"],
        language: "sh",
        code: `docker run -d -p 3000:3000 -e BASE_URL=${shell(fromDocker(address))} \\
  -e OPENAI_API_KEY=${shell(key)} -e CUSTOM_MODELS=${shell(`-all,+${model}`)} yidadaa/chatgpt-next-web`,
      },
    ],
    link: ({ address, key }) => ({
      words: ["Open in NextChat", "在 NextChat 中打开"],
      href: `https://app.nextchat.dev/#/?settings=${encodeURIComponent(JSON.stringify({ key, url: address }))}`,
    }),
  },
  {
    id: "cherry-studio",
    name: "Cherry Studio",
    kind: "chat",
    route: "/chat/completions",
    snippets: ({ address, key, model }) => [
      {
        where: ["Settings → Model Provider → Add, type OpenAI", "设置 → 模型服务 → 添加，类型 OpenAI"],
        language: "",
        code: form([
          ["API Host", address],
          ["API Key", key],
          ["Model", model],
        ]),
      },
    ],
    link: ({ address, key }) => ({
      words: ["Add to Cherry Studio", "添加到 Cherry Studio"],
      href: `cherrystudio://providers/api-keys?v=1&data=${encodeURIComponent(
        base64(
          JSON.stringify({
            id: "kimi-ai-2api",
            name: "kimi-ai-2api",
            type: "openai",
            baseUrl: address,
            apiKey: key,
          }),
        ),
      )}`,
    }),
  },
  {
    id: "sillytavern",
    name: "SillyTavern",
    kind: "chat",
    route: "/chat/completions",
    notes: [
      [
        "Character cards are long and the site takes 1,000 characters at a time: keep them short, or choose a model of another upstream.",
        "角色卡很长，而站点每次只接收 1,000 个字符：请保持简短，或选择其他上游的模型。",
      ],
    ],
    snippets: ({ address, key, model }) => [
      {
        where: [
          "API Connections → Chat Completion → Custom (OpenAI-compatible)",
          "API 连接 → 聊天补全 → 自定义（兼容 OpenAI）",
        ],
        language: "",
        code: form([
          ["Custom Endpoint (Base URL)", `${address}/v1`],
          ["Custom API Key", key],
          ["Enter a Model ID", model],
        ]),
      },
    ],
  },
  {
    id: "chatbox",
    name: "Chatbox",
    kind: "chat",
    route: "/chat/completions",
    snippets: ({ address, key, model }) => [
      {
        where: [
          "Settings → Model Provider → Add, OpenAI API Compatible",
          "设置 → 模型提供方 → 添加，OpenAI API 兼容",
        ],
        language: "",
        code: form([
          ["API Host", `${address}/v1`],
          ["API Path", "/chat/completions"],
          ["API Key", key],
          ["Model", model],
        ]),
      },
    ],
  },
  {
    id: "vs-code",
    name: "VS Code",
    kind: "agent",
    route: "/chat/completions",
    notes: [
      [
        "By the Continue extension. An assistant for code sends long prompts: choose a model of an upstream that takes them.",
        "通过 Continue 扩展。编程助手会发送很长的提示：请选择能接收的上游模型。",
      ],
    ],
    snippets: ({ address, key, model }) => [
      {
        where: ["In ~/.continue/config.yaml", "在 ~/.continue/config.yaml 中"],
        language: "yaml",
        code: `name: Gateway
version: 1.0.0
schema: v1
models:
  - name: ${text(model)}
    provider: openai
    model: ${text(model)}
    apiBase: ${text(`${address}/v1`)}
    apiKey: ${text(key)}
    roles: [chat, edit]`,
      },
    ],
  },
];
