import { heapStats } from "bun:jsc";
import { expect, test } from "bun:test";
import {
  decodeRecord,
  emptyRecord,
  encodeRecord,
  encodeWithin,
  withSystem,
  withTurns,
} from "../../core/conversations/record.ts";
import type { ChatMessage } from "../../core/types.ts";
import { message } from "../support/remembered-chat.ts";

const head = { id: "x", startedAtMs: 1, finishedAtMs: 2, expiresAtMs: 3, droppedMessages: 0 };

const named: ChatMessage = {
  role: "user",
  text: "Hello",
  native: { role: "user", name: "Ada", content: "Hello" },
};
const calling: ChatMessage = {
  role: "assistant",
  text: "",
  native: { role: "assistant", content: null, tool_calls: [{ id: "1", type: "function" }] },
};

const remembered = withTurns(
  withSystem(emptyRecord(head), [message("system", "Be brief.")]),
  [message("user", 'A "text",\nin two lines'), message("assistant", "Yes"), named, calling],
  head,
);

test("writes texts alone, and other messages with all their fields", () => {
  const [, ...lines] = encodeRecord(remembered).text.split("\n");
  expect(lines).toEqual([
    '{"role":"system","content":"Be brief."},',
    String.raw`"A \"text\",\nin two lines",`,
    '["Yes"],',
    '{"role":"user","name":"Ada","content":"Hello"},',
    '{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function"}]}]',
  ]);
});

test("reads back what it has written", () => {
  const read = decodeRecord(encodeRecord(remembered).text);
  expect(read?.system).toEqual(remembered.system);
  expect(read?.turns.slice()).toEqual(remembered.turns.slice());
});

test("reads texts that are written as whole messages, as they were at first", () => {
  const [first, ...others] = encodeRecord(remembered).text.split("\n");
  const text = String.raw`"A \"text\",\nin two lines"`;
  const asMessage: Record<string, string> = {
    [`${text},`]: `{"role":"user","content":${text}},`,
    '["Yes"],': '{"role":"assistant","content":"Yes"},',
  };
  const earlier = [first, ...others.map((line) => asMessage[line] ?? line)].join("\n");
  expect(earlier).toContain(`"content":${text}`);
  expect(earlier).toContain('"content":"Yes"');
  expect(decodeRecord(earlier)?.turns.slice()).toEqual(remembered.turns.slice());
});

test("holds no text that it has dropped", () => {
  const mebibyte = 2 ** 20;
  const heldBytes = () => {
    Bun.gc(true);
    return heapStats().heapSize;
  };
  const before = heldBytes();
  const records = Array.from({ length: 30 }, (_, index) => {
    const long = [
      message("user", String.fromCharCode(97 + index).repeat(mebibyte)),
      message("assistant", "I see"),
    ];
    const small = [message("user", "Hello"), message("assistant", "Hi".repeat(3000))];
    const whole = withTurns(withTurns(emptyRecord(head), long, head), small, head);
    return encodeWithin(whole, 10_000).record;
  });
  expect(heldBytes() - before).toBeLessThan(5 * mebibyte);
  for (const record of records) expect(record.turns.length).toBe(2);
});
