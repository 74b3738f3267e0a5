/** What must be true of conversations and of the site's nonce wherever several gateways share one store. */
import { afterAll, describe, expect, test } from "bun:test";
import { conversation } from "./conversation.ts";
import { type GatewayGroup, gatewayGroup } from "./gateway-group.ts";

export interface AcrossProcessesOptions {
  readonly count: number;
  readonly env: Readonly<Record<string, string>>;
  readonly command?: readonly [string, ...string[]];
  /** Turns of one conversation. */
  readonly turns: number;
  /** Conversations side by side, of ten turns each. */
  readonly conversations: number;
}

/** Turns sent at once. */
const burst = 5;

/** Declares the suite; resolves to the gateways, for further tests. */
export async function acrossProcesses(name: string, options: AcrossProcessesOptions): Promise<GatewayGroup> {
  const { count, env, command, turns, conversations } = options;
  const group = await gatewayGroup({ count, env, ...(command && { command }) });
  afterAll(group.stop);

  describe(name, () => {
    test(`${turns} turns of one conversation are all kept, each once, one after another and at once`, async () => {
      const chat = conversation(group, count, "one");
      for (let turn = 0; turn < turns; turn += 2 * burst) {
        for (let each = 0; each < burst; each++) await chat.say((turn + each) % count, each % 2 === 0);
        const atOnce = Array.from({ length: burst }, (_, each) => chat.say(each % count, each % 2 === 0));
        await Promise.all(atOnce);
      }
      await chat.check();
      await chat.check(count - 1);
    });

    test("50 turns of one conversation at once are all kept", async () => {
      const chat = conversation(group, count, "crowd");
      await chat.say(0);
      await Promise.all(Array.from({ length: 50 }, (_, each) => chat.say(each % count, each % 2 === 0)));
      await chat.check();
    });

    test(`${conversations} conversations side by side keep apart`, async () => {
      const chats = Array.from({ length: conversations }, (_, index) =>
        conversation(group, count, `side${index}`),
      );
      await Promise.all(
        chats.map(async (chat, index) => {
          for (let turn = 0; turn < 10; turn++) await chat.say((index + turn) % count, turn % 3 === 0);
        }),
      );
      await Promise.all(chats.map((chat, index) => chat.check(index % count)));
    });

    test("one page fetch serves all that start or are refused at once, and one that starts later", async () => {
      const pages = async () => (await group.site.status()).counts.pages;
      const started = await pages();
      // Between looking for a nonce and claiming the fetch another gateway may just have finished its own.
      expect(started).toBeLessThanOrEqual(2);
      const late = await group.start();
      await conversation(group, count, "late").say(late);
      expect(await pages()).toBe(started);

      const everyone = Array.from({ length: late + 1 }, (_, gateway) => gateway);
      await group.site.rotate();
      for (const gateway of everyone) await conversation(group, count, `inTurn${gateway}`).say(gateway);
      expect(await pages()).toBe(started + 1);
      await group.site.rotate();
      await Promise.all(
        everyone.map((gateway) => conversation(group, count, `atOnce${gateway}`).say(gateway)),
      );
      expect(await pages()).toBeWithin(started + 2, started + 4);
    });
  });
  return group;
}
