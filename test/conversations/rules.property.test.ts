/** Any sequence of turns, retries, aborts, deletions and store failures, against the rules as a reader of the table would play them. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ApiError } from "../../core/errors.ts";
import type { ChatMessage } from "../../core/types.ts";
import { countingStore } from "../fakes/counting-store.ts";
import { hurriedClock } from "../fakes/fake-clock.ts";
import { assistant, asTexts, rememberedChat, system, user } from "../support/remembered-chat.ts";

const minuteMs = 60_000;
const ttlMs = 10 * minuteMs;
const markerMs = 30 * 24 * 60 * minuteMs;

const keys = [{ session: "a" }, { session: "b" }, { user: "a" }, { user: "b" }] as const;

type Step = { readonly key: number; readonly instance: 0 | 1 } & (
  | {
      readonly do: "turn";
      /** How many of the turns that this client has seen it sends along. */
      readonly ownTurns: number;
      readonly isEdited: boolean;
      readonly systemText: string;
      readonly repeat: "no" | "idempotency key" | "retry count";
      readonly ending: "answer" | "failure" | "abort" | "unread" | "unwritten" | "deleted meanwhile";
    }
  | { readonly do: "delete" }
  | { readonly do: "wait"; readonly ms: number }
);

const instance = fc.constantFrom(0 as const, 1 as const);

const turnStep = fc.record({
  instance,
  do: fc.constant("turn" as const),
  key: fc.nat(keys.length - 1),
  ownTurns: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(3) }),
  isEdited: fc.boolean(),
  systemText: fc.constantFrom("", "", "S1", "S2"),
  repeat: fc.constantFrom("no" as const, "no" as const, "idempotency key" as const, "retry count" as const),
  ending: fc.oneof(
    { weight: 5, arbitrary: fc.constant("answer" as const) },
    {
      weight: 3,
      arbitrary: fc.constantFrom(
        "failure" as const,
        "abort" as const,
        "unread" as const,
        "unwritten" as const,
        "deleted meanwhile" as const,
      ),
    },
  ),
});

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: turnStep },
  {
    weight: 1,
    arbitrary: fc.record({ instance, do: fc.constant("delete" as const), key: fc.nat(keys.length - 1) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      instance,
      do: fc.constant("wait" as const),
      key: fc.constant(0),
      ms: fc.constantFrom(minuteMs, 5 * minuteMs, ttlMs - 1, ttlMs, markerMs),
    }),
  },
);

/** What the rules say is kept under a key. */
interface Memory {
  systemTexts: string[];
  turns: string[];
  keepsOwnHistory: boolean;
  id: string;
  finishedAtMs: number;
  expiresAtMs: number;
  last: { body: string; idempotencyKey: string | undefined; reply: string } | undefined;
}

/** What a client has seen of its chat, for those that send it along, and its last request. */
interface Client {
  seen: ChatMessage[];
  request: { messages: ChatMessage[]; body: string; idempotencyKey: string | undefined } | undefined;
}

