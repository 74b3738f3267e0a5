/** One key's harm is one key's: circuits, memory, metrics, names, bodies. */
import { expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { jsonScript } from "../../fakes/openai-upstream.ts";
import { until } from "../../support/until.ts";
import { attackOnEveryRuntime, bearer } from "./attacked-server.ts";

const mallory = bearer("sk-of-mallory-49d8a1");
const alice = bearer("sk-of-alice-b77c02");
const keys = JSON.stringify({ mallory: "sk-of-mallory-49d8a1", alice: "sk-of-alice-b77c02" });

const ownError = (message: string) =>
  jsonScript(500, { error: { message, type: "server_error", code: null } });
const gatewayPage = {
  status: 502,
  headers: { "content-type": "text/html" },
  steps: ["<h1>my secret prompt</h1>"],
};

attackOnEveryRuntime(
  "a hostile tenant",
  {
    API_KEYS: keys,
    OPENAI_MODELS: "*",
    MAX_BODY_BYTES: "1048576",
    MAX_BODIES_BYTES: "8388608",
    SESSION_CACHE_MAX: "64",
  },
  (attacked) => {
    test("can't shut a model for others with requests that an API answers with 500", async () => {
      const { chat, upstream, get } = attacked;
      // Asks the upstream for its list, which takes no script from what follows.
      await (await get("/v1/models", alice)).text();
      for (let round = 0; round < 20; round++) {
        upstream.script(ownError("Your prompt `my secret prompt` broke me."));
        await (await chat({}, mallory)).text();
      }
      const answers = await Promise.all(Array.from({ length: 10 }, () => chat({}, alice)));
      expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(200));
    });

    test("can't shut a model for others with failures of any other kind, nor show them its words", async () => {
      const { chat, upstream, get } = attacked;
      for (let round = 0; round < 5; round++) {
        upstream.script(gatewayPage);
        await (await chat({}, mallory)).text();
      }
      const own = await chat({}, mallory);
      expect([own.status, own.headers.get("retry-after")]).toEqual([503, "15"]);
      expect(await own.text()).not.toContain("my secret");
      expect((await chat({}, alice)).status).toBe(200);
      const health = await (await get("/health")).json();
      expect(health.status).toBe("ok");
      expect(attacked.log().find(({ event }) => event === "circuit.opened")).toMatchObject({
        level: "warn",
        key: "mallory",
        code: "upstream_unavailable",
        until: expect.stringMatching(/^20/),
      });
    });

    test("can't push others' conversations out of memory, by turns or by deletions", async () => {
      const { chat, url, get } = attacked;
      const session = { ...alice, "x-session-id": "of-alice" };
      await chat({ model: "reasoner" }, session);
      for (let batch = 0; batch < 8; batch++) {
        await Promise.all(
          Array.from({ length: 40 }, async (_, index) => {
            const headers = { ...mallory, "x-session-id": `${batch}-${index}` };
            await (await chat({ model: "reasoner" }, headers)).text();
            await fetch(`${url}/v1/session`, { method: "DELETE", headers });
          }),
        );
      }
      expect((await (await get("/v1/session", session)).json()).messages).toHaveLength(2);
    });

    test("can't fill the pages for operators with names of its own", async () => {
      const { chat, get } = attacked;
      for (let batch = 0; batch < 5; batch++) {
        await Promise.all(
          Array.from({ length: 40 }, async (_, index) => {
            await (await chat({ model: `openai/invented-${batch}-${index}` }, mallory)).text();
          }),
        );
      }
      const health = await (await get("/health")).text();
      expect(health).not.toContain("invented");
      expect(health).not.toContain("echo");
      const metrics = await (await get("/metrics", alice)).text();
      expect(metrics).not.toContain("invented");
      expect(metrics).toContain('model="other"');
      expect(metrics.length).toBeLessThan(100_000);
    });

    test("can't fill memory with bodies that are held open, nor keep others' out", async () => {
      const { url, chat } = attacked;
      const { hostname, port } = new URL(url);
      const sockets: Socket[] = [];
      const answers: string[] = [];
      for (let index = 0; index < 12; index++) {
        const socket = connect(Number(port), hostname);
        sockets.push(socket);
        socket.on("error", () => {});
        socket.on("data", (bytes) => answers.push(bytes.toString("latin1")));
        socket.write(
          `POST /v1/chat/completions HTTP/1.1\r\nHost: ${hostname}:${port}\r\nAuthorization: ${mallory.authorization}\r\n` +
            `Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{"messages":[`,
        );
      }
      try {
        // Each key may have 4 MiB: four of them wait for their rest.
        await until(async () => answers.filter((text) => text.startsWith("HTTP/1.1 503")).length === 8);
        expect(answers.join("")).toMatch(/retry-after: 2\b/i);
        expect(answers.join("")).toContain("too_many_bodies");
        expect((await chat({ model: "reasoner" }, alice)).status).toBe(200);
      } finally {
        for (const socket of sockets) socket.destroy();
      }
      await until(async () => {
        const response = await chat({ model: "reasoner", user: "x".repeat(4000) }, mallory);
        return response.status === 200;
      });
    });
  },
);

attackOnEveryRuntime(
  "a server that is open to everyone",
  { HOST: "0.0.0.0", API_MASTER_KEY: "1" },
  (attacked) => {
    const told = async (headers: Record<string, string>, more: object = {}) => {
      const { chat, upstream } = attacked;
      await (await chat({ messages: [{ role: "user", content: "my secret" }], ...more }, headers)).text();
      const response = await chat(
        { messages: [{ role: "user", content: "What did I say?" }], ...more },
        headers,
      );
      await response.text();
      return { response, messages: upstream.calls.at(-1)?.body.messages as { content: string }[] };
    };

    test.each([
      ["a short X-Session-Id", { "x-session-id": "default" }, {}],
      ["a user", {}, { user: "alice@example.com" }],
      ["a short X-Session-Id, streamed", { "x-session-id": "default" }, { stream: true }],
    ])("keeps nothing under %s, and says so", async (_, headers, more) => {
      const { response, messages } = await told(headers as Record<string, string>, more);
      expect(messages).toHaveLength(1);
      expect(response.headers.get("x-session-saved")).toBe("false");
      expect(response.headers.get("x-session-reason")).toContain("without API keys");
    });

    test("remembers under an id that looks like a secret", async () => {
      const { response, messages } = await told({ "x-session-id": crypto.randomUUID() });
      expect(messages).toHaveLength(3);
      expect(response.headers.get("x-session-saved")).toBeNull();
    });

    test("says so when it starts", () => {
      expect(attacked.server.output()).toContain("OPEN_SESSIONS=on");
    });
  },
);
