import { test } from "bun:test";
import { expectManyCallsAtOnce } from "../contracts/connection-limit.ts";

test(
  "a Bun server has more calls to the site open at once than Bun's own limit, without any setting",
  () => expectManyCallsAtOnce(),
  15_000,
);
