/**
 * `kimi-ai-2api doctor`: tries everything that a server needs, step by step, and says of each failure what it means
 * and which setting to change. With `--memory` it finds out of chat sites whether they remember what was said, with two
 * messages. Ends with exit code 0 if a server would work, else 1.
 */
import process from "node:process";
import { styleText } from "node:util";
import {
  allUpstreams,
  type Config,
  ConfigError,
  type Environment,
  parseConfig,
  settingNames,
} from "../../core/config/config.ts";
import { configuredSecrets } from "../../core/config/secrets.ts";
import { version } from "../../core/config/version.ts";
import type { Fetch } from "../../core/types.ts";
import { proxyFetch } from "../proxy-fetch.ts";
import { findEnvironment, findFetch } from "../runtime.ts";
import { examineAddress } from "./address.ts";
import { entryNames, ownSiteNames } from "./advice.ts";
import { bad, type Finding, good, warning } from "./finding.ts";
import { examineMemory } from "./memory.ts";
import { examineNames } from "./names.ts";
import { examineNetwork } from "./network.ts";
import { examineSite } from "./site.ts";
import { examineStore } from "./store.ts";
import { examineUpstream } from "./upstream.ts";

const wantsMemory = process.argv.includes("--memory");

const doubtfulSetting = {
  means: "a server starts all the same, and says so in its log",
  change: "that one, unless it is meant; STRICT_SETTINGS=on makes a misspelt name stop the start",
};

function readSettings(environment: Environment): { config?: Config; findings: Finding[] } {
  try {
    const config = parseConfig(environment);
    const set = settingNames.filter((name) => environment[name]?.trim());
    const findings = [
      good("settings", set.length > 0 ? set.join(", ") : "all by default"),
      ...config.warnings.map((facts) => warning("settings", facts, doubtfulSetting)),
    ];
    return { config, findings };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const advice = {
      means: "a server would not start",
      change: "that one; .env.example says what each may be",
    };
    return { findings: error.problems.map((problem) => bad("settings", problem, advice)) };
  }
}

async function* examine(config: Config, environment: Environment, fetch: Fetch): AsyncGenerator<Finding> {
  const { site, defaultModel, requestTimeoutMs: timeoutMs } = config;
  yield* examineNetwork(config);
  yield* examineAddress(config);
  yield* examineStore(config.sessions, ["Deno" in globalThis ? "deno-kv" : "memory"], fetch);
  for (const upstream of allUpstreams(config)) {
    if (upstream.kind !== "wordpress-chat") {
      yield* examineUpstream({ settings: upstream, defaultModel, timeoutMs, environment, fetch });
      continue;
    }
    const ids = upstream.models.map(({ id }) => id);
    const model = ids.find((id) => id === defaultModel) ?? (ids[0] as string);
    const names = upstream === site ? ownSiteNames : entryNames(upstream.name);
    const options = { site: upstream, names, model, timeoutMs, environment, fetch };
    yield* wantsMemory ? examineMemory(options) : examineSite(options);
  }
  yield* examineNames(config, fetch);
}

const marks = {
  good: { sign: "✓", color: "green" },
  warning: { sign: "!", color: "yellow" },
  bad: { sign: "✗", color: "red" },
  skipped: { sign: "-", color: "gray" },
} as const;

const isColored = process.stdout.isTTY === true && !process.env.NO_COLOR;

function render({ step, verdict, facts, ms, advice }: Finding): string {
  const { sign, color } = marks[verdict];
  const time = ms === undefined ? "" : `  ${Math.round(ms)} ms`;
  const lines = [`${isColored ? styleText(color, sign) : sign} ${step.padEnd(9)} ${facts}${time}`];
  if (advice !== undefined)
    lines.push(`            means   ${advice.means}`, `            change  ${advice.change}`);
  return lines.join("\n");
}

const environment = findEnvironment();
const obeysProxies = "Bun" in globalThis || "Deno" in globalThis;
const fetch = (obeysProxies ? undefined : await proxyFetch(environment)) ?? findFetch();
const { config, findings } = readSettings(environment);
const hide = config === undefined ? (text: string) => text : configuredSecrets(config, environment).hide;
/** The names of steps and the advice are our own words. */
const hidden = (finding: Finding): Finding => ({ ...finding, facts: hide(finding.facts) });
let problems = 0;
const tell = (finding: Finding) => {
  if (finding.verdict === "bad") problems++;
  console.log(render(hidden(finding)));
};

console.log(`kimi-ai-2api ${version}: what a server would find\n`);
for (const finding of findings) tell(finding);
if (config !== undefined) for await (const finding of examine(config, environment, fetch)) tell(finding);
console.log(
  problems === 0 ? "\nAll is well." : `\n${problems === 1 ? "1 problem" : `${problems} problems`}.`,
);
// A connection that is kept for the next call would hold the process up.
process.exit(problems === 0 ? 0 : 1);
