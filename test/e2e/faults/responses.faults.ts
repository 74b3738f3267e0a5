/** Every fault of an upstream as a client of OpenAI's Responses sees it. */
import { expect } from "bun:test";
import { errorTable } from "../../../core/errors.ts";
import { eventErrors, readEvents } from "../../support/responses.ts";
import { everyUpstreamFault } from "./every-upstream-fault.ts";
import type { ReadAnswer } from "./expect-fault.ts";
import type { UpstreamFault } from "./fault-table.ts";

function expectRefusal({ status, headers, text }: ReadAnswer, fault: UpstreamFault): void {
  expect({ status, text }).toMatchObject({ status: fault.shown?.status ?? errorTable[fault.code].status });
  expect(headers.get("content-type")).toStartWith("application/json");
  const { error } = JSON.parse(text);
  // An upstream may say more.
  expect(Object.keys(error)).toEqual(expect.arrayContaining(["code", "message", "param", "type"]));
  if (fault.says !== undefined) expect(error.message).toMatch(fault.says);
}

function expectBrokenStream({ status, text }: ReadAnswer, fault: UpstreamFault): void {
  expect({ status, text }).toMatchObject({ status: 200 });
  const events = readEvents(text);
  expect(events.map(({ type }) => type)).toEqual([
    "response.created",
    "response.in_progress",
    "error",
    "response.failed",
  ]);
  // The published list of codes is not all that OpenAI sends, and not all that the gateway has.
  expect(eventErrors(events.slice(0, -1))).toEqual([]);
  const [error, { response }] = events.slice(-2) as [(typeof events)[0], (typeof events)[0]];
  expect(error.code).toBeString();
  expect(error.error).toMatchObject({ code: error.code, message: error.message });
  expect(response).toMatchObject({
    status: "failed",
    output: [],
    error: { code: error.code, message: error.message },
  });
  if (fault.says !== undefined) expect(error.message).toMatch(fault.says);
}

everyUpstreamFault("Responses", {
  path: "/v1/responses",
  body: { input: "Hello" },
  expectRefusal,
  expectBrokenStream,
});
