/** What every scenario works with: upstreams, subjects, the load generator, and the list of what went wrong. */
import type { Job, Load, LoadResult } from "./load/jobs.ts";
import { hasWrk, runWrk } from "./load/wrk.ts";
import {
  type ColdServer,
  type FirstRequest,
  type Pinning,
  projectFolder,
  type StartedProcess,
  startOwn,
  startServer,
} from "./processes.ts";
import { replyText, type UpstreamCounts, type UpstreamSettings } from "./upstreams/control.ts";

/** Which upstream is behind the gateway. */
export type Lane = "site" | "openai";

export const lanes: readonly Lane[] = ["site", "openai"];

/** A server that is measured. */
export interface Subject {
  readonly name: "floor" | "gateway" | "other" | "direct";
  readonly origin: string;
  /** Absent for a server that somebody else has started. */
  readonly process?: StartedProcess;
}

/** One that the benchmark has just started. */
export interface FreshSubject extends Subject {
  readonly process: ColdServer;
}

/** How to start a gateway where it isn't as usual. */
export interface Start {
  readonly settings?: Readonly<Record<string, string>>;
  /** Defaults to what `npm start` runs. */
  readonly command?: readonly string[];
  /** Defaults to GET /health. */
  readonly firstRequest?: FirstRequest;
}

export interface Upstream {
  readonly origin: string;
  /** Changes what it answers and sets its counts back. */
  set(settings: Partial<UpstreamSettings>): Promise<void>;
  counts(): Promise<UpstreamCounts>;
}

export interface Options {
  readonly smoke: boolean;
  readonly rounds: number;
  readonly pin: Pinning;
  /** The origin of another gateway to compare, and its key. */
  readonly against?: string;
  readonly key: string;
}

export interface RunOptions {
  readonly load: Load;
  /** Default `/v1/chat/completions`; what other dialects are sent fits both. */
  readonly path?: string;
  /** Default: that of Chat Completions. */
  readonly body?: string;
  readonly stream: boolean;
  readonly timeReads?: boolean;
  readonly rotate?: NonNullable<Job["rotate"]>;
  /** Use wrk where it is installed. */
  readonly plain?: boolean;
}

export interface Measured extends LoadResult {
  /** Microseconds of the subject's processor time for each request. */
  readonly cpuMicrosEach?: number;
}

export interface Bench {
  readonly options: Options;
  /** Wrong answers and failed requests of any scenario; a run with one has failed. */
  readonly problems: string[];
  /** Upstreams by their lane. */
  readonly upstreams: Readonly<Record<Lane, Upstream>>;
  /** A size for a real run, and the small one that does for a test of correctness. */
  size(full: number, smoke: number): number;
  /** The lane's floor, the gateway and whatever is compared with them; started on first use, then shared. */
  subjects(lane: Lane): Promise<readonly Subject[]>;
  startFloor(lane: Lane, start?: Pick<Start, "firstRequest">): Promise<FreshSubject>;
  startGateway(lane: Lane, start?: Start): Promise<FreshSubject>;
  run(subject: Subject, lane: Lane, options: RunOptions): Promise<Measured>;
  /**
   * Warms each subject up by `warmUps` rounds (default 1), then measures them in turns: floor, gateway, floor, gateway …
   */
  interleave<Sample>(
    subjects: readonly Subject[],
    measure: (subject: Subject) => Promise<Sample>,
    options?: { readonly warmUps?: number },
  ): Promise<Map<Subject, Sample[]>>;
}

export const apiKey = "sk-bench";
export const modelOf: Readonly<Record<Lane, string>> = {
  site: "kimi-k2-instruct-0905",
  openai: "bench-model",
};

/** The reply of throughput scenarios: short enough that bytes don't hide the work of each request. */
export const shortReply = { delayMs: 0, gapMs: 0, chunks: 20, chunkChars: 20 };
/** The reply of stream scenarios: 2,000 characters. */
export const longReply = { delayMs: 0, gapMs: 0, chunks: 100, chunkChars: 20 };

