/** Upstash's REST API in front of a real Redis: https://upstash.com/docs/redis/features/restapi */

export interface UpstashBridge {
  readonly url: string;
  readonly token: string;
  /** Commands answered so far, by name. */
  readonly commands: ReadonlyMap<string, number>;
  [Symbol.asyncDispose](): Promise<void>;
}

type Outcome = { readonly result: unknown } | { readonly error: string };

/** Starts the API on a free port; runs under Bun. */
export async function upstashBridge(redisUrl: string, token = "bridge-token"): Promise<UpstashBridge> {
  // A command that has failed must not be carried out later.
  const redis = new Bun.RedisClient(redisUrl, { enableOfflineQueue: false });
  await redis.connect();
  const commands = new Map<string, number>();

  const run = async (command: readonly unknown[]): Promise<Outcome> => {
    const [name = "", ...args] = command.map(String);
    commands.set(name, (commands.get(name) ?? 0) + 1);
    try {
      return { result: await redis.send(name, args) };
    } catch (error) {
      // The real one repeats the command, and with it what was to be stored.
      return { error: `${(error as Error).message}, command was: ${JSON.stringify(command)}` };
    }
  };

  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      if (request.headers.get("authorization") !== `Bearer ${token}`)
        return Response.json({ error: "WRONGPASS invalid or missing auth token" }, { status: 401 });
      const body: unknown = await request.json();
      if (!Array.isArray(body))
        return Response.json({ error: "ERR failed to parse command" }, { status: 400 });
      if (new URL(request.url).pathname !== "/") return Response.json(await Promise.all(body.map(run)));
      const outcome = await run(body);
      return Response.json(outcome, { status: "error" in outcome ? 400 : 200 });
    },
  });

  return {
    url: server.url.href,
    token,
    commands,
    async [Symbol.asyncDispose]() {
      await server.stop(true);
      redis.close();
    },
  };
}
