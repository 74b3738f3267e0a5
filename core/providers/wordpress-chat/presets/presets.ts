/** The chat plug-ins that are known. */
import type { Preset } from "../preset.ts";
import { aiEngine } from "./ai-engine.ts";
import { deepseekChatbot } from "./deepseek-chatbot.ts";
import { kimi } from "./kimi.ts";
import { kognetiks } from "./kognetiks.ts";
import { mxchat } from "./mxchat.ts";
import { wpAiChat } from "./wp-ai-chat.ts";

/** By the name under which settings know each. */
export const presets = {
  kimi,
  "deepseek-chatbot": deepseekChatbot,
  kognetiks,
  mxchat,
  "ai-engine": aiEngine,
  "wp-ai-chat": wpAiChat,
} as const satisfies Record<string, Preset>;

export type PresetName = keyof typeof presets;

export const isPresetName = (name: string): name is PresetName => Object.hasOwn(presets, name);