const health: FirstRequest = { path: "/health" };

/** A place for every call, since its queue is not what is measured; and no line for each request. */
const gatewaySettings = {
  API_MASTER_KEY: apiKey,
  LOG_LEVEL: "warn",
  UPSTREAM_MAX_CONCURRENCY: "0",
  SESSION_STORE: "memory",
};

const prompt =
  "Write a short letter to a friend who has moved to the sea, and tell what has happened in town since.";

/** The same question after so many turns in which it got this reply. */
export function requestBody(lane: Lane, stream: boolean, turns = 0, reply = ""): string {
  const question = { role: "user", content: prompt };
  const turn = [question, { role: "assistant", content: reply }];
  const messages = [...Array.from({ length: turns }, () => turn).flat(), question];
  return JSON.stringify({ model: modelOf[lane], stream, messages });
}

async function startUpstream(lane: Lane, port: number, pin: Pinning): Promise<Upstream> {
  const { origin } = await startOwn(`upstreams/${lane}.ts`, { PORT: String(port) }, pin.rest);
  return {
    origin,
    async set(settings) {
      await fetch(`${origin}/bench`, { method: "PUT", body: JSON.stringify(settings) });
    },
    counts: async () => (await (await fetch(`${origin}/bench`)).json()) as UpstreamCounts,
  };
}

/** Returns a function that runs one job after another in the generator's process. */
function startGenerator(pin: readonly string[]): (job: Job) => Promise<LoadResult> {
  let answer: ReturnType<typeof Promise.withResolvers<LoadResult>> | undefined;
  const ready = Promise.withResolvers<void>();
  const child = Bun.spawn([...pin, process.execPath, `${import.meta.dir}/load/generator.ts`], {
    stdio: ["ignore", "inherit", "inherit"],
    ipc(message: { ready?: true; result?: LoadResult; error?: string }) {
      if (message.ready) ready.resolve();
      else if (message.result) answer?.resolve(message.result);
      else answer?.reject(new Error(`load generator: ${message.error}`));
    },
  });
  child.unref();
  return async (job) => {
    await ready.promise;
    answer = Promise.withResolvers();
    child.send(job);
    return answer.promise;
  };
}

