/** A record that a process has at hand must go on exactly as the same one read from the store by another. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { decodeRecord, emptyRecord, encodeRecord } from "../../core/conversations/record.ts";
import type { ChatMessage } from "../../core/types.ts";
import { message } from "../support/remembered-chat.ts";

const head = { id: "x", startedAtMs: 1, finishedAtMs: 2, expiresAtMs: 3, droppedMessages: 0 };

const texts = fc.record({
  unit: fc.constantFrom("a", "\n", '"', "é", "漢", "😀", ",\n", "\u2028"),
  length: fc.oneof(fc.nat(20), fc.nat(3000)),
});

const reply = fc.record({ text: texts, hasReasoning: fc.boolean() });

const turnSteps = fc.record({
  users: fc.array(texts, { minLength: 1, maxLength: 2 }),
  reply,
  system: fc.nat(20),
});

const write = ({ unit, length }: { unit: string; length: number }) => unit.repeat(length);

const turnsOf = (step: typeof turnSteps extends fc.Arbitrary<infer Step> ? Step : never): ChatMessage[] => {
  const answer = message("assistant", write(step.reply.text));
  const native = step.reply.hasReasoning ? { ...answer.native, reasoning_content: "because" } : answer.native;
  return [...step.users.map((text) => message("user", write(text))), { ...answer, native }];
};

test("a record goes on the same from memory and from its text, however long it is", () => {
  const maxBytes = fc.constantFrom(500, 12_000, 40_000);
  const steps = fc.array(turnSteps, { minLength: 1, maxLength: 40, size: "max" });
  fc.assert(
    fc.property(steps, maxBytes, (steps, maxBytes) => {
      let atHand = emptyRecord(head);
      let stored = emptyRecord(head);
      for (const step of steps) {
        const add = (record: typeof atHand) => {
          const system = step.system === 0 ? [message("system", "S")] : record.system;
          return encodeRecord({ ...record, system, turns: [...record.turns, ...turnsOf(step)] }, maxBytes);
        };
        const kept = add(atHand);
        expect(kept.text).toBe(add(stored).text);
        expect(Buffer.byteLength(kept.text)).toBeLessThanOrEqual(maxBytes);
        const read = decodeRecord(kept.text, "chat:key");
        if (read === undefined) throw new Error("can't be read");
        const { written: _, ...record } = kept.record;
        expect(record).toEqual(read);
        atHand = kept.record;
        stored = read;
      }
    }),
    { numRuns: 100 },
  );
}, 60_000);
