/** What the clients of a soak do: good requests and bad ones, each with the outcomes that it may have. */
import { callFaults } from "../../test/e2e/faults/fault-table.ts";
import type { Answer, Client, RawQuestion } from "./client.ts";
import { model } from "./client.ts";

export interface Outcome {
  readonly result: string;
  /** What it had to be, where nothing else went wrong meanwhile. */
  readonly expected: string;
}

export interface Kind {
  readonly name: string;
  /** How often it is chosen, in proportion to the others. */
  readonly weight: number;
  readonly run: (client: Client) => Promise<Outcome>;
}

/** What the gateway under soak has as STREAM_COMMIT_MS. */
export const streamCommitMs = 300;

/** A model of the OpenAI-compatible upstream. */
export const otherModel = "local/echo";

const random = (count: number) => Math.floor(Math.random() * count);
const pick = <Value>(values: readonly Value[]): Value => values[random(values.length)] as Value;
const isStream = () => Math.random() < 0.5;

/** A text that no other request has. */
let questions = 0;
const newQuestion = () => `question ${++questions} end`;

/** Both stand-ins repeat the last text that they were sent, so an answer to another's question is found out. */
const checked = (answer: Answer, question: string): Answer =>
  answer.result !== "ok" || answer.text.includes(question)
    ? answer
    : { ...answer, result: "another's answer" };

async function askOne(client: Client, stream: boolean): Promise<Outcome> {
  const question = newQuestion();
  const { result } = checked(await client.ask({ content: question, stream }), question);
  return { result, expected: "ok" };
}

interface Conversation {
  readonly id: string;
  turns: number;
  isBusy: boolean;
}

const conversations: Conversation[] = [];

/** The next turn of a conversation that must still be known. */
async function askInConversation(client: Client): Promise<Outcome> {
  let conversation = pick([...conversations.filter(({ isBusy }) => !isBusy), undefined]);
  if (conversation === undefined) {
    conversation = { id: crypto.randomUUID(), turns: 0, isBusy: false };
    conversations.push(conversation);
    if (conversations.length > 100) conversations.shift();
  }
  conversation.isBusy = true;
  const question = newQuestion();
  const answer = checked(
    // Directives of earlier turns are in the history; the last one counts.
    await client.ask({
      content: `[[sim:ok]] ${question}`,
      stream: isStream(),
      headers: { "x-session-id": conversation.id },
    }),
    question,
  );
  conversation.isBusy = false;
  if (answer.result === "ok") {
    const turns = Number(/turns=(\d+)/.exec(answer.text)?.[1]);
    if (conversation.turns > 0 && turns < 2) return { result: "a forgotten conversation", expected: "ok" };
    if (answer.isSaved) conversation.turns++;
  }
  return { result: answer.result, expected: "ok" };
}

/** A turn that is sent again under its Idempotency-Key; it must have the same answer. */
async function askTwice(client: Client): Promise<Outcome> {
  const question = newQuestion();
  const headers = { "x-session-id": crypto.randomUUID(), "idempotency-key": "retry" };
  const ask = () => client.ask({ content: question, stream: false, headers });
  const first = checked(await ask(), question);
  if (first.result !== "ok") return { result: first.result, expected: "ok" };
  const second = checked(await ask(), question);
  if (second.result !== "ok") return { result: second.result, expected: "ok" };
  // Asked anew, the site would have been told of the first turn, and its answer tells so.
  return {
    result: second.text === first.text || !first.isSaved ? "ok" : "a turn taken twice",
    expected: "ok",
  };
}

/** The OpenAI-compatible upstream, alone or in a conversation. */
async function askOther(client: Client): Promise<Outcome> {
  const question = newQuestion();
  const headers: Record<string, string> = isStream() ? { "x-session-id": crypto.randomUUID() } : {};
  const answer = await client.ask({
    content: question,
    stream: isStream(),
    headers,
    fields: { model: otherModel },
  });
  return { result: checked(answer, question).result, expected: "ok" };
}

async function leaveOther(client: Client): Promise<Outcome> {
  const question = { content: "long ".repeat(200), stream: true, fields: { model: otherModel } };
  const { result } = await client.leaveWithinStream(question);
  return { result, expected: "left" };
}

/** What a firewall's refusal of a message is before any message has been accepted with a new nonce. */
const beforeAcceptance: ReadonlySet<string> = new Set(["upstream_challenge", "upstream_invalid_response"]);

