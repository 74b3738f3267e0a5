/** What a request wants is found out once, though it is checked before it is answered. */
import { expect, test } from "bun:test";
import { kimiWeb } from "../../../core/providers/wordpress-chat/provider.ts";
import type { ChatRequest } from "../../../core/types.ts";
import { chatRequest, providerContext, readAnswer } from "../../support/chat-request.ts";

test("an answer looks at the tools of a checked request no more", async () => {
  const provider = kimiWeb({
    fetch: async (_url, init) =>
      init.method === "POST"
        ? Response.json({ success: true, data: { message: "@@look {}" } })
        : new Response('<script>var kimi_ajax = {"nonce":"f3749c0f5f"};</script>'),
  });
  let looks = 0;
  const request: ChatRequest = {
    ...chatRequest({ model: "kimi-k2-instruct" }),
    toolChoice: "auto",
    get tools() {
      looks += 1;
      return [{ name: "look", parameters: { type: "object" } }];
    },
  };
  provider.check?.(request);
  const looksOfCheck = looks;
  expect(looksOfCheck).toBeGreaterThan(0);
  const { parts } = await readAnswer(provider.answer(request, providerContext()));
  expect(parts).toContainEqual(expect.objectContaining({ type: "tool-call-delta", name: "look" }));
  expect(looks).toBe(looksOfCheck);
});

test("an answer to a request that nobody has checked checks it", async () => {
  const { error } = await readAnswer(
    kimiWeb().answer(chatRequest({ model: "kimi-k2-instruct", n: 2 }), providerContext()),
  );
  expect(error).toMatchObject({ code: "unsupported_parameter" });
});
