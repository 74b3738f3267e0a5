/** Splits the thoughts that models without a parser put before their text, as `<think>…</think>`. */

export interface SplitText {
  readonly text: string;
  readonly reasoning: string;
}

/** A fence of Markdown, or the quote of a piece of code. */
const fence = /^ {0,3}(```|~~~)/;

/** One reply's text, split piece by piece: tags may be cut anywhere. */
export class ReasoningTags {
  readonly #tags: readonly string[];
  #state: "before" | "inside" | "after" | "text" = "before";
  #closing = "";
  /** What can't be told yet: the beginning of a reply, or of a tag. */
  #pending = "";
  /** The current line of the thoughts, and whether it stands in a block of code. */
  #line = "";
  #isFenced = false;

  constructor(tags: readonly string[]) {
    this.#tags = tags;
  }

  /** The next piece of the text; with `isEnd` nothing is kept back. */
  read(piece: string, isEnd: boolean): SplitText {
    if (this.#state === "text") return { text: piece, reasoning: "" };
    this.#pending += piece;
    let reasoning = "";
    if (this.#state === "before") this.#open(isEnd);
    if (this.#state === "inside") reasoning = this.#think(isEnd);
    if (this.#state === "after") this.#pending = this.#pending.trimStart();
    if (this.#state === "after" && this.#pending !== "") this.#state = "text";
    if (this.#state !== "text" && !isEnd) return { text: "", reasoning };
    const text = this.#pending;
    this.#pending = "";
    return { text, reasoning };
  }

  /** Looks for an opening tag, which only blanks may precede. */
  #open(isEnd: boolean): void {
    const start = this.#pending.trimStart();
    for (const tag of this.#tags) {
      const opening = `<${tag}>`;
      if (start.startsWith(opening)) {
        this.#state = "inside";
        this.#closing = `</${tag}>`;
        this.#pending = start.slice(opening.length).trimStart();
        return;
      }
    }
    const mayOpen = this.#tags.some((tag) => `<${tag}>`.startsWith(start));
    if (!mayOpen || isEnd) this.#state = "text";
  }

  /** Takes the thoughts out of what is pending, up to the closing tag that is not part of code. */
  #think(isEnd: boolean): string {
    let thoughts = "";
    for (;;) {
      const at = this.#pending.indexOf("<");
      const end = at < 0 ? this.#pending.length : at;
      thoughts += this.#pass(end);
      if (at < 0) return thoughts;
      // One more character tells whether the tag is quoted.
      const isWhole = this.#pending.length > this.#closing.length;
      if (this.#pending.startsWith(this.#closing) && (isWhole || isEnd)) {
        if (!this.#isCode()) {
          this.#pending = this.#pending.slice(this.#closing.length);
          this.#state = "after";
          return thoughts.trimEnd();
        }
      } else if (!isEnd && this.#closing.startsWith(this.#pending.slice(0, this.#closing.length))) {
        return thoughts;
      }
      thoughts += this.#pass(1);
    }
  }

  /** Takes so many characters of thoughts. */
  #pass(length: number): string {
    const passed = this.#pending.slice(0, length);
    this.#pending = this.#pending.slice(length);
    const lines = (this.#line + passed).split("\n");
    this.#line = lines.pop() ?? "";
    for (const line of lines) if (fence.test(line)) this.#isFenced = !this.#isFenced;
    return passed;
  }

  /** Whether the closing tag that comes next stands in a block of code, or between backticks. */
  #isCode(): boolean {
    if (this.#isFenced) return true;
    const isQuoted = (this.#line.match(/`/g) ?? []).length % 2 === 1;
    return isQuoted && this.#pending[this.#closing.length] === "`";
  }
}
