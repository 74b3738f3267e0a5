/** The setting PROVIDERS: a list whose entries belong to the plug-ins that their `kind` names. */
import {
  readUpstreamEntry,
  type UpstreamSettings,
  type upstreamEntries,
} from "../providers/openai-compatible/settings.ts";
import { readSiteEntry, type SiteSettings, type siteEntries } from "../providers/wordpress-chat/settings.ts";
import { isRecord } from "../util/json.ts";
import { isQuoted, keptQuotes, parsedJson, text, type Values } from "./values.ts";

/** An upstream of either kind. */
export type ConfiguredUpstream = UpstreamSettings | SiteSettings;

export const providerEntries = { PROVIDERS: text("[]") };

const kinds = ["openai-compatible", "wordpress-chat"];

/** Puts environment variables in the place of `${NAME}`, in every string of a JSON value. */
const withVariables = (value: unknown, variable: (name: string) => string): unknown => {
  if (typeof value === "string") return value.replace(/\$\{(\w+)\}/g, (_, name: string) => variable(name));
  if (Array.isArray(value)) return value.map((entry) => withVariables(entry, variable));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, entry]) => [name, withVariables(entry, variable)]),
  );
};

/** The upstreams of PROVIDERS, in their order. Neither problems nor warnings show a value. */
export function readProviders(
  values: Values<typeof providerEntries & typeof siteEntries & typeof upstreamEntries>,
  environment: Readonly<Record<string, string | undefined>>,
  { problems, warnings }: { readonly problems: string[]; readonly warnings: string[] },
): readonly ConfiguredUpstream[] {
  const list = parsedJson(values.PROVIDERS);
  if (!Array.isArray(list)) {
    problems.push(
      'PROVIDERS must be a JSON array of upstreams such as {"name":"moonshot","baseUrl":"https://…/v1"}',
    );
    return [];
  }
  const missing = new Set<string>();
  const quoted = new Set<string>();
  const variable = (name: string): string => {
    const value = environment[name];
    if (value === undefined) missing.add(name);
    else if (isQuoted(value)) quoted.add(name);
    return value ?? name;
  };
  const read = (entry: unknown, setting: string): ConfiguredUpstream | readonly string[] => {
    const kind = isRecord(entry) ? entry.kind : undefined;
    if (kind === "wordpress-chat") return readSiteEntry(entry, values);
    if (kind !== undefined && kind !== "openai-compatible")
      return [`kind must be one of ${kinds.join(", ")}`];
    return readUpstreamEntry(entry, values, { setting, warnings });
  };
  const upstreams: ConfiguredUpstream[] = [];
  for (const [index, entry] of list.entries()) {
    const setting = `PROVIDERS [${index}]`;
    const result = read(withVariables(entry, variable), setting);
    if ("name" in result) upstreams.push(result);
    else problems.push(...result.map((problem) => `${setting}.${problem}`));
  }
  for (const name of missing) problems.push(`PROVIDERS names \${${name}}, which is not set`);
  for (const name of quoted) problems.push(`${name} ${keptQuotes()}`);
  return upstreams;
}
