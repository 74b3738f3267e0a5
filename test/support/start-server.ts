/** A gateway as users run it: a process of its own, asked over HTTP. */
import { afterAll } from "bun:test";
import { fileURLToPath } from "node:url";
import { watchGateway } from "./watch-answers.ts";

export interface ServerOptions {
  /** The program and its arguments; by default the Bun adapter. */
  readonly command?: readonly [string, ...string[]];
  /** Settings. Nothing but PATH, HOME and these reaches the process, and no `.env` file either. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** For programs that can't take any free port and tell it: where they will listen. */
  readonly url?: string;
  readonly startTimeoutMs?: number;
  /** Whether what it answers is the gateway's API; by default it is, and is held against the API's document. */
  readonly isGateway?: boolean;
  /** Whether the program only starts the server, as npm does, and does not pass signals on: both are sent them then. */
  readonly isLauncher?: boolean;
}

export interface Server {
  readonly url: string;
  readonly pid: number;
  /** All it has printed so far, stdout and stderr. */
  output(): string;
  /** Sends SIGTERM, unless it has ended by itself, and resolves to its exit code; of a signal's death to 128 + signal. */
  stop(): Promise<number>;
}

const root = fileURLToPath(new URL("../..", import.meta.url));

/** What a program says when it listens: "listens on URL", "Started development server: URL", "Available at URL". */
const announcement = /(?:listen(?:s|ing)|server|available)\b.*?(https?:\/\/[^\s/]+)/i;

const healthIntervalMs = 20;
const stopTimeoutMs = 30_000;

const running = new Set<Server>();

// Runs for failed and timed-out tests too.
afterAll(async () => {
  await Promise.all([...running].map((server) => server.stop()));
});

const isHealthy = (url: string): Promise<boolean> =>
  fetch(`${url}/health`).then(
    ({ ok }) => ok,
    () => false,
  );

/** Starts a gateway and waits until it answers. Throws with its output when it ends or is silent for too long. */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const { command = [process.execPath, "--no-env-file", "adapters/bun.ts"], startTimeoutMs = 60_000 } =
    options;
  const { isLauncher = false, isGateway = true } = options;
  const child = Bun.spawn([...command], {
    cwd: options.cwd ?? root,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, HOST: "127.0.0.1", PORT: "0", ...options.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    detached: isLauncher,
  });
  const send = (signal: "SIGTERM" | "SIGKILL") => {
    // A launcher is the head of a process group of its own.
    if (isLauncher) process.kill(-child.pid, signal);
    else child.kill(signal);
  };
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    void (async () => {
      for await (const text of stream.pipeThrough(new TextDecoderStream())) output += text;
    })();
  }

  let url = options.url ?? "";
  let unwatch = () => {};
  const server: Server = {
    get url() {
      return url;
    },
    pid: child.pid,
    output: () => output,
    async stop() {
      send("SIGTERM");
      const timer = setTimeout(() => send("SIGKILL"), stopTimeoutMs);
      const code = await child.exited;
      clearTimeout(timer);
      running.delete(server);
      unwatch();
      return code;
    },
  };
  running.add(server);

  const deadlineMs = Date.now() + startTimeoutMs;
  while (true) {
    url ||= announcement.exec(output)?.[1] ?? "";
    if (url !== "" && (await isHealthy(url))) {
      if (isGateway) unwatch = watchGateway(url);
      return server;
    }
    const hasEnded = child.exitCode !== null || child.signalCode !== null;
    if (hasEnded || Date.now() > deadlineMs) {
      const code = await server.stop();
      throw new Error(`${command.join(" ")} did not start (exit code ${code}):\n${output}`);
    }
    await Bun.sleep(healthIntervalMs);
  }
}
