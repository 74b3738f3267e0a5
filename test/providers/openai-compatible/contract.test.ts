import { openAiCompatible } from "../../../core/providers/openai-compatible/provider.ts";
import { providerContract } from "../../contracts/provider.ts";
import { chunk, eventStream, forever, jsonScript, startOpenAiUpstream } from "../../fakes/openai-upstream.ts";

providerContract("openai-compatible", async () => {
  const upstream = await startOpenAiUpstream();
  return {
    provider: openAiCompatible({ name: "stand-in", baseUrl: upstream.baseUrl }),
    hangNext(when) {
      const first = when === "after the first event" ? [chunk({ content: "Hi" })] : [];
      upstream.script({ headers: eventStream, steps: [...first, forever] });
      const reached = upstream.nextCall();
      return { reached, released: reached.then(({ over }) => over) };
    },
    failNext: () => upstream.script(jsonScript(500, { error: { message: "Out of order" } })),
    close: () => upstream.close(),
  };
});
