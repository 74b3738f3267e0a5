/**
 * What can go wrong at the site or another upstream, and which error a client then gets. The tests of this folder make
 * each fault happen over HTTP; docs/errors.md is written from it (`npm run docs`). core/errors.ts says what each error
 * means.
 */
import type { ErrorCode } from "../../../core/errors.ts";

export interface Fault {
  /** What the upstream does. */
  readonly what: string;
  /** Its mode, as test/fakes/faults.ts lists them. */
  readonly mode: string;
  readonly code: ErrorCode;
  /** `x-should-retry: false`. */
  readonly shouldRetry?: false;
  /** The Retry-After header, in seconds. */
  readonly retryAfter?: number;
  /** What the message of the error says. */
  readonly says?: RegExp;
  /** The real WordPress's simulator can't do it. */
  readonly standInOnly?: true;
}

const challenge = (what: string, mode: string): Fault => ({
  what,
  mode,
  code: "upstream_challenge",
  shouldRetry: false,
  standInOnly: true,
});

/** What a firewall says, to a message or to a fetch of the page. */
const firewallFaults: readonly Fault[] = [
  { what: "a Cloudflare challenge, 403", mode: "challenge", code: "upstream_challenge", shouldRetry: false },
  {
    what: "a Cloudflare challenge, 503",
    mode: "challenge503",
    code: "upstream_challenge",
    shouldRetry: false,
  },
  challenge("a challenge of Anubis, 200", "anubis"),
  challenge("a challenge of Imunify360, 200", "imunify"),
  challenge("a block of Imunify360, as JSON", "imunify_json"),
  challenge("a captcha of LiteSpeed", "lscaptcha"),
  challenge("a challenge of DDoS-Guard", "ddosguard"),
  challenge("a challenge of AWS WAF, 202", "awswaf"),
  {
    what: "Wordfence's limit, with Retry-After: 60",
    mode: "wordfence_limit",
    code: "upstream_rate_limited",
    shouldRetry: false,
    retryAfter: 60,
    standInOnly: true,
  },
];

