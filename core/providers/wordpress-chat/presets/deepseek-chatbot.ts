import type { Preset } from "../preset.ts";

export const deepseekChatbot: Preset = {
  seen: "The plug-in deepseek-chatbot, its code read and tried on WordPress, autumn 2026. It has no sessions, and no limit of its own was found.",
  page: "/",
  nonce: { in: "dsb", path: "nonce", field: "nonce", refused: ["-1"] },
  endpoint: "/wp-admin/admin-ajax.php",
  body: { form: { action: "dsb_chat", msg: "{message}" } },
  reply: ["data"],
  stream: "none",
  models: ["deepseek-chatbot"],
  maxChars: 4000,
  remembers: false,
};
