/** Condensed texts, kept in the store so that a text is condensed once: found by a hash of the text and the size. */
import type { Logger, SessionStore } from "../../../types.ts";
import { sha256Hex } from "../../../util/hash.ts";

export interface CondensedTexts {
  /** Undefined where there is none, or the store can't be reached. */
  get(text: string, chars: number): Promise<string | undefined>;
  /** Never rejects. */
  keep(text: string, chars: number, condensed: string): Promise<void>;
}

export function condensedTexts(store: SessionStore | undefined, ttlMs: number, log: Logger): CondensedTexts {
  const keyOf = async (text: string, chars: number) => `condensed:${await sha256Hex(`${chars} ${text}`)}`;
  /** Stands before what is kept: should a store ever hand out somebody else's text, it must get into no prompt. */
  const markOf = (key: string) => `${key.slice(-16)} `;
  const failed = (error: unknown) =>
    log.warn("condensing.not_stored", { store: store?.name, error: (error as Error).message });
  return {
    async get(text, chars) {
      try {
        const key = await keyOf(text, chars);
        const value = (await store?.get(key))?.value;
        const mark = markOf(key);
        return value?.startsWith(mark) ? value.slice(mark.length) : undefined;
      } catch (error) {
        failed(error);
        return undefined;
      }
    },
    async keep(text, chars, condensed) {
      try {
        const key = await keyOf(text, chars);
        await store?.set(key, markOf(key) + condensed, { ttlMs });
      } catch (error) {
        failed(error);
      }
    },
  };
}
