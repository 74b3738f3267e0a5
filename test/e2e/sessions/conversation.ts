import { expect } from "bun:test";
import type { GatewayGroup, Outcome } from "./gateway-group.ts";

/** One client's conversation, and all that must be true of it whichever gateways it has talked to. */
export interface Conversation {
  readonly session: string;
  /** One more turn; asked again at the next gateway when the connection breaks, as OpenAI's SDKs do. */
  say(gateway: number, stream?: boolean): Promise<void>;
  /** One more turn, of which only the outcome is of interest. */
  attempt(gateway: number, stream?: boolean): Promise<Outcome>;
  /**
   * Nothing lost, nothing doubled, nothing of anybody else, in the store and in what the site was told. Where the store died
   * before it could confirm a write, a turn that was said not to be kept may be there all the same.
   */
  check(gateway?: number, options?: { readonly mayHaveKept?: boolean }): Promise<void>;
}

/** The users' texts in what the site was told, oldest first; each but the newest must have its reply. */
const textsIn = (told: string): string[] => {
  const texts = [...told.matchAll(/^(?:User: )?(\w+-t\d+)$/gm)].map(([, text = ""]) => text);
  const turns = texts.map((text) => `User: ${text}\nAssistant: re ${text}`).join("\n");
  expect(`User: ${told.replace(/^User: /, "")}`).toBe(turns.slice(0, turns.lastIndexOf("\n")));
  return texts;
};

/** A conversation under an X-Session-Id of its own. */
export function conversation(group: GatewayGroup, count: number, session: string): Conversation {
  let turns = 0;
  const finished: string[] = [];
  /** Turns that were answered and, by the answer's word, not kept. */
  const unkept = new Set<string>();
  /** For each text the turns that were over before it was sent. */
  const finishedBefore = new Map<string, readonly string[]>();
  /** Calls that broke off and were made again. */
  let broken = 0;

  const next = (): string => {
    const text = `${session}-t${++turns}`;
    finishedBefore.set(text, [...finished]);
    return text;
  };

  const askAgain = async (text: string, gateway: number, stream: boolean): Promise<Outcome> => {
    for (let retryCount = 0; ; retryCount++) {
      const question = { gateway: (gateway + retryCount) % count, session, text, stream, retryCount };
      const outcome = await group.ask(question).catch(() => undefined);
      if (outcome !== undefined) return outcome;
      broken++;
      if (retryCount === count) throw new Error("No gateway answers");
    }
  };

  return {
    session,
    async say(gateway, stream = false) {
      const text = next();
      const outcome = await askAgain(text, gateway, stream);
      expect(outcome).toMatchObject({ status: 200, code: undefined, reply: `re ${text}`, isSaved: true });
      finished.push(text);
    },

    async attempt(gateway, stream = false) {
      const text = next();
      const outcome = await group.ask({ gateway, session, text, stream });
      if (outcome.status === 200 && outcome.code === undefined) {
        if (outcome.isSaved) finished.push(text);
        else unkept.add(text);
      }
      return outcome;
    },

    async check(gateway = 0, { mayHaveKept = false } = {}) {
      const remembered = await group.remembered(session, gateway);
      const texts = remembered
        .filter((_, index) => index % 2 === 0)
        .map((line) => line.slice("user: ".length));
      expect(remembered).toEqual(texts.flatMap((text) => [`user: ${text}`, `assistant: re ${text}`]));
      const sure = mayHaveKept ? texts.filter((text) => !unkept.has(text)) : texts;
      expect(sure.toSorted()).toEqual(finished.toSorted());

      const told = (await group.told()).filter((message) => message.includes(`${session}-t`)).map(textsIn);
      for (const known of told) {
        const text = known.at(-1) ?? "";
        expect(new Set(known).size).toBe(known.length);
        expect(known).toEqual(expect.arrayContaining([...(finishedBefore.get(text) ?? [])]));
        for (const each of known) expect(each).toStartWith(`${session}-t`);
      }
      expect(told.length).toBeWithin(finished.length, turns + broken + 1);
    },
  };
}
