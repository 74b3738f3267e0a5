/** A Vercel Function, on its Node, Bun or Edge runtime; vercel.json sends every path here through api/index.ts. */
import { findEnvironment } from "./runtime.ts";
import { selfConfiguring } from "./self-configuring.ts";

export default selfConfiguring(() => ({
  environment: findEnvironment(),
  exposed: true,
  hosted: true,
  // The most that the Hobby plan allows, and maxDuration in vercel.json.
  timeLimitMs: 300_000,
  preferredStore: "redis-rest",
}));
