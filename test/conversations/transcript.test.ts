import { describe, expect, test } from "bun:test";
import { Transcript } from "../../core/conversations/transcript.ts";
import { assistant, asTexts, system, user } from "../support/remembered-chat.ts";

describe("a transcript", () => {
  const remembered = [user("1"), user("2"), user("3")];
  const transcript = new Transcript([user("new")], remembered, [system("S")]);

  test("has the system texts first, then what is remembered and what was sent", () => {
    expect(asTexts(transcript.messages())).toEqual(["s:S", "u:1", "u:2", "u:3", "u:new"]);
    expect(transcript.length).toBe(5);
  });

  test("leaves whole turns out: replies don't come without their question", () => {
    const turns = ["1", "2", "3"].flatMap((text) => [user(text), assistant(text), assistant("more")]);
    const chat = new Transcript([user("new")], turns);
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