export async function createBench(options: Options): Promise<Bench> {
  const { smoke, pin, against } = options;
  // Somebody else's gateway must know beforehand where the upstreams are.
  const [sitePort, openaiPort] = against === undefined ? [0, 0] : [againstPorts.site, againstPorts.openai];
  const [site, openai] = await Promise.all([
    startUpstream("site", sitePort, pin),
    startUpstream("openai", openaiPort, pin),
  ]);
  const upstreams = { site, openai };
  const generate = startGenerator(pin.rest);
  const shared = new Map<Lane, Promise<readonly Subject[]>>();
  const problems: string[] = [];

  /** What the upstreams were last told, and thus what replies must be. */
  const settings = { site: { ...shortReply }, openai: { ...shortReply } };
  for (const lane of lanes) {
    const { set } = upstreams[lane];
    upstreams[lane] = {
      ...upstreams[lane],
      async set(change) {
        Object.assign(settings[lane], change);
        await set(settings[lane]);
      },
    };
    await upstreams[lane].set({});
  }

  const bench: Bench = {
    options,
    problems,
    upstreams,
    size: (full, small) => (smoke ? small : full),

    subjects(lane) {
      const start = async () => {
        const subjects: Subject[] = [await bench.startFloor(lane), await bench.startGateway(lane)];
        if (against !== undefined && (await serves(lane))) subjects.push({ name: "other", origin: against });
        return subjects;
      };
      const started = shared.get(lane) ?? start();
      shared.set(lane, started);
      return started;
    },

    async startFloor(lane, { firstRequest = health } = {}) {
      const upstreamUrl = lane === "site" ? `${site.origin}/wp-admin/admin-ajax.php` : `${openai.origin}/v1`;
      const process = await startServer(
        ["sh", "-c", `bun bench/floors/${lane}.ts`],
        { UPSTREAM_URL: upstreamUrl, BUN_CONFIG_MAX_HTTP_REQUESTS: "65000" },
        { pin: pin.subject, firstRequest },
      );
      return { name: "floor", origin: process.origin, process };
    },

    async startGateway(lane, { settings, command = startCommand, firstRequest = health } = {}) {
      const provider: Record<string, string> =
        lane === "site"
          ? { CHAT_PAGE_URL: `${site.origin}/chat/`, UPSTREAM_URL: `${site.origin}/wp-admin/admin-ajax.php` }
          : {
              KIMI_WEB: "off",
              OPENAI_BASE_URL: `${openai.origin}/v1`,
              OPENAI_API_KEY: "sk-upstream",
              OPENAI_MODELS: modelOf.openai,
              DEFAULT_MODEL: modelOf.openai,
            };
      const process = await startServer(
        command,
        { ...gatewaySettings, ...provider, ...settings },
        { pin: pin.subject, firstRequest },
      );
      return { name: "gateway", origin: process.origin, process };
    },

    async run(subject, lane, { plain, path = "/v1/chat/completions", ...job }) {
      const whole: Job = {
        url: subject.origin + path,
        headers: { authorization: `Bearer ${subject.name === "other" ? options.key : apiKey}` },
        body: requestBody(lane, job.stream),
        expectedText: replyText(settings[lane].chunks * settings[lane].chunkChars),
        checkEvery: smoke ? 1 : 50,
        ...job,
      };
      const cpuBefore = subject.process?.meter.cpuMicros();
      const result = await (plain && hasWrk() && !smoke ? runWrk(whole, pin.rest) : generate(whole));
      const cpuAfter = subject.process?.meter.cpuMicros();
      for (const [message, count] of Object.entries(result.errors)) {
        problems.push(`${subject.name}, ${lane} lane, ${job.load.kind} load: ${message} (${count} ×)`);
      }
      if (cpuBefore === undefined || cpuAfter === undefined) return result;
      return { ...result, cpuMicrosEach: (cpuAfter - cpuBefore) / result.requests };
    },

    async interleave(subjects, measure, { warmUps = 1 } = {}) {
      const samples = new Map(
        subjects.map((subject) => [subject, [] as Awaited<ReturnType<typeof measure>>[]]),
      );
      for (const subject of subjects) {
        for (let round = 0; round < (smoke ? 0 : warmUps); round++) await measure(subject);
      }
      for (let round = 0; round < (smoke ? 1 : options.rounds); round++) {
        for (const subject of subjects) samples.get(subject)?.push(await measure(subject));
      }
      return samples;
    },
  };

  /** Whether the other gateway answers the lane's model by the lane's upstream. */
  async function serves(lane: Lane): Promise<boolean> {
    const { calls } = await upstreams[lane].counts();
    try {
      const answer = await fetch(`${against}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${options.key}` },
        body: requestBody(lane, false),
      });
      return answer.ok && (await upstreams[lane].counts()).calls > calls;
    } catch {
      return false;
    }
  }

  if (against !== undefined) {
    console.error(
      `Waiting for ${against} to answer model ${lanes.map((lane) => modelOf[lane]).join(" or ")}`,
    );
    const deadline = performance.now() + 120_000;
    while (!(await serves("site")) && !(await serves("openai"))) {
      if (performance.now() > deadline) throw new Error(`${against} answers from neither upstream`);
      await Bun.sleep(500);
    }
  }
  return bench;
}

/** Where the upstreams listen when another gateway is compared. */
export const againstPorts: Readonly<Record<Lane, number>> = { site: 18_801, openai: 18_802 };

const manifest = (await Bun.file(`${projectFolder}package.json`).json()) as { scripts: { start: string } };
/** What `npm start` runs, without the 200 ms that npm itself takes. */
export const startCommand = ["sh", "-c", manifest.scripts.start];
