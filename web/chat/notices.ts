/** What an answer's headers say of it, in words. */
import type { Values, Words } from "../shared/language.ts";

export interface Notice {
  readonly words: Words;
  readonly values?: Values;
  /** Whether it is more than a remark. */
  readonly isWarning?: boolean;
}

type Read = (value: string, headers: Headers) => Notice | undefined;

const count =
  (words: Words): Read =>
  (value) =>
    Number(value) > 0 ? { words, values: { n: value }, isWarning: true } : undefined;

const readers: Readonly<Record<string, Read>> = {
  "x-context-dropped-messages": count([
    "{n} earlier messages were left out, because the site takes 1,000 characters at a time.",
    "有 {n} 条较早的消息未发送：站点每次只接收 1,000 个字符。",
  ]),
  "x-context-shortened-messages": count([
    "{n} messages were shortened, because the site takes 1,000 characters at a time.",
    "有 {n} 条消息被缩短：站点每次只接收 1,000 个字符。",
  ]),
  "x-context-condensed": (value) => {
    const [, from = "", to = ""] = /^(\d+)>(\d+)/.exec(value) ?? [];
    return {
      words: [
        "Your long text was condensed from {from} to {to} characters before the model saw it.",
        "长文本在发送给模型之前从 {from} 个字符浓缩为 {to} 个字符。",
      ],
      values: { from, to },
      isWarning: true,
    };
  },
  "x-fallback-from": (value) => ({
    words: ["{from} failed, so another model has answered.", "{from} 未能回答，由另一个模型代答。"],
    values: { from: value },
    isWarning: true,
  }),
  "x-session-saved": (value, headers) =>
    value === "false"
      ? {
          words: [
            "This turn was not kept, so the next answer may not know of it. {reason}",
            "本轮对话未保存，后续回答可能不知道它。{reason}",
          ],
          values: { reason: headers.get("x-session-reason") ?? "" },
          isWarning: true,
        }
      : undefined,
  "x-session-shared": (value) =>
    value === "false"
      ? {
          words: [
            "The server runs as many instances without a shared store: memory may be lost between messages.",
            "服务器由多个实例组成且没有共享存储：消息之间可能丢失记忆。",
          ],
          isWarning: true,
        }
      : undefined,
};

export const noticesOf = (headers: Headers): Notice[] =>
  Object.entries(readers).flatMap(([name, read]) => {
    const value = headers.get(name);
    const notice = value === null ? undefined : read(value, headers);
    return notice ? [notice] : [];
  });