/** The site's answer to a message. The message reaches it once, and is never sent again. */
export const callFaults: readonly Fault[] = [
  {
    what: "`success: false` with a text",
    mode: "error",
    code: "upstream_error",
    shouldRetry: false,
    says: /AI service is temporarily unavailable/,
  },
  {
    what: "`success: false` with the model's own failure",
    mode: "error=cURL error 28: Operation timed out",
    code: "upstream_error",
    shouldRetry: false,
    says: /cURL error 28/,
  },
  {
    what: "`success: false`, status 500",
    mode: "error_status=500",
    code: "upstream_error",
    shouldRetry: false,
  },
  {
    what: "`success: false`, a text that speaks of a limit",
    mode: "ratelimit200",
    code: "upstream_rate_limited",
    shouldRetry: false,
  },
  {
    what: "429 with Retry-After: 7",
    mode: "ratelimit=7",
    code: "upstream_rate_limited",
    retryAfter: 7,
  },
  {
    what: "429 with Retry-After: 31",
    mode: "ratelimit=31",
    code: "upstream_rate_limited",
    shouldRetry: false,
    retryAfter: 31,
  },
  { what: "429 without Retry-After", mode: "http=429", code: "upstream_rate_limited", shouldRetry: false },
  {
    what: "`success: false`, the message is too long",
    mode: "too_long",
    code: "context_length_exceeded",
    says: /too long/,
  },
  {
    what: "the nonce is refused (403 `-1`), and the page has no other",
    mode: "nonce_real",
    code: "upstream_nonce_unavailable",
    shouldRetry: false,
  },
  {
    what: "the nonce is refused in words (200), and the page has no other",
    mode: "nonce_json",
    code: "upstream_nonce_unavailable",
    shouldRetry: false,
  },
  {
    what: "the nonce is refused in words (403), and the page has no other",
    mode: "nonce_json403",
    code: "upstream_nonce_unavailable",
    shouldRetry: false,
  },
  {
    what: "a firewall of the host refuses the message: 403 with an HTML page, after a message that was accepted",
    mode: "http=403",
    code: "upstream_message_refused",
    shouldRetry: false,
    says: /other messages may pass/,
  },
  {
    what: "ModSecurity's 406, after a message that was accepted",
    mode: "modsec",
    code: "upstream_message_refused",
    shouldRetry: false,
    standInOnly: true,
  },
  {
    what: "Wordfence's block of a message, after one that was accepted",
    mode: "wordfence",
    code: "upstream_message_refused",
    shouldRetry: false,
    standInOnly: true,
  },
  {
    what: "403 with plain words",
    mode: "unauthorized",
    code: "upstream_error",
    shouldRetry: false,
    says: /Unauthorized/,
    standInOnly: true,
  },
  {
    what: "JSON without `success`, but with words",
    mode: "error_json=The model is asleep",
    code: "upstream_error",
    shouldRetry: false,
    says: /The model is asleep/,
    standInOnly: true,
  },
  {
    what: "the nonce is refused in the REST API's words (`rest_cookie_invalid_nonce`), and the page has no other",
    mode: "rest_nonce",
    code: "upstream_nonce_unavailable",
    shouldRetry: false,
    standInOnly: true,
  },
  {
    what: "400: headers or cookies are too large, even without the site's own",
    mode: "large_header",
    code: "upstream_invalid_response",
    says: /UPSTREAM_HEADERS/,
    standInOnly: true,
  },
  ...firewallFaults,
  { what: "500", mode: "http=500", code: "upstream_unavailable" },
  { what: "503", mode: "http=503", code: "upstream_unavailable" },
  { what: "504", mode: "http=504", code: "upstream_unavailable" },
  { what: "Cloudflare's own 502", mode: "cf502", code: "upstream_unavailable" },
  { what: "the PHP process dies", mode: "kill", code: "upstream_unavailable" },
  {
    what: "a PHP fatal error",
    mode: "fatal",
    code: "upstream_unavailable",
  },
  { what: "the connection is cut in the middle", mode: "cut", code: "upstream_unreachable" },
  { what: "404", mode: "http=404", code: "upstream_invalid_response", says: /404/ },
  { what: "`success: true` without data", mode: "success_nodata", code: "upstream_invalid_response" },
  { what: "`data` is `{}`", mode: "data_empty_object", code: "upstream_invalid_response" },
  { what: "`data` is `[]`", mode: "data_empty_array", code: "upstream_invalid_response" },
  { what: "`message` is `null`", mode: "message_null", code: "upstream_invalid_response" },
  { what: '`message` is `""`', mode: "message_empty", code: "upstream_invalid_response" },
  { what: "JSON that ends early", mode: "truncated_json", code: "upstream_invalid_response" },
  { what: "nothing", mode: "empty", code: "upstream_invalid_response", says: /empty/ },
  { what: "`0`", mode: "zero", code: "upstream_invalid_response", says: /"0"/ },
  { what: "`null`", mode: "null", code: "upstream_invalid_response", says: /"null"/, standInOnly: true },
  { what: "400 `0`: unknown action", mode: "unknown_action", code: "upstream_invalid_response" },
  { what: "200 with an HTML page", mode: "html200", code: "upstream_invalid_response", says: /Log In/ },
  { what: "a redirect to the login page", mode: "redirect", code: "upstream_invalid_response" },
  {
    what: "a redirect to another host",
    mode: "redirect=https://elsewhere.example/",
    code: "upstream_invalid_response",
  },
];

/** The site's answer when the chat page is fetched for its nonce. No message is sent. */
export const pageFaults: readonly Fault[] = [
  ...firewallFaults,
  {
    what: "ModSecurity's 406",
    mode: "modsec",
    code: "upstream_challenge",
    shouldRetry: false,
    standInOnly: true,
  },
  { what: "429", mode: "http=429", code: "upstream_rate_limited", shouldRetry: false },
  { what: "500", mode: "http=500", code: "upstream_unavailable" },
  { what: "503", mode: "http=503", code: "upstream_unavailable" },
  { what: "Cloudflare's own 502", mode: "cf502", code: "upstream_unavailable" },
  { what: "a PHP fatal error", mode: "fatal", code: "upstream_unavailable" },
  { what: "the PHP process dies", mode: "kill", code: "upstream_unavailable" },
  { what: "the connection is cut in the middle", mode: "cut", code: "upstream_unreachable" },
  {
    what: "a page of another kind",
    mode: "html200",
    code: "upstream_nonce_unavailable",
    shouldRetry: false,
  },
  { what: "an empty page", mode: "empty", code: "upstream_nonce_unavailable", shouldRetry: false },
  {
    what: "404, without a nonce",
    mode: "notfound",
    code: "upstream_nonce_unavailable",
    shouldRetry: false,
    standInOnly: true,
  },
  {
    what: "a redirect to the login page",
    mode: "redirect",
    code: "upstream_nonce_unavailable",
    shouldRetry: false,
  },
  {
    what: "a redirect to another host",
    mode: "redirect=https://elsewhere.example/",
    code: "upstream_nonce_unavailable",
    shouldRetry: false,
    says: /another site/,
  },
];

