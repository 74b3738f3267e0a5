import { heapStats } from "bun:jsc";
import { expect, test } from "bun:test";
import { type ConversationRecord, decodeRecord, encodeRecord } from "../../core/conversations/record.ts";
import { liftMessage } from "../../core/dialects/shared/chat-completions-message.ts";
import { message } from "../support/remembered-chat.ts";

const head = { id: "x", startedAtMs: 1, finishedAtMs: 2, expiresAtMs: 3, droppedMessages: 0 };

const named = liftMessage("user", "Hello", { role: "user", name: "Ada", content: "Hello" });
const calling = liftMessage("assistant", "", {
  role: "assistant",
  content: null,
  tool_calls: [{ id: "1", type: "function", function: { name: "time", arguments: "{}" } }],
});
const pictured = liftMessage(
  "user",
  "What is this?",
  {
    role: "user",
    content: [
      { type: "text", text: "What is this?" },
      { type: "image_url", image_url: { url: "a" } },
    ],
  },
  [{ type: "image_url" }],
);

const remembered: ConversationRecord = {
  head,
  system: [message("system", "Be brief.")],
  turns: [message("user", 'A "text",\nin two lines'), message("assistant", "Yes"), named, calling, pictured],
};

test("a record writes texts alone, and other messages with all their fields", () => {
  const [, ...lines] = encodeRecord(remembered).text.split("\n");
  expect(lines).toEqual([
    '{"role":"system","content":"Be brief."},',
    String.raw`"A \"text\",\nin two lines",`,
    '["Yes"],',
    '{"role":"user","name":"Ada","content":"Hello"},',
    '{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"time","arguments":"{}"}}]},',
    '{"role":"user","text":"What is this?","attachments":[{"type":"image_url"}],"native":{"role":"user","content":[{"type":"text","text":"What is this?"},{"type":"image_url","image_url":{"url":"a"}}]}}]',
  ]);
});

test("a record reads back what it has written", () => {
  expect(decodeRecord(encodeRecord(remembered).text, "chat:key")).toEqual(remembered);
});

test("a record reads texts that are written as whole messages, as they were at first", () => {
  const [first, ...others] = encodeRecord(remembered).text.split("\n");
  const text = String.raw`"A \"text\",\nin two lines"`;
  const asMessage: Record<string, string> = {
    [`${text},`]: `{"role":"user","content":${text}},`,
    '["Yes"],': '{"role":"assistant","content":"Yes"},',
  };
  const earlier = [first, ...others.map((line) => asMessage[line] ?? line)].join("\n");
  expect(earlier).toContain(`"content":${text}`);
  expect(earlier).toContain('"content":"Yes"');
  expect(decodeRecord(earlier, "chat:key")).toEqual(remembered);
});

test("a record reads attachments that are written as their types alone, as they were at first", () => {
  const { text } = encodeRecord(remembered);
  const earlier = text.replace('"attachments":[{"type":"image_url"}]', '"attachments":["image_url"]');
  expect(earlier).not.toBe(text);
  expect(decodeRecord(earlier, "chat:key")).toEqual(remembered);
});

test("a record holds no text that it has dropped", () => {
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
    return encodeRecord({ head, system: [], turns: [...long, ...small] }, 10_000).record;
  });
  expect(heldBytes() - before).toBeLessThan(5 * mebibyte);
  for (const record of records) expect(record.turns.length).toBe(2);
});
