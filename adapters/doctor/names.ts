/** Whether the names that settings give to models lead to one. */
import type { Config } from "../../core/config/config.ts";
import { createHandler } from "../../core/gateway.ts";
import { silentLogger } from "../../core/operations/log.ts";
import { createModelDirectory } from "../../core/routing/model-directory.ts";
import type { Fetch } from "../../core/types.ts";
import { bad, type Finding, good } from "./finding.ts";

const timeoutMs = 15_000;

export async function* examineNames(config: Config, fetch: Fetch): AsyncGenerator<Finding> {
  const { modelAliases, modelFallbacks } = config;
  const names = [
    ...Object.values(modelAliases).map((name) => ({ name, setting: "MODEL_ALIASES" })),
    ...Object.values(modelFallbacks).flatMap((list) =>
      list.map((name) => ({ name, setting: "MODEL_FALLBACKS" })),
    ),
  ];
  if (names.length === 0) return;

  const { providers } = createHandler({ config, fetch, log: silentLogger });
  const models = createModelDirectory({ providers });
  const context = { signal: AbortSignal.timeout(timeoutMs), log: silentLogger };
  let lost = 0;
  for (const { name, setting } of names) {
    try {
      await models.find(name, context);
      continue;
    } catch {
      lost++;
    }
    yield bad("names", `${setting} leads to ${name}, which no upstream has`, {
      means: "requests under that name are answered with 404 model_not_found, or have one fallback less",
      change: setting,
    });
  }
  if (lost === 0) yield good("names", "all aliases and fallbacks lead to a model");
}
