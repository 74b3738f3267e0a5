import type { Preset } from "../preset.ts";

export const wpAiChat: Preset = {
  seen: "The plug-in wp-ai-chat, its code read and tried on WordPress, autumn 2026: OpenAI's events, and one that names the conversation.",
  page: "/",
  nonce: {
    in: "DEEPSEEK_VARS",
    path: "REST_NONCE",
    header: "X-WP-Nonce",
    refused: ["rest_cookie_invalid_nonce"],
  },
  endpoint: "/wp-json/deepseek/v1/send-message",
  body: { json: { message: "{message}", conversation_id: "{session}" } },
  reply: ["choices.0.message.content", "message"],
  stream: "openai",
  session: "conversation_id",
  models: ["wp-ai-chat"],
  maxChars: 4000,
  // Not tried.
  remembers: false,
};
