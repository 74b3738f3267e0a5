import type { Role } from "../types.ts";

/** Every role that a message may have here. */
export const roles: ReadonlySet<unknown> = new Set<Role>([
  "system",
  "developer",
  "user",
  "assistant",
  "tool",
  "function",
]);
