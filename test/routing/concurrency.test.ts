/** A place at the upstream is given back, whatever becomes of an answer. */
import { expect, test } from "bun:test";
import { ApiError } from "../../core/errors.ts";
import type { StreamPart } from "../../core/types.ts";
import { reply, scriptedProvider } from "../fakes/scripted-provider.ts";
import { hello, testHandler } from "../support/test-handler.ts";

async function* brokenReply(): AsyncGenerator<StreamPart> {
  yield { type: "text-delta", delta: "Hel" };
  throw new ApiError("upstream_unreachable", "The connection was cut.");
}

const answers = { "an answer": () => reply("Hello"), "a failure in the middle": brokenReply };

for (const [what, answer] of Object.entries(answers)) {
  for (const stream of [false, true]) {
    for (const headers of [{}, { "x-session-id": "s" }]) {
      const kind = `${stream ? "streamed" : "whole"}, ${"x-session-id" in headers ? "in a conversation" : "stateless"}`;
      test(`after ${what} (${kind})`, async () => {
        const provider = { ...scriptedProvider({ answer }), maxConcurrency: 1 };
        const { chat, send } = testHandler({}, { providers: [provider] });
        for (const content of ["one", "two"]) {
          const messages = [{ role: "user", content }];
          await (await chat({ ...hello, messages, stream }, { headers })).text();
        }
        const { upstreams } = await (await send("/health")).json();
        expect(upstreams).toMatchObject([{ running: 0, waiting: 0 }]);
      });
    }
  }
}
