/** A conversation as a file. */
import { h } from "../shared/dom.ts";
import type { Turn } from "./conversation.ts";

export interface Exported {
  readonly model: string;
  readonly system: string;
  readonly turns: readonly Turn[];
}

export const asMarkdown = ({ model, system, turns }: Exported): string =>
  [
    `# ${model}`,
    ...(system.trim() ? [`> ${system.trim().replaceAll("\n", "\n> ")}`] : []),
    ...turns.flatMap(({ question, answer }) => ["## User", question, "## Assistant", answer]),
    "",
  ].join("\n\n");

/** Messages in Chat Completions' shape, so that the file can be sent again. */
export const asJson = ({ model, system, turns }: Exported): string =>
  JSON.stringify(
    {
      model,
      messages: [
        ...(system.trim() ? [{ role: "system", content: system }] : []),
        ...turns.flatMap(({ question, answer, reasoning }) => [
          { role: "user", content: question },
          { role: "assistant", content: answer, ...(reasoning && { reasoning_content: reasoning }) },
        ]),
      ],
      turns: turns.map(({ facts }) => facts),
    },
    null,
    2,
  );

export function download(name: string, type: string, text: string): void {
  const href = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}
