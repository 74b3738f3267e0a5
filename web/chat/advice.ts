/** What a person in front of the page can do about each failure. */
import type { ErrorCode } from "../../core/errors.ts";
import type { Words } from "../shared/language.ts";

const again: Words = ["Try again in a moment.", "请稍后重试。"];
const operator: Words = [
  "Only the operator of this server can put it right: tell them the code and the request id.",
  "只有服务器的管理员能解决：请把错误码和请求 ID 告诉对方。",
];
const otherModel: Words = ["Choose another model, or ask in another way.", "请换一个模型，或换一种问法。"];
const bug: Words = [
  "Tell the operator the request id: the server's log has the details.",
  "请把请求 ID 告诉管理员：服务器日志里有详细信息。",
];
const shorter: Words = [
  "Shorten the message or the system prompt, or choose a model that takes longer texts.",
  "请缩短消息或系统提示词，或换一个能接收更长文本的模型。",
];

const advice: Readonly<Record<ErrorCode, Words>> & Readonly<Record<string, Words | undefined>> = {
  no_connection: [
    "The server can't be reached: is it running, and are you online?",
    "无法连接服务器：它是否在运行？网络是否正常？",
  ],
  connection_lost: [
    "The connection broke before the answer was complete. Try again.",
    "连接在回答完成之前中断，请重试。",
  ],
  missing_api_key: ["Enter the server's API key.", "请填写服务器的 API 密钥。"],
  invalid_api_key: [
    "This key is not one of the server's. Check it for typing errors.",
    "密钥不正确，请检查是否输错。",
  ],
  api_key_expired: [
    "This key has expired. Ask the operator of this server for a new one.",
    "密钥已过期，请向服务器的管理员索取新密钥。",
  ],
  forbidden_origin: [
    "This server has no key and answers its own machine only. Open it as 127.0.0.1, or set API_MASTER_KEY on the server.",
    "服务器未设密钥，只响应本机。请用 127.0.0.1 打开，或在服务器上设置 API_MASTER_KEY。",
  ],
  api_key_not_configured: [
    "Set API_MASTER_KEY on the server, then enter the same key here.",
    "请先在服务器上设置 API_MASTER_KEY，再在此填写同一密钥。",
  ],
  sessions_need_a_key: [
    "A server that is open to everyone keeps no conversations that can be looked at.",
    "对所有人开放的服务器不提供会话查看和删除。",
  ],
  context_length_exceeded: shorter,
  request_too_large: shorter,
  upstream_message_refused: [
    "A firewall before the site refused the wording of this message. Say it in other words, without code if you can.",
    "站点前的防火墙拒绝了这条消息的措辞。请换一种说法，尽量不含代码。",
  ],
  model_not_allowed: [
    "This key may not use the model. Choose another one.",
    "此密钥不能使用该模型，请换一个模型。",
  ],
  model_not_found: ["Choose another model.", "请换一个模型。"],
  unsupported_content: otherModel,
  unsupported_parameter: otherModel,
  upstream_rejected: otherModel,
  upstream_error: otherModel,
  upstream_out_of_credit: otherModel,
  unsupported_encoding: bug,
  rate_limit_exceeded: [
    "You have sent many messages in a minute. Wait a little.",
    "一分钟内消息过多，请稍等。",
  ],
  token_limit_exceeded: [
    "This key has used its tokens for the day. The message says when there will be more.",
    "此密钥今天的 token 已用完。消息中写有何时恢复。",
  ],
  upstream_rate_limited: [
    "The site is limiting requests. Wait a minute, then try again.",
    "站点正在限流，请一分钟后重试。",
  ],
  overloaded: again,
  too_many_bodies: again,
  upstream_unreachable: again,
  upstream_unavailable: [
    "The site is down or in maintenance. Try again later, or choose another model.",
    "站点不可用或正在维护。请稍后重试，或换一个模型。",
  ],
  upstream_invalid_response: again,
  upstream_timeout: [
    "The model took too long. Try again, or ask for less at once.",
    "模型用时过长。请重试，或一次少问一些。",
  ],
  upstream_nonce_unavailable: operator,
  upstream_challenge: operator,
  upstream_auth_failed: operator,
  session_store_unavailable: ["Turn memory off, or try again in a moment.", "请关闭记忆，或稍后重试。"],
  idempotency_key_reused: again,
  request_timeout: again,
  client_closed_request: again,
  invalid_json: bug,
  invalid_request: bug,
  not_found: bug,
  response_not_found: bug,
  previous_response_not_found: bug,
  websocket_unsupported: bug,
  method_not_allowed: bug,
  internal_error: bug,
};

export const adviceOn = (code: string): Words => advice[code] ?? bug;
