/**
 * How chat plug-ins of WordPress speak, in our own words: where each has its nonce, what it takes, how it refuses, replies,
 * streams and fails. What a preset must fit.
 */

/** What a plug-in reads of a post. */
export interface PluginCall {
  readonly message: string | undefined;
  readonly nonce: string | undefined;
  readonly session?: string | undefined;
}

interface PluginRequest {
  readonly headers: Headers;
  /** A form's fields, or JSON's. */
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface PluginWire {
  /** The path that messages go to. */
  readonly endpoint: string;
  /** The page's script; "" for none. */
  page(nonce: string): string;
  /** An address that hands a nonce out. */
  readonly nonceRoute?: { readonly path: string; readonly method: string; body(nonce: string): unknown };
  read(request: PluginRequest): PluginCall;
  refuse(): Response;
  /** A whole reply; absent where the plug-in streams. */
  whole?(text: string, session: string): Response;
  /** The events of a stream: a reply's pieces, then its end. */
  readonly events?: {
    readonly type: string;
    open?(session: string): string;
    piece(text: string): string;
    close(text: string): string;
    /** A failure amid the reply. */
    fail(words: string): string;
  };
  /** A failure of the model. */
  fail(): Response;
}

const json = (body: unknown, status = 200) => Response.json(body, { status });
const html = (body: string, status = 200) =>
  new Response(body, { status, headers: { "content-type": "text/html; charset=UTF-8" } });
const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
const data = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;

const ajax = "/wp-admin/admin-ajax.php";
const script = (code: string): string => `<script id="chat-js-extra">\n${code}\n</script>`;
const minusOne = () => html("-1", 403);
const cookieCheckFailed = () =>
  json({ code: "rest_cookie_invalid_nonce", message: "Cookie check failed", data: { status: 403 } }, 403);
const modelFailed = () => json({ success: false, data: "The AI model is overloaded." });

/** A read of a form that WordPress finds by its action. */
const form =
  (action: string, message: string, nonce: string | undefined) =>
  ({ fields }: PluginRequest): PluginCall => ({
    message: fields.action === action ? text(fields[message]) : undefined,
    nonce: nonce === undefined ? undefined : text(fields[nonce]),
    session: text(fields.session_id),
  });

const openAiChunk = (delta: object, finish: string | null = null): string =>
  data({ id: "c1", object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: finish }] });

