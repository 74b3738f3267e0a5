/** The one live region of a page: what happened, in a sentence, for those who don't see it. */
import { h } from "./dom.ts";

const line = h("div", { role: "status", className: "offscreen" });
document.body.append(line);

export const announce = (text: string): void => {
  line.textContent = text;
};
