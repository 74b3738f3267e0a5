/** Whether a chat site remembers what was said in a session: two messages, the second of which makes no sense alone. */
import { silentLogger } from "../../core/operations/log.ts";
import { createSiteProvider } from "../../core/providers/wordpress-chat/provider.ts";
import { memoryStore } from "../../core/stores/memory.ts";
import type { ChatMessage } from "../../core/types.ts";
import { systemClock } from "../../core/util/time.ts";
import { adviceFor, siteChanges } from "./advice.ts";
import { plainRequest } from "./ask-once.ts";
import { bad, describe, type Finding, good, shownUrl, warning } from "./finding.ts";
import type { SiteOptions } from "./site.ts";

const words = ["walnut", "lantern", "harbour", "thistle", "copper", "meadow", "saddle", "violin"];

const message = (role: "user" | "assistant", text: string): ChatMessage => ({
  role,
  text,
  native: { role, content: text },
});

export async function* examineMemory(options: Omit<SiteOptions, "environment">): AsyncGenerator<Finding> {
  const { site, names, model, timeoutMs, fetch } = options;
  const store = memoryStore({ maxEntries: 10, clock: systemClock });
  const provider = createSiteProvider(
    { ...site, remembers: true, chunkDelayMs: 0 },
    { fetch, store, holdOffMs: 0 },
  );
  const number = 1000 + Math.floor(Math.random() * 9000);
  const secret = `${words[number % words.length]} ${number}`;
  const place = `${site.name} at ${shownUrl(site.pageUrl)}`;

  const ask = async (messages: readonly ChatMessage[]): Promise<string> => {
    const signal = AbortSignal.timeout(timeoutMs);
    const { events } = await provider.answer(plainRequest(model, messages), {
      signal,
      requestId: "doctor",
      log: silentLogger,
    });
    let text = "";
    for await (const batch of events) {
      for (const part of batch.flatMap(({ parts }) => parts))
        if (part.type === "text-delta") text += part.delta;
    }
    return text;
  };

  const startedMs = performance.now();
  try {
    const first = message("user", `My code word is "${secret}". Reply with the word OK.`);
    const reply = message("assistant", await ask([first]));
    // Of these three, the site gets the last one alone.
    const answer = await ask([first, reply, message("user", "What is my code word?")]);
    const ms = performance.now() - startedMs;
    const remembers = answer.includes(String(number));
    yield good(
      "memory",
      remembers
        ? `${place} remembers a session: take SITE_MEMORY=on`
        : `${place} did not remember what was said a message before: leave SITE_MEMORY=off`,
      ms,
    );
    if (!remembers && site.remembers) {
      yield warning("memory", `${place} is taken to remember`, {
        means: "it gets new messages alone, and knows nothing of those before",
        change: "SITE_MEMORY to off, or `memory` of its entry in PROVIDERS",
      });
    }
  } catch (error) {
    yield bad("memory", `${place}: ${describe(error)}`, adviceFor(error, siteChanges(names)));
  }
}
