import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MessageList, noMessages, Transcript } from "../../core/conversations/transcript.ts";
import type { ChatMessage } from "../../core/types.ts";
import { assistant, asTexts, system, user } from "../support/remembered-chat.ts";

const texts = (list: MessageList): string[] => asTexts(list.slice());

test("a version of a list never changes, whatever others go on from it", () => {
  const step = fc.record({
    /** Which of the versions so far is gone on from: mostly the newest. */
    from: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(20)),
    add: fc.nat(5),
    drop: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(8)),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
      let said = 0;
      const versions = [{ list: noMessages, model: [] as string[] }];
      for (const { from, add, drop } of steps) {
        const before = versions[Math.max(versions.length - 1 - from, 0)] as (typeof versions)[number];
        const messages: ChatMessage[] = Array.from({ length: add }, () => user(String(said++)));
        const dropped = Math.min(drop, before.model.length + add);
        const list = before.list.concat(messages).drop(dropped);
        versions.push({ list, model: [...before.model, ...asTexts(messages)].slice(dropped) });
      }
      for (const { list, model } of versions) {
        expect(texts(list)).toEqual(model);
        expect(list.length).toBe(model.length);
        expect(list.slice(1, 3)).toHaveLength(model.slice(1, 3).length);
        expect(list.at(0)?.text).toBe(model[0]?.slice(2));
        expect(list.at(list.length)).toBeUndefined();
      }
    }),
  );
});

describe("a transcript", () => {
  const remembered = new MessageList([user("1"), user("2"), user("3")]);
  const transcript = new Transcript([user("new")], remembered, [system("S")]);

  test("has the system texts first, then what is remembered and what was sent", () => {
    expect(asTexts(transcript.messages())).toEqual(["s:S", "u:1", "u:2", "u:3", "u:new"]);
    expect(transcript.length).toBe(5);
  });

  test("leaves whole turns out: replies don't come without their question", () => {
    const turns = ["1", "2", "3"].flatMap((text) => [user(text), assistant(text), assistant("more")]);
    const chat = new Transcript([user("new")], new MessageList(turns));
    expect(asTexts(chat.messages(5))).toEqual(["u:3", "a:3", "a:more", "u:new"]);
    expect(asTexts(chat.messages(2))).toEqual(["u:new"]);
    expect(chat.messages(9)).toHaveLength(10);
  });

  test("leaves the oldest of what is remembered out, and nothing else", () => {
    expect(asTexts(transcript.messages(2))).toEqual(["s:S", "u:2", "u:3", "u:new"]);
    expect(asTexts(transcript.messages(0))).toEqual(["s:S", "u:new"]);
    expect(transcript.messages(3)).toEqual(transcript.messages());
  });
});
