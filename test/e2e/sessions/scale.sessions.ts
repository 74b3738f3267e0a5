import { expect, test } from "bun:test";
import { factorOff, tolerance } from "../../../scripts/scale/arithmetic.ts";
import { checkArithmetic } from "../../../scripts/scale.ts";
import { requireRedis } from "../../support/redis-server.ts";

requireRedis();

test("three gateways on one Redis ask and store as much as docs/scale.md reckons", async () => {
  const compared = Object.entries(await checkArithmetic(30));
  expect(compared.length).toBe(5);
  for (const [what, { expected, found }] of compared) {
    expect({ what, expected, found, isRight: factorOff(expected, found) <= tolerance }).toMatchObject({
      isRight: true,
    });
  }
});
