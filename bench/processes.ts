/** Starts and ends what a benchmark consists of: upstreams, floors, gateways and the load generator. */
import { connect } from "./load/http-connection.ts";
import { requestBytes } from "./load/request-bytes.ts";
import { meterProcess, type ProcessMeter, processFamily } from "./process-meter.ts";

export interface StartedProcess {
  readonly pid: number;
  readonly meter: ProcessMeter;
  stop(): Promise<void>;
}

export interface StartedServer extends StartedProcess {
  readonly origin: string;
}

export const projectFolder = new URL("..", import.meta.url).pathname;

/** Which processor the measured process runs on and which the rest; empty where processes can't be pinned. */
export interface Pinning {
  readonly subject: readonly string[];
  readonly rest: readonly string[];
}

export function pinning(wanted: boolean): Pinning {
  if (!wanted || Bun.which("taskset") === null || navigator.hardwareConcurrency < 2)
    return { subject: [], rest: [] };
  return { subject: ["taskset", "-c", "0"], rest: ["taskset", "-c", "1"] };
}

/**
 * Only what a program needs to run: a setting of the shell (a key, a proxy, a limit of Bun's) would change what is
 * measured.
 */
function environment(settings: Readonly<Record<string, string>>): Record<string, string> {
  const { HOME = "", PATH = "" } = process.env;
  return { HOME, PATH: `${projectFolder}node_modules/.bin:${PATH}`, ...settings };
}

/** Processes still running; the benchmark ends them whatever happens. */
const running = new Set<StartedProcess>();

function track(child: Bun.Subprocess): StartedProcess {
  const started: StartedProcess = {
    pid: child.pid,
    meter: meterProcess(child.pid),
    async stop() {
      running.delete(started);
      // npm and sh pass no signal on, so each is told by itself, the innermost first.
      for (const pid of processFamily(child.pid).reverse()) {
        try {
          process.kill(pid, "SIGKILL");
        } catch {}
      }
      await child.exited;
    },
  };
  running.add(started);
  return started;
}

/** Ends whatever is still running. */
export async function stopAll(): Promise<void> {
  await Promise.all([...running].map((each) => each.stop()));
}

/** Starts a program of this folder that tells its port by IPC. */
export async function startOwn(
  script: string,
  settings: Readonly<Record<string, string>>,
  pin: readonly string[],
): Promise<StartedServer> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const child = Bun.spawn([...pin, process.execPath, `${import.meta.dir}/${script}`], {
    env: environment({ BUN_CONFIG_MAX_HTTP_REQUESTS: "65000", ...settings }),
    stdio: ["ignore", "ignore", "inherit"],
    ipc: (message: { port: number }) => resolve(message.port),
  });
  const started = track(child);
  const gone = child.exited.then((code) => Promise.reject(new Error(`${script} ended with ${code}`)));
  const port = await Promise.race([promise, gone]);
  gone.catch(() => {});
  return { ...started, origin: `http://127.0.0.1:${port}` };
}

/** A server that was started by its command, and how long it took to answer. */
export interface ColdServer extends StartedServer {
  /** Milliseconds from the start of the process to the end of its first answer. */
  readonly firstAnswerMs: number;
}

/** Starts any server by its command and sends it its first request as soon as it listens. */
export async function startServer(
  command: readonly string[],
  settings: Readonly<Record<string, string>>,
  options: { readonly pin: readonly string[]; readonly firstRequest: FirstRequest },
): Promise<ColdServer> {
  const port = freePort();
  const bytes = requestBytes(`127.0.0.1:${port}`, options.firstRequest);
  const startedAt = performance.now();
  const child = Bun.spawn([...options.pin, ...command], {
    cwd: projectFolder,
    env: environment({ HOST: "127.0.0.1", PORT: String(port), ...settings }),
    stdio: ["ignore", "ignore", "inherit"],
  });
  const started = track(child);
  while (performance.now() - startedAt < 20_000) {
    if (child.exitCode !== null) throw new Error(`${command.join(" ")} ended with ${child.exitCode}`);
    try {
      const connection = await connect("127.0.0.1", port);
      const { status } = await connection.request(bytes, { keepBody: false, timeReads: false });
      const firstAnswerMs = performance.now() - startedAt;
      connection.close();
      if (status === 200) return { ...started, origin: `http://127.0.0.1:${port}`, firstAnswerMs };
      throw new Error(`${command.join(" ")} answers ${status}`);
    } catch (error) {
      if ((error as { code?: string }).code !== "ECONNREFUSED") throw error;
      await Bun.sleep(0.5);
    }
  }
  throw new Error(`${command.join(" ")} does not listen`);
}

/** A request; a GET when it has no body. */
export interface FirstRequest {
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** A port that nobody listened on a moment ago. */
export function freePort(): number {
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = probe;
  probe.stop(true);
  return port;
}
