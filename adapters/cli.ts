#!/usr/bin/env node
/** `npx kimi-ai-2api` and `bunx kimi-ai-2api`: the server of whichever runtime runs this, or its doctor. */
import process from "node:process";
import { version } from "../core/config/version.ts";

const usage = `Usage: kimi-ai-2api [doctor] [options]

Starts the gateway; \`doctor\` tries everything that it needs instead, and says what is wrong.

  -p, --port PORT   the port to listen on, as the setting PORT
      --host HOST   the address to listen on, as the setting HOST
      --memory      with doctor: find out with two messages whether chat sites remember a session
  -h, --help        this text
  -v, --version     the version

All other settings come from the environment or from a .env file: API_MASTER_KEY is the API key
that callers need, and .env.example lists the rest.`;

const options = {
  port: { type: "string", short: "p" },
  host: { type: "string" },
  memory: { type: "boolean" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean", short: "v" },
} as const;

interface Arguments {
  readonly port?: string;
  readonly host?: string;
  readonly memory?: boolean;
  readonly help?: boolean;
  readonly version?: boolean;
  readonly wantsDoctor: boolean;
}

/** Throws an Error that says what is wrong with them. */
const readArguments = (args: string[]): Arguments => {
  // What reads them takes 5 ms to load, for which a start without any need not wait.
  if (args.length === 0) return { wantsDoctor: false };
  const { parseArgs } = process.getBuiltinModule("node:util");
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
  const unknown = positionals.find((word, index) => index > 0 || word !== "doctor");
  if (unknown !== undefined) throw new Error(`There is no command '${unknown}'.`);
  if (values.memory && positionals.length === 0) throw new Error("--memory is an option of doctor.");
  return { ...values, wantsDoctor: positionals.length > 0 };
};

async function run(args: string[]): Promise<void> {
  let given: Arguments;
  try {
    given = readArguments(args);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    process.exitCode = 2;
    return;
  }
  if (given.help) return console.log(usage);
  if (given.version) return console.log(version);

  // What is set outside wins over a .env file, and so do these over both.
  if (given.port !== undefined) process.env.PORT = given.port;
  if (given.host !== undefined) process.env.HOST = given.host;
  if (given.wantsDoctor) await import("./doctor/doctor.ts");
  else if ("Bun" in globalThis) await import("./bun.ts");
  else if ("Deno" in globalThis) await import("./deno.ts");
  else await import("./node.ts");
}

await run(process.argv.slice(2));
