/** Started servers of the three runtimes, before a hostile upstream, for suites that attack them. */
import { afterAll, beforeAll, describe } from "bun:test";
import { type OpenAiUpstream, startOpenAiUpstream } from "../../fakes/openai-upstream.ts";
import { type Server, startServer } from "../../support/start-server.ts";
import { built, deno } from "../platforms/support/built.ts";

export type Runtime = "Bun" | "Node" | "Deno";

const commands: Readonly<Record<Runtime, () => Promise<readonly [string, ...string[]]>>> = {
  Bun: async () => [process.execPath, "--no-env-file", "adapters/bun.ts"],
  Node: async () => ["node", await built("library")],
  Deno: async () => [deno, "run", "-A", "adapters/deno.ts"],
};

export interface AttackedServer {
  readonly url: string;
  readonly server: Server;
  readonly upstream: OpenAiUpstream;
  get(path: string, headers?: Readonly<Record<string, string>>): Promise<Response>;
  chat(body?: object, headers?: Readonly<Record<string, string>>): Promise<Response>;
  close(): Promise<void>;
  /** The log's lines so far, parsed. */
  // biome-ignore lint/suspicious/noExplicitAny: what was logged is for tests to look at
  log(): any[];
}

/** The command that starts a runtime's server. */
export const commandOf = (runtime: Runtime) => commands[runtime]();

export const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

/** Starts a server whose only upstream is a stand-in. */
export async function attackedServer(
  runtime: Runtime,
  env: Readonly<Record<string, string>> = {},
): Promise<AttackedServer> {
  const upstream = await startOpenAiUpstream();
  const server = await startServer({
    command: await commandOf(runtime),
    env: {
      KIMI_WEB: "off",
      OPENAI_BASE_URL: upstream.baseUrl,
      OPENAI_MODELS: "echo,reasoner",
      SESSION_STORE: "memory",
      DENO_NO_UPDATE_CHECK: "1",
      ...env,
    },
  });
  // Everywhere can't be called on every machine.
  const url = server.url.replace("0.0.0.0", "127.0.0.1");
  return {
    url,
    server,
    upstream,
    async close() {
      await server.stop();
      upstream.close();
    },
    get: (path, headers = {}) => fetch(url + path, { headers }),
    chat: (body = {}, headers = {}) =>
      fetch(`${url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify({ model: "echo", messages: [{ role: "user", content: "Hello" }], ...body }),
      }),
    log: () =>
      server
        .output()
        .split("\n")
        .filter((line) => line.startsWith("{"))
        .map((line) => JSON.parse(line)),
  };
}

/** One suite for all three. */
export const onEveryRuntime = (name: string, suite: (runtime: Runtime) => void): void => {
  describe.each(["Bun", "Node", "Deno"] as const)(`${name}, on %s`, suite);
};

/** One suite for all three, each with a server of its own; `attacked` has it once the tests run. */
export function attackOnEveryRuntime(
  name: string,
  env: Readonly<Record<string, string>>,
  suite: (attacked: AttackedServer) => void,
): void {
  onEveryRuntime(name, (runtime) => {
    const attacked = {} as AttackedServer;
    beforeAll(async () => {
      Object.assign(attacked, await attackedServer(runtime, env));
    }, 60_000);
    afterAll(() => attacked.close());
    suite(attacked);
  });
}