/** What befalls the whole site; the tests bring each about in its own way. */
export const siteFaults = {
  maintenance: {
    what: "WordPress is in maintenance (503, Retry-After: 600)",
    mode: "maintenance",
    code: "upstream_unavailable",
    shouldRetry: false,
    retryAfter: 600,
  },
  database: {
    what: "WordPress has lost its database (status 200)",
    mode: "database",
    code: "upstream_unavailable",
    says: /database/,
  },
  refused: { what: "no connection is accepted", mode: "refused", code: "upstream_unreachable" },
  silent: {
    what: "no answer within API_REQUEST_TIMEOUT",
    mode: "slow",
    code: "upstream_timeout",
    shouldRetry: false,
  },
} as const satisfies Record<string, Fault>;

const openAiError = (code: string, message: string, type = "invalid_request_error") =>
  JSON.stringify({ error: { message, type, param: null, code } });

/** How an upstream of OpenAI's kind fails. It gets each request once. */
export interface UpstreamFault extends Omit<Fault, "mode" | "standInOnly"> {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
  /** The connection breaks after the body. */
  readonly isCut?: true;
  /** What the client sees where that is not our own status and code. */
  readonly shown?: { readonly status?: number; readonly code: string };
}

const eventStream = { "content-type": "text/event-stream" };
const beginning = `data: ${JSON.stringify({
  choices: [{ index: 0, delta: { role: "assistant" }, finish_reason: null }],
})}\n\n`;

