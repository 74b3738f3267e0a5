import type { Preset } from "../preset.ts";

export const mxchat: Preset = {
  seen: "The plug-in MxChat, its code read and tried on WordPress, autumn 2026: events without a type, or JSON where the site has streaming off.",
  page: "/",
  nonce: { in: "mxchatChat", path: "nonce", field: "nonce", refused: ["-1"] },
  endpoint: "/wp-admin/admin-ajax.php",
  body: {
    form: {
      action: "mxchat_stream_chat",
      message: "{message}",
      session_id: "{session}",
      bot_id: "{model}",
    },
  },
  reply: ["text", "html", "data.text", "data.html"],
  stream: { text: ["content", "text"] },
  models: ["mxchat=default"],
  maxChars: 4000,
  // Not tried.
  remembers: false,
};
