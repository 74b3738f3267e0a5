import type { Preset } from "../preset.ts";

export const kognetiks: Preset = {
  seen: "The plug-in Kognetiks Chatbot, its code read and tried on WordPress, autumn 2026. No nonce; errors come as replies; visitors are told apart by a cookie.",
  page: "/",
  nonce: "none",
  endpoint: "/wp-admin/admin-ajax.php",
  // One for each conversation, so that none reads of another.
  headers: { cookie: "kognetiks_unique_id={session}" },
  body: {
    form: {
      action: "chatbot_chatgpt_send_message",
      message: "{message}",
      user_id: "0",
      page_id: "0",
      session_id: "{session}",
      client_message_id: "{messageId}",
    },
  },
  reply: ["data"],
  errors: ["Error:"],
  stream: "none",
  models: ["kognetiks"],
  maxChars: 4000,
  // Not tried.
  remembers: false,
};
