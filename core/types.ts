/**
 * Every seam of the gateway, and nothing else. A dialect (what clients speak) and a provider (code that asks one
 * upstream) meet only in `ChatRequest` and `UpstreamEvent`; adapters hand in what touches the world.
 */

export type * from "./types/chat.ts";
export type * from "./types/dialect.ts";
export type * from "./types/facts.ts";
export type * from "./types/platform.ts";
export type * from "./types/provider.ts";
export type * from "./types/store.ts";
