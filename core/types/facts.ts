/** What is known of a request, for the log, metrics and hooks. */

/** The facts of one chat, for the log, metrics and hooks. Never a key or the text of a message. */
export type ChatFacts = {
  readonly model?: string | undefined;
  readonly provider?: string | undefined;
  /** Whether no list has the model, so that its name is the client's; absent where one has it. */
  readonly unlisted?: true | undefined;
  readonly stream?: boolean | undefined;
  /** Milliseconds until the provider's first event. */
  readonly firstPartMs?: number | undefined;
  /** Milliseconds spent waiting for the upstream. */
  readonly upstreamMs?: number | undefined;
  /** Calls made to upstreams. */
  readonly attempts?: number | undefined;
  readonly charsIn?: number | undefined;
  readonly charsOut?: number | undefined;
  /** Tokens of the prompt, as the upstream counted them or by an estimate; absent where no upstream was asked. */
  readonly tokensIn?: number | undefined;
  /** Tokens of the answer, as far as it came. */
  readonly tokensOut?: number | undefined;
  readonly droppedMessages?: number | undefined;
  readonly shortenedMessages?: number | undefined;
  /** Which kind of name the conversation has, or "response" where one goes on by ids; absent for a stateless request. */
  readonly session?: "session" | "user" | "response" | undefined;
  /** Milliseconds spent with the session store. */
  readonly storeMs?: number | undefined;
  /** Whether the answer is one given before, or one under way for another request, to the same question. */
  readonly replayed?: boolean | undefined;
  /** The provider and model that were asked first, where another one had to answer. */
  readonly fallbackFrom?: string | undefined;
};

/** The facts of one request. */
export type RequestFacts = ChatFacts & {
  readonly requestId: string;
  readonly method: string;
  /** The route's pattern, such as "/chat/completions"; not the path, which may hold anything. */
  readonly route: string;
  /** The name of the API key. */
  readonly key?: string | undefined;
  readonly status: number;
  /** The error's code. */
  readonly code?: string | undefined;
  /** The error's message, without secrets; absent where it may quote the request. */
  readonly reason?: string | undefined;
  /** Milliseconds until the answer's last byte was handed over. */
  readonly ms: number;
};