export const upstreamFaults: readonly UpstreamFault[] = [
  {
    what: "402: our account has no credit",
    status: 402,
    body: openAiError("insufficient_balance", "Insufficient Balance"),
    code: "upstream_out_of_credit",
    shown: { status: 402, code: "insufficient_balance" },
    shouldRetry: false,
  },
  {
    what: "403: our account has no credit, in words",
    status: 403,
    body: openAiError("forbidden", "Your account has insufficient quota"),
    code: "upstream_out_of_credit",
    shown: { status: 402, code: "forbidden" },
    shouldRetry: false,
  },
  {
    what: "404: the model was removed",
    status: 404,
    body: openAiError("model_not_found", "The model does not exist"),
    code: "model_not_found",
    shown: { status: 404, code: "model_not_found" },
  },
  {
    what: "400: the model takes no images",
    status: 400,
    body: openAiError("bad_request", "This model does not support image input"),
    code: "unsupported_content",
    shown: { status: 400, code: "bad_request" },
  },
  {
    what: "400: the model has no tools",
    status: 400,
    body: openAiError("bad_request", "This model does not support tools"),
    code: "unsupported_parameter",
    shown: { status: 400, code: "bad_request" },
  },
  {
    what: "401: our key is refused",
    status: 401,
    body: openAiError("invalid_api_key", "Incorrect API key provided"),
    code: "upstream_auth_failed",
    shouldRetry: false,
  },
  {
    what: "400 with an error of its own",
    status: 400,
    body: openAiError("string_above_max_length", "Invalid 'messages'"),
    code: "upstream_rejected",
    shown: { status: 400, code: "string_above_max_length" },
  },
  {
    what: "400: the context is too long",
    status: 400,
    body: openAiError("context_length_exceeded", "maximum context length is 8192 tokens"),
    code: "context_length_exceeded",
  },
  {
    what: "429 with Retry-After: 3",
    status: 429,
    headers: { "retry-after": "3" },
    body: openAiError("rate_limit_exceeded", "Slow down", "requests"),
    code: "upstream_rate_limited",
    retryAfter: 3,
    shown: { code: "rate_limit_exceeded" },
  },
  {
    what: "500 with an error of its own",
    status: 500,
    body: openAiError("server_error", "The server had an error", "server_error"),
    code: "upstream_unavailable",
    shown: { status: 500, code: "server_error" },
  },
  {
    what: "503 with Retry-After: 120",
    status: 503,
    headers: { "retry-after": "120" },
    body: "<html>busy</html>",
    code: "upstream_unavailable",
    retryAfter: 120,
    shouldRetry: false,
  },
  {
    what: "404 with an HTML page",
    status: 404,
    body: "<html>Not Found</html>",
    code: "upstream_invalid_response",
  },
  {
    what: "a redirect",
    status: 307,
    headers: { location: "https://elsewhere.example/" },
    body: "",
    code: "upstream_invalid_response",
  },
  { what: "200 with an HTML page", status: 200, body: "<html>Hi</html>", code: "upstream_invalid_response" },
  { what: "nothing", status: 200, body: "", code: "upstream_invalid_response" },
  {
    what: "a stream that ends before its reply",
    status: 200,
    headers: eventStream,
    body: beginning,
    code: "upstream_unreachable",
  },
  {
    what: "a stream that is cut",
    status: 200,
    headers: eventStream,
    body: beginning,
    isCut: true,
    code: "upstream_unreachable",
  },
  {
    what: "an error event",
    status: 200,
    headers: eventStream,
    body: `data: ${openAiError("server_error", "The model fell over", "server_error")}\n\n`,
    code: "upstream_error",
    shouldRetry: false,
    shown: { code: "server_error" },
  },
  {
    what: "a Cloudflare challenge",
    status: 403,
    headers: { "cf-mitigated": "challenge" },
    body: "<title>Just a moment...</title>",
    code: "upstream_challenge",
    shouldRetry: false,
  },
  {
    what: "400 of Gemini's: our key is refused",
    status: 400,
    body: JSON.stringify([
      {
        error: {
          code: 400,
          message: "API key not valid. Please pass a valid API key.",
          status: "INVALID_ARGUMENT",
        },
      },
    ]),
    code: "upstream_auth_failed",
    shouldRetry: false,
  },
  {
    what: "a 4xx with a list of errors",
    status: 400,
    body: JSON.stringify({
      success: false,
      errors: [{ code: 5007, message: "Input is not valid" }],
      result: null,
    }),
    code: "upstream_rejected",
    shown: { status: 400, code: "upstream_rejected" },
    says: /Input is not valid/,
  },
  {
    what: "200 with an error in `base_resp`",
    status: 200,
    body: JSON.stringify({ choices: null, base_resp: { status_code: 1002, status_msg: "rate limit" } }),
    code: "upstream_rate_limited",
    shouldRetry: false,
    says: /rate limit/,
  },
  {
    what: "429 that says in its body how long to wait",
    status: 429,
    body: JSON.stringify({
      error: {
        message: "Quota exceeded",
        details: [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "9s" }],
      },
    }),
    code: "upstream_rate_limited",
    retryAfter: 9,
  },
  {
    what: "an event of a code and a message",
    status: 200,
    headers: eventStream,
    body: `data: ${JSON.stringify({ error_code: 17, error_msg: "Daily request limit reached" })}\n\n`,
    code: "upstream_rate_limited",
    shouldRetry: false,
    says: /Daily request limit/,
  },
  {
    what: "an event field `error`",
    status: 200,
    headers: eventStream,
    body: `error: ${JSON.stringify({ code: 400, message: "the request exceeds the available context size" })}\n\n`,
    code: "context_length_exceeded",
    says: /context size/,
  },
  {
    what: "a finish_reason that is a failure",
    status: 200,
    headers: eventStream,
    body: `data: ${JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: "network_error" }] })}\n\n`,
    code: "upstream_error",
    shouldRetry: false,
    says: /network_error/,
  },
  {
    what: "a stream of remarks",
    status: 200,
    headers: eventStream,
    body: "data: ping\n\ndata: null\n\ndata: []\n\n",
    code: "upstream_unreachable",
  },
];
