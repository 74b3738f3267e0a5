/** The error table is whole, agrees with the faults that the tests of faults make happen, and names what exists. */
import { describe, expect, test } from "bun:test";
import { settingNames } from "../core/config/config.ts";
import { ApiError, errorTable } from "../core/errors.ts";
import { callFaults, type Fault, pageFaults, siteFaults, upstreamFaults } from "./e2e/faults/fault-table.ts";

const rows = Object.entries(errorTable);
const settings = new Set([...settingNames, "HTTPS_PROXY"]);

describe.each(rows)("%s", (_, { status, when, operator, wakeUp }) => {
  test("says when it happens and what to do, in sentences of one style", () => {
    expect(when).toMatch(/^[^A-Z].*[^.]$/);
    expect(operator).toMatch(/^[A-Z].*\.$/);
  });

  test("names only settings that exist", () => {
    const named = [...`${when} ${operator}`.matchAll(/\b[A-Z]+_[A-Z_]+\b/g)].map(([name]) => name);
    expect(named.filter((name) => !settings.has(name))).toEqual([]);
  });

  test("is listed for the night where the client can do nothing about it", () => {
    if (status >= 499) expect(wakeUp).toBeDefined();
  });
});

const faults: readonly Pick<Fault, "what" | "code" | "shouldRetry" | "retryAfter">[] = [
  ...callFaults,
  ...pageFaults,
  ...Object.values(siteFaults),
  ...upstreamFaults,
];

test.each(faults)("agrees with the fault: $what ($code)", ({ code, shouldRetry, retryAfter }) => {
  const retryAfterMs = retryAfter === undefined ? undefined : retryAfter * 1000;
  expect(new ApiError(code, "", { retryAfterMs }).shouldRetry).toBe(shouldRetry);
  if (retryAfter !== undefined) expect(errorTable[code].retryAfter).toBeDefined();
  expect(errorTable[code].inStream).toBe(true);
});
