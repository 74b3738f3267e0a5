/** Buttons that copy a text. */
import { h } from "./dom.ts";
import { labelled, say, type Words, worded } from "./language.ts";
import { announce } from "./status.ts";

const words = {
  copy: ["Copy", "复制"],
  copied: ["Copied", "已复制"],
  failed: ["Copying is not allowed here", "此处不允许复制"],
} satisfies Record<string, Words>;

/** Pages without TLS have no clipboard but the old way. */
function copyByHand(text: string): boolean {
  const area = h("textarea", { value: text, className: "offscreen" });
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyByHand(text);
  }
}

/** `what` names for screen readers what is copied. */
export function copyButton(text: () => string, what?: Words): HTMLButtonElement {
  const button: HTMLButtonElement = h("button", {
    type: "button",
    className: "quiet small",
    async onclick() {
      const result = (await copyText(text())) ? words.copied : words.failed;
      button.textContent = say(result);
      announce(say(result));
      setTimeout(() => {
        button.textContent = say(words.copy);
      }, 1500);
    },
  });
  worded(button, words.copy);
  return what ? labelled(button, what) : button;
}