async function play(steps: readonly Step[], writesAtOnce: boolean): Promise<void> {
  const clock = hurriedClock();
  const store = countingStore(clock, { writesAtOnce });
  const chat = rememberedChat({ clock, store, ttlMs });
  const model = new Map<number, Memory>();
  const clients = keys.map((): Client => ({ seen: [], request: undefined }));
  const usedIds = new Set<string>();
  let count = 0;

  const recall = (key: number): Memory | undefined => {
    const memory = model.get(key);
    return memory && memory.expiresAtMs > clock.now() ? memory : undefined;
  };

  const takeTurn = async (step: Extract<Step, { do: "turn" }>) => {
    const key = keys[step.key] ?? keys[0];
    const client = clients[step.key] as Client;
    const isUser = "user" in key;
    count++;

    const isRepeat = step.repeat !== "no" && client.request !== undefined;
    const own = client.seen.slice(0, step.ownTurns * 2);
    if (step.isEdited && own[0]) own[0] = user(`edited ${count}`);
    const fresh = [...(step.systemText ? [system(step.systemText)] : []), ...own, user(`question ${count}`)];
    const request =
      isRepeat && client.request
        ? client.request
        : {
            messages: fresh,
            body: JSON.stringify(asTexts(fresh)),
            idempotencyKey: step.repeat === "idempotency key" ? `id ${count}` : undefined,
          };
    client.request = request;
    const retryCount = step.repeat === "retry count" ? 1 : 0;

    // The rules.
    const before = recall(step.key);
    const texts = asTexts(request.messages);
    const systemTexts = texts.filter((text) => text.startsWith("s:"));
    const turns = texts.filter((text) => !text.startsWith("s:"));
    const hasAssistant = turns.some((text) => text.startsWith("a:"));
    const replayed =
      before?.last !== undefined &&
      clock.now() - before.finishedAtMs < 5 * minuteMs &&
      before.last.body === request.body &&
      (retryCount > 0 ||
        (request.idempotencyKey !== undefined && request.idempotencyKey === before.last.idempotencyKey));
    const unremembered = isUser && (hasAssistant || before?.keepsOwnHistory === true);
    const toldSystem = systemTexts.length > 0 || !before || unremembered ? systemTexts : before.systemTexts;
    const told =
      unremembered || hasAssistant || !before
        ? [...toldSystem, ...turns]
        : [...toldSystem, ...before.turns, ...turns];

    // The gateway.
    const controller = new AbortController();
    if (step.ending === "unread") store.failing = "reads";
    if (step.ending === "unwritten") store.failing = "writes";
    const reply = `reply ${count}`;
    const outcome = await chat
      .say(request.messages, {
        ...key,
        instance: step.instance,
        body: request.body,
        idempotencyKey: request.idempotencyKey,
        retryCount,
        signal: controller.signal,
        reply: step.ending === "failure" ? new ApiError("upstream_error", "failed") : reply,
        meanwhile: async () => {
          if (step.ending === "abort") throw new ApiError("client_closed_request", "left");
          if (step.ending === "deleted meanwhile") await chat.forget(key);
        },
      })
      .catch((error: ApiError) => error.code);
    store.failing = "none";

    if (step.ending === "unread") return expect(outcome).toBe("session_store_unavailable");
    if (replayed) {
      expect(outcome).toMatchObject({ told: undefined, reply: before.last?.reply, source: "store" });
      return;
    }
    if (isUser && hasAssistant && before && !before.keepsOwnHistory && step.ending !== "unwritten") {
      // Whatever becomes of this turn, the client's next chat must not see the stored ones.
      const marker = { systemTexts: [], turns: [], keepsOwnHistory: true, last: undefined };
      const nowMs = clock.now();
      model.set(step.key, { ...before, ...marker, finishedAtMs: nowMs, expiresAtMs: nowMs + markerMs });
    }
    if (step.ending === "failure") return expect(outcome).toBe("upstream_error");
    if (step.ending === "abort") return expect(outcome).toBe("client_closed_request");
    if (typeof outcome === "string") throw new Error(`unexpected ${outcome}`);
    expect(outcome).toMatchObject({ told, reply, source: "provider", isSaved: step.ending === "answer" });

    const { id } = outcome.conversation;
    const extended = before?.turns.every((text, index) => turns[index] === text);
    const goesOn = before && !before.keepsOwnHistory && (!hasAssistant || extended);
    if (goesOn) expect(id).toBe(before.id);
    else expect(usedIds.has(id)).toBeFalse();
    usedIds.add(id);

    client.seen = [...request.messages.filter(({ role }) => role !== "system"), assistant(reply)];
    if (step.ending === "deleted meanwhile") model.delete(step.key);
    if (step.ending !== "answer") return;
    model.set(step.key, {
      systemTexts: unremembered ? [] : toldSystem,
      turns: unremembered ? [] : [...told.filter((text) => !text.startsWith("s:")), `a:${reply}`],
      keepsOwnHistory: unremembered,
      id,
      finishedAtMs: clock.now(),
      expiresAtMs: clock.now() + (unremembered ? markerMs : ttlMs),
      last: { body: request.body, idempotencyKey: request.idempotencyKey, reply },
    });
  };

  for (const step of steps) {
    if (step.do === "turn") await takeTurn(step);
    else if (step.do === "wait") await clock.advance(step.ms);
    else {
      await chat.forget({ ...(keys[step.key] ?? keys[0]), instance: step.instance });
      model.delete(step.key);
    }
    for (const [index, key] of keys.entries()) {
      const memory = recall(index);
      const shown = memory && [...memory.systemTexts, ...memory.turns];
      expect(await chat.remembered(key)).toEqual(shown);
    }
  }
}

test("a conversation keeps rule for rule what the table promises", async () => {
  const steps = fc.array(anyStep, { minLength: 1, maxLength: 40, size: "max" });
  await fc.assert(fc.asyncProperty(steps, fc.boolean(), play), { numRuns: 200 });
}, 60_000);
