import { longReply, type Measured } from "../bench.ts";
import { median } from "../statistics.ts";
import { atLeast, type Scenario } from "./scenario.ts";

const connections = 16;
const least = 0.9;

/** Streams of Anthropic's Messages beside those of Chat Completions, of the same gateway over the same upstream. */
export const messagesStreams: Scenario = {
  name: "openai-messages-streams",
  async run(bench) {
    await bench.upstreams.openai.set(longReply);
    const gateways = (await bench.subjects("openai")).filter(({ name }) => name === "gateway");
    const load = { kind: "closed", connections, durationMs: bench.size(1000, 200) } as const;
    const samples = await bench.interleave(gateways, async (gateway) => ({
      chat: await bench.run(gateway, "openai", { load, stream: true }),
      messages: await bench.run(gateway, "openai", { load, stream: true, path: "/v1/messages" }),
    }));
    const rounds = [...samples.values()].flat();
    const middle = (value: (sample: Measured) => number) => ({
      floor: median(rounds.map(({ chat }) => value(chat))),
      gateway: median(rounds.map(({ messages }) => value(messages))),
    });
    const shares = rounds.map(({ chat, messages }) => messages.requestsPerSecond / chat.requestsPerSecond);
    return [
      {
        scenario: "openai-messages-streams",
        measure: "streams a second",
        unit: "",
        values: middle((sample) => sample.requestsPerSecond),
        verdict: atLeast(median(shares), least),
      },
      {
        scenario: "openai-messages-streams",
        measure: "processor time each",
        unit: "µs",
        values: middle((sample) => sample.cpuMicrosEach ?? Number.NaN),
      },
    ];
  },
};
