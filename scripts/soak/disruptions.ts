/** What happens to site and store during a soak, and which failures that explains. */

import type { SiteControl } from "../../test/fakes/site-control.ts";
import type { RedisServer } from "../../test/support/redis-server.ts";

export interface Disruptions {
  /** Disrupts one thing after another until it is told to stop. */
  run(signal: AbortSignal): Promise<void>;
  /** What explains a failure of a request that began and ended then. */
  explanation(result: string, fromMs: number, toMs: number): string | undefined;
  /** How often each has happened. */
  readonly counts: ReadonlyMap<string, number>;
}

interface Disruption {
  readonly name: string;
  /** Codes of the failures that it causes. */
  readonly codes: readonly string[];
  readonly cause: () => Promise<void>;
  /** Causes it no longer. */
  readonly mend?: () => Promise<void>;
  readonly lastsMs: number;
}

interface Episode {
  readonly disruption: Disruption;
  readonly fromMs: number;
  toMs: number;
}

const pauseMs = 1500;
/** A call that was under way when it was mended may still fail. */
const afterEffectMs = 500;

export function disruptions(site: SiteControl, redis: RedisServer | undefined): Disruptions {
  const episodes: Episode[] = [];
  const counts = new Map<string, number>();

  const all: Disruption[] = [
    // Nobody notices that.
    { name: "nonce rotation", codes: [], cause: () => site.rotate(), lastsMs: 0 },
    {
      name: "a page that fails when the nonce is renewed",
      codes: ["upstream_unavailable"],
      async cause() {
        await site.queue({ page: ["cf502"] });
        await site.rotate();
      },
      lastsMs: 500,
    },
    { name: "nonce rotation", codes: [], cause: () => site.rotate(), lastsMs: 0 },
    {
      name: "maintenance of the site",
      codes: ["upstream_unavailable"],
      cause: () => site.maintenance(true),
      mend: () => site.maintenance(false),
      lastsMs: 500,
    },
  ];
  if (redis !== undefined) {
    all.push(
      {
        name: "restart of the store",
        codes: ["session_store_unavailable"],
        cause: () => redis.stop(),
        mend: () => redis.start(),
        lastsMs: 300,
      },
      {
        name: "a store that hangs",
        codes: ["session_store_unavailable"],
        cause: async () => redis.pause(),
        mend: async () => redis.resume(),
        // Longer than the gateway waits for a store.
        lastsMs: 2500,
      },
    );
  }

  return {
    counts,
    async run(signal) {
      for (let index = 0; !signal.aborted; index++) {
        const disruption = all[index % all.length] as Disruption;
        const episode: Episode = { disruption, fromMs: performance.now(), toMs: Number.POSITIVE_INFINITY };
        episodes.push(episode);
        await disruption.cause();
        if (disruption.lastsMs > 0) await Bun.sleep(disruption.lastsMs);
        await disruption.mend?.();
        episode.toMs = performance.now() + afterEffectMs;
        counts.set(disruption.name, (counts.get(disruption.name) ?? 0) + 1);
        await Bun.sleep(pauseMs);
      }
    },
    explanation(result, fromMs, toMs) {
      const code = result.replace(/^late /, "");
      const cause = episodes.findLast(
        (episode) =>
          episode.disruption.codes.includes(code) && episode.fromMs <= toMs && episode.toMs >= fromMs,
      );
      return cause?.disruption.name;
    },
  };
}
