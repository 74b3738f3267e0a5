/** When each failure happens, for the documentation and the doctor; the gateway itself has no use for it. */
import type { ErrorCode } from "../../core/errors.ts";

export const errorMeanings: Readonly<Record<ErrorCode, string>> = {
  invalid_json: "the body is not JSON in UTF-8",
  invalid_request: "a field is missing, of the wrong type or out of range; `param` names it",
  unsupported_content: "the model's provider takes no such message part (image, audio, file)",
  unsupported_parameter: "the model's provider can't do what a parameter demands",
  context_length_exceeded: "system text and newest message alone are longer than the provider takes",
  missing_api_key: "no `Authorization: Bearer KEY`",
  invalid_api_key: "the key is not one of the server's",
  forbidden_origin: "a server without API keys on loopback was called under a foreign Host or Origin",
  sessions_need_a_key:
    "what is remembered was asked for on a server without API keys that can be reached from outside",
  model_not_found: "no provider has the model",
  not_found: "no such route",
  method_not_allowed: "the route has other methods; `Allow` lists them",
  request_timeout: "the request's body did not arrive within API_REQUEST_TIMEOUT",
  idempotency_key_reused: "the conversation's last request had the same Idempotency-Key and another body",
  request_too_large: "the body has more than MAX_BODY_BYTES bytes",
  rate_limit_exceeded:
    "the API key has made RATE_LIMIT_RPM requests within a minute; Retry-After says when there is room",
  client_closed_request: "the client left before the answer; seen only in the log",
  overloaded: "too many requests wait for the upstream already",
  api_key_not_configured:
    "the server can be reached from outside and neither a key nor an explicit `API_MASTER_KEY=1` is set",
  upstream_rate_limited: "the upstream limits its callers; its Retry-After is passed on",
  upstream_error: "the upstream says that it failed; its text is in the message",
  upstream_rejected: "an upstream of OpenAI's kind refuses the request; status, code and message are its own",
  upstream_auth_failed: "the upstream does not accept the gateway's own key",
  upstream_invalid_response: "the upstream's answer is not what its API gives; the message says what came",
  upstream_unreachable: "no connection to the upstream, or it was cut",
  upstream_unavailable:
    "the upstream answers 5xx, is in maintenance or has lost its database; its Retry-After is passed on",
  upstream_message_refused:
    "a firewall before the site, which reads messages, refused this one; the same text will be refused again",
  upstream_nonce_unavailable: "the chat page has no usable nonce, or only a stale one",
  upstream_challenge: "the upstream's firewall wants a browser (a Cloudflare challenge or block)",
  upstream_timeout: "the upstream took longer than allowed",
  session_store_unavailable:
    "the store of the conversations can't be reached; Retry-After says when to try again",
  internal_error: "a fault of the gateway itself; the log has the details",
};
