/** What settings speak with each of the stand-in's plug-ins: a preset, or one with overrides. */
import type { WordpressChatOptions } from "../../../../core/providers/wordpress-chat/provider.ts";
import type { PluginName } from "../../../fakes/chat-plugin-wires.ts";

export const pluginSettings: Readonly<Record<PluginName, WordpressChatOptions>> = {
  kimi: { preset: "kimi" },
  "deepseek-chatbot": { preset: "deepseek-chatbot" },
  kognetiks: { preset: "kognetiks" },
  mxchat: { preset: "mxchat" },
  "ai-engine": { preset: "ai-engine" },
  "wp-ai-chat": { preset: "wp-ai-chat" },
  "openwebui-chatbot": {
    preset: "deepseek-chatbot",
    nonce: { in: "owc", refused: ["Ugyldig forespørsel"] },
    body: { form: { action: "owc_chat", msg: "{message}" } },
  },
  wpbot: {
    nonce: { in: "qcld_chatbot_obj", field: "nonce" },
    body: { form: { action: "qcld_stream_openai", name: "Guest", keyword: "{message}" } },
    stream: "openai",
  },
  "wp-ai-chatbot": {
    nonce: { route: "/wp-json/wpaic/v1/nonce", header: "X-WP-Nonce" },
    endpoint: "/wp-json/wpaic/v1/chat/stream",
    body: { json: { message: "{message}" } },
    stream: { delta: ["content"], error: ["error"], text: ["content"] },
  },
  "wp-chatgpt": {
    endpoint: "/wp-json/wpgpt/v1/send-message",
    body: { json: { message: "{message}" } },
    reply: ["message"],
  },
};
