import type { Preset } from "../preset.ts";

export const kimi: Preset = {
  seen: "The page and admin-ajax of kimi-ai.chat as its own script speaks with them, September 2025; refusals as WordPress 6.1 to 7.1 sends them.",
  site: "https://kimi-ai.chat",
  page: "/chat/",
  nonce: { in: "kimi_ajax", path: "nonce", field: "nonce", refused: ["-1"] },
  endpoint: "/wp-admin/admin-ajax.php",
  body: {
    form: {
      action: "kimi_send_message",
      message: "{message}",
      model: "{model}",
      session_id: "{session}",
    },
  },
  reply: ["data.message", "data"],
  stream: "none",
  models: [
    "kimi-k2-instruct-0905=moonshotai/Kimi-K2-Instruct-0905",
    "kimi-k2-instruct=moonshotai/Kimi-K2-Instruct",
  ],
  maxChars: 1000,
  // Whether the site keeps what it gets under a session_id is not known.
  remembers: false,
};
