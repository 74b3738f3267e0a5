import type { Fetch } from "../../core/types.ts";

/**
 * Upstash's REST API before a global database whose near replica is always behind: it has caught up with no more than
 * the state that a request's `upstash-sync-token` names. https://upstash.com/docs/redis/howto/readyourwrites
 */
export function globalDatabase(): { readonly fetch: Fetch } {
  /** The whole database after each write. */
  const states: ReadonlyMap<string, string>[] = [new Map()];

  const primary = () => states.at(-1) as ReadonlyMap<string, string>;
  const write = (change: (entries: Map<string, string>) => void) => {
    const entries = new Map(primary());
    change(entries);
    states.push(entries);
  };

  const run = ([command, ...args]: readonly string[], seen: number): unknown => {
    const [first = "", second = ""] = args;
    if (command === "GET") return states[seen]?.get(first) ?? null;
    if (command === "SET") write((entries) => entries.set(first, second));
    if (command === "DEL") write((entries) => entries.delete(first));
    if (command !== "EVAL") return "OK";
    const [, , key = "", expected = "", version = "", value = ""] = args;
    const head = primary().get(key)?.slice(0, version.length) ?? "";
    if (head !== expected) return 0;
    write((entries) => entries.set(key, version + value));
    return 1;
  };

  return {
    async fetch(_url, { headers, body }) {
      const seen = Number(new Headers(headers).get("upstash-sync-token") ?? 0);
      const command: string[] = JSON.parse(body as string);
      const result = run(command, seen);
      const token = command[0] === "GET" ? seen : states.length - 1;
      return Response.json({ result }, { headers: { "upstash-sync-token": String(token) } });
    },
  };
}
