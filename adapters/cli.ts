#!/usr/bin/env node
/** `npx kimi-ai-2api` and `bunx kimi-ai-2api`: the server of whichever runtime runs this, or with `doctor` a look at all it needs. */
import process from "node:process";

if (process.argv[2] === "doctor") await import("./doctor/doctor.ts");
else if ("Bun" in globalThis) await import("./bun.ts");
else await import("./node.ts");