/** The code that an answer should have: nonces are renewed all the time here, by other requests too. */
const expectedCode = (code: string, result: string): string => {
  const seen = result.replace(/^late /, "");
  return code === "upstream_message_refused" && beforeAcceptance.has(seen) ? seen : code;
};

async function askForFault(client: Client): Promise<Outcome> {
  const { mode, code } = pick(callFaults);
  const stream = isStream();
  const startedMs = performance.now();
  const { result } = await client.ask({ content: `[[sim:${mode}]] please`, stream });
  // A busy machine may be slower than the gateway waits with its headers.
  const mayBeLate = stream && performance.now() - startedMs >= streamCommitMs;
  const expected = expectedCode(code, result);
  return { result, expected: mayBeLate && result.startsWith("late ") ? `late ${expected}` : expected };
}

/** A failure after the stream has begun. */
async function askForLateFault(client: Client): Promise<Outcome> {
  const { mode, code } = pick(callFaults);
  const { result } = await client.ask({ content: `[[sim:slow=0.8|${mode}]] please`, stream: true });
  return { result, expected: `late ${expectedCode(code, result)}` };
}

async function leaveEarly(client: Client): Promise<Outcome> {
  const signal = AbortSignal.timeout(1 + random(300));
  const { result } = await client.ask({ content: "[[sim:slow=2]] please", stream: isStream(), signal });
  return { result, expected: "left" };
}

async function leaveWithin(client: Client): Promise<Outcome> {
  const question = { content: "[[sim:long=100000]] please", stream: true };
  const { result } = await client.leaveWithinStream(question);
  return { result, expected: "left" };
}

async function readSlowly(client: Client): Promise<Outcome> {
  const answer = await client.readSlowly({ content: "[[sim:long=200000]] please", stream: true });
  const isWhole = answer.text.length >= 200_000 && answer.text.endsWith("THE END");
  return {
    result: answer.result === "ok" && !isWhole ? "a piece of an answer" : answer.result,
    expected: "ok",
  };
}

const chatBody = (fields: object) =>
  JSON.stringify({ model, messages: [{ role: "user", content: "hello" }], ...fields });

const mistakes: readonly { readonly code: string; readonly question: RawQuestion }[] = [
  { code: "invalid_json", question: { body: "{" } },
  { code: "invalid_request", question: { body: chatBody({ messages: [] }) } },
  { code: "model_not_found", question: { body: chatBody({ model: "gpt-0" }) } },
  { code: "unsupported_parameter", question: { body: chatBody({ n: 2 }) } },
  {
    code: "unsupported_content",
    question: {
      body: chatBody({
        messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:," } }] }],
      }),
    },
  },
  {
    code: "context_length_exceeded",
    question: { body: chatBody({ messages: [{ role: "user", content: "long ".repeat(300) }] }) },
  },
  { code: "request_too_large", question: { body: chatBody({ user: "x".repeat(100_000) }) } },
  { code: "missing_api_key", question: { headers: { authorization: "" }, body: chatBody({}) } },
  {
    code: "invalid_api_key",
    question: { headers: { authorization: "Bearer sk-other" }, body: chatBody({}) },
  },
  { code: "not_found", question: { method: "GET", path: "/v1/nothing" } },
  { code: "method_not_allowed", question: { method: "GET" } },
];

async function makeMistake(client: Client): Promise<Outcome> {
  const { code, question } = pick(mistakes);
  const { result } = await client.send(question);
  return { result, expected: code };
}

export const kinds: readonly Kind[] = [
  { name: "whole answers", weight: 6, run: (client) => askOne(client, false) },
  { name: "streams", weight: 6, run: (client) => askOne(client, true) },
  { name: "conversations", weight: 6, run: askInConversation },
  { name: "retries", weight: 2, run: askTwice },
  { name: "other upstream", weight: 4, run: askOther },
  { name: "leaving the other", weight: 1, run: leaveOther },
  { name: "faults", weight: 4, run: askForFault },
  { name: "late faults", weight: 2, run: askForLateFault },
  { name: "leaving early", weight: 2, run: leaveEarly },
  { name: "leaving a stream", weight: 2, run: leaveWithin },
  { name: "slow readers", weight: 1, run: readSlowly },
  { name: "mistakes", weight: 2, run: makeMistake },
];

/** Each kind as often as its weight says. */
const deck = kinds.flatMap((kind) => Array.from({ length: kind.weight }, () => kind));

export const pickKind = (): Kind => pick(deck);
