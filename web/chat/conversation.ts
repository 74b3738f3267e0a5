/** What was said, and what of it a request has to hold. Knows no page. */

export interface Turn {
  readonly question: string;
  /** "" until the answer begins. */
  answer: string;
  reasoning: string;
  toolCalls: { id: string; name: string; arguments: string }[];
  /** Whether the answer came to its end. */
  isWhole: boolean;
  /** Facts for the export: model, times, tokens. */
  facts: Record<string, unknown>;
}

export interface ChatMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** 128 random bits; crypto.randomUUID is missing on pages without TLS. */
export const newSessionId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );

export interface Conversation {
  readonly turns: Turn[];
  readonly sessionId: string;
  /** Begins a turn in place of the one at `index` and all after it. */
  ask(question: string, index?: number): Turn;
  /**
   * The messages for the last turn. With memory on it is the newest one alone where the gateway knows all before it;
   * where it doesn't, the whole history, which takes the place of what it remembers.
   */
  messages(options: { readonly system: string; readonly memory: boolean }): ChatMessage[];
  /** The gateway has kept the last turn. */
  saved(): void;
  /** The model is told nothing more of what was said so far. */
  forget(): void;
}

export function createConversation(): Conversation {
  let turns: Turn[] = [];
  let sessionId = newSessionId();
  /** How many turns, from the first on, the gateway remembers. */
  let remembered = 0;
  /** The first turn that is still told. */
  let first = 0;

  return {
    get turns() {
      return turns;
    },
    get sessionId() {
      return sessionId;
    },
    ask(question, index = turns.length) {
      if (index < remembered) {
        // What it remembers is no longer what was said. Where no answer is left to send, it would be told the old one.
        sessionId = newSessionId();
        remembered = 0;
      }
      if (index < first) first = 0;
      const turn: Turn = { question, answer: "", reasoning: "", toolCalls: [], isWhole: false, facts: {} };
      turns = [...turns.slice(0, index), turn];
      return turn;
    },
    messages({ system, memory }) {
      const last = turns.length - 1;
      const isKnown = memory && remembered === last;
      const told = turns.slice(isKnown ? last : first);
      return [
        ...(system.trim() ? [{ role: "system" as const, content: system }] : []),
        ...told.flatMap(({ question, answer }): ChatMessage[] => [
          { role: "user", content: question },
          ...(answer ? [{ role: "assistant" as const, content: answer }] : []),
        ]),
      ];
    },
    saved() {
      remembered = turns.length;
    },
    forget() {
      sessionId = newSessionId();
      remembered = turns.length;
      first = turns.length;
    },
  };
}
