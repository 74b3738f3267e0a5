import { expect, test } from "bun:test";
import { examineNetwork } from "../../adapters/doctor/network.ts";
import { parseConfig } from "../../core/config/config.ts";

const loopback = { lo: [{ address: "127.0.0.1", internal: true }] };
const local = { OPENAI_BASE_URL: "http://127.0.0.1:11434/v1", KIMI_WEB: "off" };

test("the doctor says first that this machine is not online", () => {
  const lonely = { ...loopback, eth0: [{ address: "fe80::1", internal: false }] };
  for (const interfaces of [loopback, lonely])
    expect(examineNetwork(parseConfig(), interfaces)).toMatchObject([{ step: "network", verdict: "bad" }]);
  const online = { ...loopback, eth0: [{ address: "192.0.2.7", internal: false }] };
  expect(examineNetwork(parseConfig(), online)).toMatchObject([{ verdict: "good" }]);
});

test("no network is needed for upstreams on this machine", () => {
  expect(examineNetwork(parseConfig(local), loopback)).toEqual([]);
});
