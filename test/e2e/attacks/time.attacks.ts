/** Ends and bounds: endless answers, answers that never end, a log that nobody reads. */
import { afterAll, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chunk, doneEvent, eventStream, forever, type Script } from "../../fakes/openai-upstream.ts";
import { until } from "../../support/until.ts";
import { attackOnEveryRuntime, commandOf, onEveryRuntime } from "./attacked-server.ts";

const endless = (piece: () => string): Script => ({
  headers: eventStream,
  // 20 MiB, which is as good as endless.
  steps: Array.from({ length: 80 }, () => piece().repeat(Math.ceil(262_144 / piece().length))),
});

const x = "x".repeat(1000);
const endlessAnswers: Readonly<Record<string, Script>> = {
  text: endless(() => chunk({ content: x })),
  reasoning: endless(() => chunk({ reasoning_content: x })),
  "unknown fields": endless(() => chunk({ odd: x })),
  "a list that grows": endless(() =>
    chunk({}, null, { choices: [{ index: 0, delta: {}, logprobs: { content: [1, 2, x] } }] }),
  ),
  "one call's arguments": endless(() =>
    chunk({ tool_calls: [{ index: 0, id: "call_1", function: { name: "f", arguments: x } }] }),
  ),
};

attackOnEveryRuntime(
  "an upstream without an end",
  { API_REQUEST_TIMEOUT: "30", CIRCUIT_BREAKER: "off" },
  (attacked) => {
    test.each(Object.entries(endlessAnswers))(
      "is at fault for endless %s, and costs no more than a bound",
      async (_, script) => {
        const { chat, upstream } = attacked;
        for (const stream of [true, false]) {
          upstream.script(script);
          const response = await chat({ stream });
          const text = await response.text();
          // A stream of which nothing was told yet fails with its true status.
          const { error } = JSON.parse((text.trimEnd().split("\n\n").at(-1) ?? "").replace(/^data: /, ""));
          expect(error.code).toBe("upstream_invalid_response");
          expect(error.message).toContain("more than 16777216 characters");
        }
      },
    );

    test("gets no list in one event that is too long for the stack", async () => {
      const { chat, upstream } = attacked;
      const list = `[${"0,".repeat(1_000_000)}0]`;
      const event = `data: {"choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":${list}}}]}\n\n`;
      upstream.script({ headers: eventStream, steps: [event, event, chunk({}, "stop"), doneEvent] });
      const response = await chat({ stream: true });
      expect((await response.text()).trimEnd()).toEndWith("data: [DONE]");
    });

    test.each([
      ["silence", []],
      ["comments without end", Array.from({ length: 400 }, () => ": still here\n\n")],
    ])("has its answer delivered seconds after the finish, whatever follows: %s", async (_, after) => {
      const { chat, upstream } = attacked;
      const ticks = after.flatMap((text) => [text, () => Bun.sleep(50)]);
      const steps = [chunk({ content: "All of it." }), chunk({}, "stop"), ...ticks, forever];
      upstream.script({ headers: eventStream, steps }, { headers: eventStream, steps });
      const startedMs = performance.now();
      const [streamed, whole] = await Promise.all([
        chat({ stream: true }).then((response) => response.text()),
        chat().then((response) => response.json()),
      ]);
      expect(streamed).toContain("All of it.");
      expect(streamed.trimEnd()).toEndWith("data: [DONE]");
      expect(whole.choices[0].message.content).toBe("All of it.");
      expect(performance.now() - startedMs).toBeLessThan(10_000);
    });
  },
);

onEveryRuntime("the log", (runtime) => {
  const folder = mkdtempSync(join(tmpdir(), "log-"));
  const running: Bun.Subprocess[] = [];
  afterAll(() => {
    for (const child of running) child.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  });

  /** Starts a server whose output goes into a pipe, and reads that until the server has announced itself. */
  const startPiped = async () => {
    const path = join(folder, String(running.length));
    execFileSync("mkfifo", [path]);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = openSync(path, "w");
    const child = Bun.spawn([...(await commandOf(runtime))], {
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        HOST: "127.0.0.1",
        PORT: "0",
        SESSION_STORE: "memory",
        KIMI_WEB: "off",
        OPENAI_BASE_URL: "http://127.0.0.1:9/v1",
        OPENAI_MODELS: "echo",
      },
      stdio: ["ignore", writer, "ignore"],
    });
    closeSync(writer);
    running.push(child);
    let output = "";
    const read = () => {
      const bytes = new Uint8Array(65_536);
      try {
        output += new TextDecoder().decode(bytes.subarray(0, readSync(reader, bytes)));
      } catch {
        // Nothing there yet.
      }
      return output;
    };
    let url = "";
    await until(async () => {
      url = /listens on (\S+)[\s\S]*Try it/.exec(read())?.[1] ?? "";
      return url !== "";
    });
    return { child, url, read, close: () => closeSync(reader) };
  };

  test("may lose its reader: the server goes on", async () => {
    const { child, url, close } = await startPiped();
    close();
    for (let index = 0; index < 20; index++) expect((await fetch(`${url}/health`)).status).toBe(200);
    expect(child.exitCode).toBeNull();
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  });

  test("may be read by nobody for a while: no request waits for it, nor does the end", async () => {
    const { child, url, read, close } = await startPiped();
    // More than the pipe, and what may wait for it.
    const headers = { "x-request-id": "x".repeat(128) };
    const body = JSON.stringify({ model: "y".repeat(256), messages: [{ role: "user", content: "Hello" }] });
    for (let batch = 0; batch < 10; batch++) {
      const answers = Array.from({ length: 100 }, () =>
        fetch(`${url}/v1/chat/completions`, { method: "POST", headers, body }),
      );
      for (const { status } of await Promise.all(answers)) expect(status).toBe(404);
    }
    await until(async () => read().includes('"event":"request.finished"'));
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    close();
  });
});
