#!/usr/bin/env node
/** `npx kimi-ai-2api` and `bunx kimi-ai-2api`: the server of whichever runtime runs this. */
if ("Bun" in globalThis) await import("./bun.ts");
else await import("./node.ts");
