/** What no longer fits is summarised for the conversation's next turn, once the answer has gone out. */
import type { Turn } from "../conversations/conversations.ts";
import { ApiError } from "../errors.ts";
import type { UpstreamAnswer } from "../routing/upstreams.ts";
import type { Clock, Logger } from "../types.ts";
import { createDeadline, sleep } from "../util/time.ts";

export interface SummaryOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** How long it may take. */
  readonly requestTimeoutMs: number;
  readonly requestId: string;
}

/** Never rejects: a conversation goes on without a summary too. */
export async function keepSummaryOf(
  summarize: NonNullable<UpstreamAnswer["summarize"]>,
  keepSummary: NonNullable<Turn<UpstreamAnswer>["keepSummary"]>,
  { clock, log, requestTimeoutMs, requestId }: SummaryOptions,
): Promise<void> {
  await sleep(0, { clock });
  const deadline = createDeadline(requestTimeoutMs, {
    clock,
    parent: new AbortController().signal,
    reason: () => new ApiError("upstream_timeout", "The summary took too long."),
  });
  try {
    const deadlineMs = clock.monotonic() + requestTimeoutMs;
    const summary = await summarize({ signal: deadline.signal, requestId, log, deadlineMs });
    if (summary !== undefined) await keepSummary(summary);
  } catch (error) {
    const reason = error instanceof ApiError ? error.code : (error as Error).message;
    log.warn("summary.failed", { requestId, reason });
  } finally {
    deadline.release();
  }
}
