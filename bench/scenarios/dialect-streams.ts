import { longReply, type Measured, requestBody } from "../bench.ts";
import { median } from "../statistics.ts";
import { atLeast, type Scenario, warmUpSeconds } from "./scenario.ts";

const connections = 16;

interface DialectStreams {
  readonly name: string;
  readonly path: string;
  /** Default: that of Chat Completions. */
  readonly body?: string;
  /** The least share of Chat Completions' streams a second. */
  readonly least: number;
}

/** Streams of a dialect beside those of Chat Completions, of the same gateway over the same upstream. */
const dialectStreams = ({ name, path, body, least }: DialectStreams): Scenario => ({
  name,
  async run(bench) {
    await bench.upstreams.openai.set(longReply);
    const gateways = (await bench.subjects("openai")).filter((subject) => subject.name === "gateway");
    const load = { kind: "closed", connections, durationMs: bench.size(1000, 200) } as const;
    const samples = await bench.interleave(
      gateways,
      async (gateway) => ({
        chat: await bench.run(gateway, "openai", { load, stream: true }),
        dialect: await bench.run(gateway, "openai", { load, stream: true, path, ...(body && { body }) }),
      }),
      { warmUps: warmUpSeconds },
    );
    const rounds = [...samples.values()].flat();
    const middle = (value: (sample: Measured) => number) => ({
      floor: median(rounds.map(({ chat }) => value(chat))),
      gateway: median(rounds.map(({ dialect }) => value(dialect))),
    });
    const shares = rounds.map(({ chat, dialect }) => dialect.requestsPerSecond / chat.requestsPerSecond);
    return [
      {
        scenario: name,
        measure: "streams a second",
        unit: "",
        values: middle((sample) => sample.requestsPerSecond),
        verdict: atLeast(median(shares), least),
      },
      {
        scenario: name,
        measure: "processor time each",
        unit: "µs",
        values: middle((sample) => sample.cpuMicrosEach ?? Number.NaN),
      },
    ];
  },
});

/** Anthropic's Messages. */
export const messagesStreams = dialectStreams({
  name: "openai-messages-streams",
  path: "/v1/messages",
  least: 0.9,
});

const { model, stream, messages } = JSON.parse(requestBody("openai", true));

/** OpenAI's Responses, each of which is kept. */
export const responsesStreams = dialectStreams({
  name: "openai-responses-streams",
  path: "/v1/responses",
  body: JSON.stringify({ model, stream, input: messages }),
  least: 0.85,
});
