/** Every fault of an upstream as a client of Chat Completions sees it. */
import { errorTable } from "../../../core/errors.ts";
import { everyUpstreamFault } from "./every-upstream-fault.ts";
import { expectBrokenStream, expectRefusal } from "./expect-fault.ts";
import type { UpstreamFault } from "./fault-table.ts";

const shown = ({ shown: own, ...fault }: UpstreamFault) => ({
  ...fault,
  code: own?.code ?? fault.code,
  status: own?.status ?? errorTable[fault.code].status,
});

everyUpstreamFault("Chat Completions", {
  path: "/v1/chat/completions",
  body: { messages: [{ role: "user", content: "Hello" }] },
  expectRefusal: (answer, fault) => expectRefusal(answer, shown(fault)),
  expectBrokenStream: (answer, fault) => expectBrokenStream(answer, shown(fault)),
});
