/** Condenses what is too long by itself, the newest message and system texts, before the prompt is built. */
import { ApiError } from "../../../errors.ts";
import type { ChatMessage, Clock, CondensedReport, ProviderContext, SessionStore } from "../../../types.ts";
import { createDeadline } from "../../../util/time.ts";
import type { LongInputSettings, PromptLabels } from "../settings.ts";
import { condense, cutForCondensing } from "./condense.ts";
import { condensedTexts } from "./condensed-texts.ts";
import { longTexts } from "./prompt.ts";
import { countCodePoints } from "./shorten.ts";

export interface CondensingOptions {
  readonly maxChars: number;
  readonly labels: PromptLabels;
  readonly longInput: LongInputSettings;
  readonly store: SessionStore | undefined;
  readonly clock: Clock;
  readonly context: ProviderContext;
  /** Asks the model; resolves to its reply. */
  readonly ask: (text: string, context: ProviderContext) => Promise<string>;
}

export interface CondensedMessages {
  readonly messages: readonly ChatMessage[];
  /** Absent where nothing was too long. */
  readonly condensed?: CondensedReport;
}

/** Condensed texts begin with it, so that the model knows what it reads. */
const prefix = (chars: number): string => `[condensed from ${chars} characters] `;

/** What is to have less than this is shortened instead. */
const leastCondensed = 60;

/** Room is rounded down to this, so that a small change of another text does not mean to condense this one again. */
const roomStep = 20;

/**
 * The messages, with condensed texts in place of those that are too long. Where a call fails, or half of the request's
 * time is over, the text stays as it is, and is shortened later.
 *
 * Throws ApiError context_length_exceeded, before any call, where the newest message takes more than the calls allowed.
 */
export async function condenseLongInput(
  messages: readonly ChatMessage[],
  options: CondensingOptions,
): Promise<CondensedMessages> {
  const { maxChars, longInput, store, context, clock } = options;
  const long = longTexts(messages, options);
  if (long.length === 0) return { messages };
  const { deadlineMs = Number.POSITIVE_INFINITY } = context;
  const deadline = createDeadline(Math.min((deadlineMs - clock.monotonic()) / 2, longestMs), {
    clock,
    parent: context.signal,
    reason: () => new ApiError("upstream_timeout", "To condense the text took too long."),
  });
  const limited = { ...context, signal: deadline.signal };
  const kept = condensedTexts(store, longInput.ttlMs, context.log);
  const changed = [...messages];
  const report = { fromChars: 0, toChars: 0, calls: 0, failed: false };

  try {
    for (const { index, size, isNewest } of long) {
      const message = messages[index] as ChatMessage;
      const chars = countCodePoints(message.text);
      const targetChars = Math.floor((size - countCodePoints(prefix(chars))) / roomStep) * roomStep;
      if (targetChars < leastCondensed) continue;
      let text = await kept.get(message.text, targetChars);
      if (text === undefined) {
        const callsLeft = longInput.maxCalls - report.calls;
        const pieces = cutForCondensing(message.text, maxChars, callsLeft);
        if (pieces === undefined && isNewest) throw tooManyCalls(chars, maxChars, longInput.maxCalls);
        if (pieces === undefined) continue;
        const ask = (piece: string) => {
          report.calls += 1;
          return options.ask(piece, limited);
        };
        try {
          const { extraSlot } = context;
          ({ text } = await condense(pieces, targetChars, callsLeft, { maxChars, ask, extraSlot }));
        } catch (error) {
          context.signal.throwIfAborted();
          const reason = error instanceof ApiError ? error.code : (error as Error).message;
          context.log.warn("condensing.failed", { requestId: context.requestId, reason });
          report.failed = true;
          report.fromChars += chars;
          continue;
        }
        await kept.keep(message.text, targetChars, text);
      }
      changed[index] = { ...message, text: prefix(chars) + text };
      report.fromChars += chars;
      report.toChars += countCodePoints(text);
    }
  } finally {
    deadline.release();
  }
  return { messages: changed, ...(report.fromChars > 0 && { condensed: report }) };
}

/** The longest that a timer can wait. */
const longestMs = 2_147_483_647;

const tooManyCalls = (chars: number, maxChars: number, maxCalls: number): ApiError =>
  new ApiError(
    "context_length_exceeded",
    `The message has ${chars} characters. The chat site takes ${maxChars} at once, and to condense it would take more ` +
      `than ${maxCalls} calls (setting LONG_INPUT_MAX_CALLS). Send a shorter one, or use a model with more room.`,
    { param: "messages", overflow: { chars, maxChars } },
  );