export const pluginWires = {
  kimi: {
    endpoint: ajax,
    page: (nonce) =>
      script(`var kimi_ajax = {"ajax_url":"\\/wp-admin\\/admin-ajax.php","nonce":"${nonce}"};`),
    read: form("kimi_send_message", "message", "nonce"),
    refuse: minusOne,
    whole: (message) => json({ success: true, data: { message } }),
    fail: modelFailed,
  },
  "deepseek-chatbot": {
    endpoint: ajax,
    page: (nonce) => script(`var dsb = {"ajax":"\\/wp-admin\\/admin-ajax.php","nonce":"${nonce}"};`),
    read: form("dsb_chat", "msg", "nonce"),
    refuse: minusOne,
    whole: (reply) => json({ success: true, data: reply }),
    fail: modelFailed,
  },
  /** The same with refusals in a language that nobody knows here, status 200. */
  "openwebui-chatbot": {
    endpoint: ajax,
    page: (nonce) => script(`var owc = {"ajax":"\\/wp-admin\\/admin-ajax.php","nonce":"${nonce}"};`),
    read: form("owc_chat", "msg", "nonce"),
    refuse: () => json({ success: false, data: "Ugyldig forespørsel." }),
    whole: (reply) => json({ success: true, data: reply }),
    fail: modelFailed,
  },
  kognetiks: {
    endpoint: ajax,
    page: () => "",
    read({ headers, fields }) {
      const visitor = /kognetiks_unique_id=([\w-]+)/.exec(headers.get("cookie") ?? "")?.[1];
      const isWhole = [visitor, fields.session_id, fields.client_message_id].every(Boolean);
      return {
        ...form("chatbot_chatgpt_send_message", "message", undefined)({ headers, fields }),
        ...(!isWhole && { message: undefined }),
      };
    },
    refuse: minusOne,
    whole: (reply) => json({ success: true, data: reply }),
    fail: () => json({ success: true, data: "Error: the API key is invalid or the model is busy." }),
  },
  /** Refuses amid a page of text, with status 200. */
  wpbot: {
    endpoint: ajax,
    page: (nonce) => script(`var qcld_chatbot_obj = {"ajaxurl":"x","nonce":"${nonce}"};`),
    read: form("qcld_stream_openai", "keyword", "nonce"),
    refuse: () => html("data: [ERROR] Invalid nonce\n\n"),
    events: {
      type: "text/html; charset=UTF-8",
      piece: (content) => openAiChunk({ content }),
      close: () => `${openAiChunk({}, "stop")}data: [DONE]\n\n`,
      fail: (words) => `data: [ERROR] ${words}\n\n`,
    },
    fail: () => html("data: [ERROR] The AI model is overloaded\n\n"),
  },
  mxchat: {
    endpoint: ajax,
    page: (nonce) => script(`var mxchatChat = {"ajax_url":"x","model":"gpt","nonce":"${nonce}"};`),
    read: form("mxchat_stream_chat", "message", "nonce"),
    refuse: () =>
      json({ success: false, data: { error_message: "Bitte neu laden.", error_code: "invalid_nonce" } }),
    events: {
      type: "text/event-stream",
      piece: (content) => data({ content }),
      close: () => "data: [DONE]\n\n",
      fail: (error) => data({ error }),
    },
    fail: () => json({ success: false, data: { error_message: "The AI model is overloaded." } }),
  },
  "ai-engine": {
    endpoint: "/wp-json/mwai-ui/v1/chats/submit",
    page: () => "",
    nonceRoute: {
      path: "/wp-json/mwai/v1/start_session",
      method: "POST",
      body: (restNonce) => ({ success: true, sessionId: "66f0c0ffee", restNonce }),
    },
    read: ({ headers, fields }) => ({
      message: fields.botId === "default" && fields.stream === true ? text(fields.newMessage) : undefined,
      nonce: headers.get("x-wp-nonce") ?? undefined,
      session: text(fields.chatId),
    }),
    refuse: cookieCheckFailed,
    events: {
      type: "text/event-stream",
      piece: (piece) => data({ type: "live", data: piece }),
      close: (reply) => data({ type: "end", data: JSON.stringify({ success: true, reply }) }),
      fail: (words) => data({ type: "error", data: words }),
    },
    fail: () => json({ success: false, message: "The AI model is overloaded." }, 500),
  },
  "wp-ai-chat": {
    endpoint: "/wp-json/deepseek/v1/send-message",
    page: (nonce) => script(`var DEEPSEEK_VARS = {"REST_URL":"x","REST_NONCE":"${nonce}"};`),
    read: ({ headers, fields }) => ({
      message: text(fields.message),
      nonce: headers.get("x-wp-nonce") ?? undefined,
      session: text(fields.conversation_id),
    }),
    refuse: cookieCheckFailed,
    events: {
      type: "text/event-stream",
      open: (conversation_id) => data({ conversation_id }),
      piece: (content) => openAiChunk({ content }),
      close: () => `${openAiChunk({}, "stop")}data: [DONE]\n\n`,
      fail: (message) => data({ error: { message } }),
    },
    fail: () =>
      json({ code: "api_error", message: "The AI model is overloaded.", data: { status: 500 } }, 500),
  },
  /** A nonce by GET, and events that say what they are. */
  "wp-ai-chatbot": {
    endpoint: "/wp-json/wpaic/v1/chat/stream",
    page: () => "",
    nonceRoute: { path: "/wp-json/wpaic/v1/nonce", method: "GET", body: (nonce) => ({ nonce }) },
    read: ({ headers, fields }) => ({
      message: text(fields.message),
      nonce: headers.get("x-wp-nonce") ?? undefined,
    }),
    refuse: cookieCheckFailed,
    events: {
      type: "text/event-stream",
      open: () => data({ type: "start" }),
      piece: (content) => data({ type: "content", content }),
      close: () => "data: [DONE]\n\n",
      fail: (message) => data({ type: "error", message }),
    },
    fail: () => json({ code: "model", message: "The AI model is overloaded." }, 500),
  },
  /** No nonce at all, and a reply without a word on success. */
  "wp-chatgpt": {
    endpoint: "/wp-json/wpgpt/v1/send-message",
    page: () => "",
    read: ({ fields }) => ({ message: text(fields.message), nonce: undefined }),
    refuse: cookieCheckFailed,
    whole: (message) => json({ message }),
    fail: () => json({ code: "model", message: "The AI model is overloaded.", data: { status: 500 } }, 500),
  },
} as const satisfies Record<string, PluginWire>;

export type PluginName = keyof typeof pluginWires;
