import { openAiCompatible } from "../../../core/providers/openai-compatible/provider.ts";
import { providerContract } from "../../contracts/provider.ts";
import {
  chunk,
  eventStream,
  forever,
  jsonScript,
  namedEvents,
  startOpenAiUpstream,
} from "../../fakes/openai-upstream.ts";
import { responseEvents } from "../../fakes/responses-api.ts";

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

/** Asked as a client of Responses asks. */
providerContract("openai-compatible, of an upstream that speaks Responses", async () => {
  const upstream = await startOpenAiUpstream();
  const own = openAiCompatible({ name: "stand-in", baseUrl: upstream.baseUrl, responses: true });
  const began = { type: "response.created", sequence_number: 0, response: {} };
  const [, , added] = responseEvents(upstream.responses.responseTo({ model: "echo", input: "Hi" }));
  return {
    provider: {
      ...own,
      answer(request, context) {
        const { model, stream, messages } = request;
        const response = { model, stream, input: messages.map(({ native }) => native) };
        return own.answer({ ...request, response }, context);
      },
    },
    hangNext(when) {
      const first = namedEvents(when === "after the first event" ? [began, added] : [began]);
      upstream.script({ headers: eventStream, steps: [...first, forever] });
      const reached = upstream.nextCall();
      return { reached, released: reached.then(({ over }) => over) };
    },
    failNext: () => upstream.script(jsonScript(500, { error: { message: "Out of order" } })),
    close: () => upstream.close(),
  };
});
