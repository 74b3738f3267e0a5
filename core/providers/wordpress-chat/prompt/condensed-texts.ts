/** Condensed texts, kept in the store so that a text is condensed once: found by a hash of the text and the size. */
import type { Logger, SessionStore } from "../../../types.ts";
import { sha256Hex } from "../../../util/hash.ts";
import { marked, unmarked } from "../../../util/marked.ts";

export interface CondensedTexts {
  /** Undefined where there is none, or the store can't be reached. */
  get(text: string, chars: number): Promise<string | undefined>;
  /** Never rejects. */
  keep(text: string, chars: number, condensed: string): Promise<void>;
}

export function condensedTexts(store: SessionStore | undefined, ttlMs: number, log: Logger): CondensedTexts {
  const keyOf = async (text: string, chars: number) => `condensed:${await sha256Hex(`${chars} ${text}`)}`;
  const failed = (error: unknown) =>
    log.warn("condensing.not_stored", { store: store?.name, error: (error as Error).message });
  return {
    async get(text, chars) {
      try {
        const key = await keyOf(text, chars);
        const stored = await store?.get(key);
        return stored && unmarked(key, stored.value);
      } catch (error) {
        failed(error);
        return undefined;
      }
    },
    async keep(text, chars, condensed) {
      try {
        const key = await keyOf(text, chars);
        await store?.set(key, marked(key, condensed), { ttlMs });
      } catch (error) {
        failed(error);
      }
    },
  };
}
