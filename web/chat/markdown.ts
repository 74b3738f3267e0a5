/** Markdown as it streams: elements are only ever added, so that what is read or selected stays where it is. */
import * as smd from "streaming-markdown";
import { copyButton } from "../shared/copy.ts";
import { h } from "../shared/dom.ts";
import type { Words } from "../shared/language.ts";
import { showCode } from "./highlight.ts";

const copyCode: Words = ["Copy this code", "复制这段代码"];

/** Links that a model may make; `javascript:` and the like stay text. */
const allowedLink = /^(https?:|mailto:)/i;

/** The page has two levels of headings itself. */
const headings: ReadonlyMap<number, "h3" | "h4" | "h5"> = new Map([
  [smd.HEADING_1, "h3"],
  [smd.HEADING_2, "h3"],
  [smd.HEADING_3, "h4"],
  [smd.HEADING_4, "h5"],
  [smd.HEADING_5, "h5"],
  [smd.HEADING_6, "h5"],
]);

class CodeBlock {
  readonly element: HTMLElement;
  readonly #code = h("code", { tabIndex: 0 });
  readonly #name = h("span");
  #text = "";
  #language = "";
  #isDue = false;

  constructor() {
    this.element = h(
      "div",
      { className: "code" },
      h(
        "div",
        { className: "code-head" },
        this.#name,
        copyButton(() => this.#text, copyCode),
      ),
      h("pre", {}, this.#code),
    );
  }

  set language(language: string) {
    this.#language = language;
    this.#name.textContent = language;
    this.#show();
  }

  append(text: string): void {
    this.#text += text;
    this.#show();
  }

  /** Once a frame, however many pieces arrive. */
  #show(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      showCode(this.#code, this.#text, this.#language);
    });
  }
}

export interface MarkdownWriter {
  write(text: string): void;
  end(): void;
}

export function markdownInto(root: HTMLElement): MarkdownWriter {
  const own = smd.default_renderer(root);
  const { data } = own;
  /** The code block that is open: the library puts no element into one. */
  let block: CodeBlock | undefined;

  const open = (element: HTMLElement): void => {
    data.nodes[data.index]?.append(element);
    data.nodes[++data.index] = element;
  };

  const parser = smd.parser({
    ...own,
    add_token(_, type) {
      const heading = headings.get(type);
      if (type === smd.CODE_BLOCK || type === smd.CODE_FENCE) {
        block = new CodeBlock();
        open(block.element);
      } else if (heading) open(h(heading));
      // An image would be fetched from wherever the model says, which tells there what was asked.
      else if (type === smd.IMAGE || type === smd.LINK || type === smd.RAW_URL) open(h("a"));
      else if (type === smd.TABLE) {
        open(h("div", { className: "table", tabIndex: 0 }));
        const table = h("table");
        data.nodes[data.index]?.append(table);
        data.nodes[data.index] = table;
      } else own.add_token(data, type);
    },
    end_token() {
      if (block && data.nodes[data.index] === block.element) block = undefined;
      own.end_token(data);
    },
    add_text(_, text) {
      if (block) block.append(text);
      else own.add_text(data, text);
    },
    set_attr(_, type, value) {
      const node = data.nodes[data.index];
      if (type === smd.LANG && block) block.language = value;
      else if ((type === smd.HREF || type === smd.SRC) && node instanceof HTMLAnchorElement) {
        if (!allowedLink.test(value)) return;
        Object.assign(node, { href: value, target: "_blank", rel: "noopener noreferrer" });
      } else if (type === smd.CHECKED || type === smd.START) own.set_attr(data, type, value);
    },
  });
  /** How many brackets are open in the address of a link: the library takes the first that closes for its end. */
  let depth = 0;
  const mended = (piece: string): string => {
    const isAddress =
      (parser.token === smd.LINK || parser.token === smd.IMAGE) && parser.pending.startsWith("](");
    if (!isAddress) depth = 0;
    else if (piece === "(") {
      depth++;
      return "%28";
    } else if (piece === ")" && depth-- > 0) return "%29";
    return piece;
  };

  return {
    write(text) {
      for (const piece of text.split(/([()])/)) smd.parser_write(parser, mended(piece));
    },
    end: () => smd.parser_end(parser),
  };
}
