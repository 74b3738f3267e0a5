import { expect } from "bun:test";
import { type Conversation, conversation } from "./conversation.ts";
import type { GatewayGroup } from "./gateway-group.ts";

/** How many conversations talk meanwhile, and how many turns each has before and afterwards. */
const chatCount = 12;
const turnsAround = 3;

export interface Disturbed {
  readonly chats: readonly Conversation[];
  /** Turns that were kept meanwhile, and those that failed. */
  readonly kept: number;
  readonly failed: number;
}

/**
 * Lets conversations talk at all gateways before, while and after `disturb` runs. A turn may fail meanwhile, as one that the
 * store can't remember; it must say so, and every conversation must go on afterwards.
 */
export async function whileDisturbed(
  { group, count, name }: { readonly group: GatewayGroup; readonly count: number; readonly name: string },
  disturb: () => Promise<void>,
): Promise<Disturbed> {
  const chats = Array.from({ length: chatCount }, (_, index) =>
    conversation(group, count, `${name}${index}`),
  );
  let isDisturbed = true;
  let kept = 0;
  let failed = 0;
  const sayAround = async (chat: Conversation, index: number) => {
    for (let turn = 0; turn < turnsAround; turn++) await chat.say((index + turn) % count, turn % 2 === 0);
  };
  await Promise.all(chats.map(sayAround));
  const talking = chats.map(async (chat, index) => {
    for (let turn = 0; isDisturbed; turn++) {
      const { status, code, isSaved } = await chat.attempt((index + turn) % count, turn % 2 === 0);
      if (status === 200) expect(code).toBeUndefined();
      else expect({ status, code }).toEqual({ status: 503, code: "session_store_unavailable" });
      if (status === 200 && isSaved) kept++;
      else failed++;
      await Bun.sleep(20);
    }
  });
  await disturb().finally(() => {
    isDisturbed = false;
  });
  await Promise.all(talking);
  await Promise.all(chats.map(sayAround));
  return { chats, kept, failed };
}
