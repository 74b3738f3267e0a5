/** An OpenAI-compatible upstream: its host, its list of models, and one message. */
import type { Environment } from "../../core/config/config.ts";
import { silentLogger } from "../../core/operations/log.ts";
import { openAiCompatible } from "../../core/providers/openai-compatible/provider.ts";
import type { UpstreamSettings } from "../../core/providers/openai-compatible/settings.ts";
import type { Fetch } from "../../core/types.ts";
import { adviceFor, upstreamChanges } from "./advice.ts";
import { askOnce } from "./ask-once.ts";
import { bad, describe, type Finding, good, skipped, warning } from "./finding.ts";
import { examineHost } from "./hosts.ts";

export interface UpstreamOptions {
  readonly settings: UpstreamSettings;
  /** The model of requests that name none, for the upstream that has it. */
  readonly defaultModel: string | undefined;
  readonly timeoutMs: number;
  readonly environment: Environment;
  readonly fetch: Fetch;
}

const listTimeoutMs = 15_000;

export async function* examineUpstream(options: UpstreamOptions): AsyncGenerator<Finding> {
  const { settings, defaultModel, timeoutMs, environment, fetch } = options;
  const { name, models } = settings;
  const isAlone = name === "openai" && environment.OPENAI_BASE_URL !== undefined;
  const names = isAlone
    ? { baseUrl: "OPENAI_BASE_URL", apiKey: "OPENAI_API_KEY", models: "OPENAI_MODELS" }
    : {
        baseUrl: `baseUrl of ${name} in PROVIDERS`,
        apiKey: `apiKey of ${name} in PROVIDERS`,
        models: `models of ${name} in PROVIDERS`,
      };
  const changes = upstreamChanges(names);
  const host = await examineHost(settings.baseUrl, names.baseUrl, environment);
  yield host;
  if (host.verdict === "bad") {
    yield skipped("models", `${name}: not tried`);
    yield skipped("message", `${name}: not tried`);
    return;
  }

  const startedMs = performance.now();
  const listing = openAiCompatible({ ...settings, models: "*", fetch });
  const context = { signal: AbortSignal.timeout(listTimeoutMs), log: silentLogger };
  const listed = await Promise.resolve(listing.models(context)).then(
    (list) => list.map(({ id }) => id),
    (error: unknown) => ({ error }),
  );
  const ms = performance.now() - startedMs;
  const named = models === "*" ? [] : models;
  if ("error" in listed) {
    if (models === "*")
      yield bad("models", `${name}: ${describe(listed.error)}`, adviceFor(listed.error, changes), ms);
    else {
      yield warning("models", `${name}: ${describe(listed.error)}`, {
        means:
          "it can't be checked whether the upstream has the models that are named; requests don't need the list",
        change: "nothing, if the message below is answered",
      });
    }
  } else {
    const missing = named.filter((id) => !listed.includes(id));
    if (missing.length > 0) {
      yield warning("models", `${name} does not list ${missing.join(", ")}`, {
        means: "the name is misspelt, or the key may not use the model",
        change: names.models,
      });
    } else yield good("models", `${name} lists ${listed.length}`, ms);
  }

  const possible = models === "*" ? ("error" in listed ? [] : listed) : models;
  const model = defaultModel !== undefined && possible.includes(defaultModel) ? defaultModel : possible[0];
  if (model === undefined) {
    yield skipped("message", `${name}: not tried, since no model is known`);
    return;
  }
  try {
    const reply = await askOnce(openAiCompatible({ ...settings, fetch }), model, timeoutMs);
    yield good("message", `${name}: ${model} answered with ${reply.characters} characters`, reply.ms);
  } catch (error) {
    yield bad("message", `${name}: ${describe(error)} (model ${model})`, adviceFor(error, changes));
  }
}
