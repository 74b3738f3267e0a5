import type { Preset } from "../preset.ts";

export const aiEngine: Preset = {
  seen: "The plug-in AI Engine, its code read and tried on WordPress, autumn 2026. A chatbot of another id than default is named in models: my-bot=chatbot-abc123.",
  page: "/",
  nonce: {
    route: "/wp-json/mwai/v1/start_session",
    method: "POST",
    body: { json: {} },
    path: "restNonce",
    header: "X-WP-Nonce",
    refused: ["rest_cookie_invalid_nonce"],
  },
  endpoint: "/wp-json/mwai-ui/v1/chats/submit",
  body: { json: { botId: "{model}", chatId: "{session}", newMessage: "{message}", stream: true } },
  reply: ["reply"],
  stream: { type: "type", delta: ["live"], end: ["end"], error: ["error"], text: ["data"] },
  models: ["ai-engine=default"],
  maxChars: 4000,
  // Its own script sends what was said before with each message.
  remembers: false,
};
