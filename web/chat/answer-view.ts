/** An answer on the page: reasoning, tool calls, text, what is to be said of it, and its failure. */
import { copyButton } from "../shared/copy.ts";
import { h } from "../shared/dom.ts";
import { type Values, type Words, worded } from "../shared/language.ts";
import type { ServerFailure } from "../shared/server.ts";
import { adviceOn } from "./advice.ts";
import { type MarkdownWriter, markdownInto } from "./markdown.ts";
import type { Notice } from "./notices.ts";
import type { Wire } from "./request.ts";

const words = {
  title: ["Answer", "回答"],
  waiting: ["Waiting for the first words…", "正在等待回复…"],
  reasoning: ["Reasoning", "思考过程"],
  tool: ["Calls the tool {name}", "调用工具 {name}"],
  copy: ["Copy this answer", "复制这条回答"],
  again: ["Regenerate", "重新生成"],
  retry: ["Try again", "重试"],
  wire: ["Request and response", "原始请求与响应"],
  request: ["Request (without the key)", "请求（不含密钥）"],
  response: ["Response", "响应"],
  copyRequest: ["Copy the request", "复制请求"],
  copyResponse: ["Copy the response", "复制响应"],
  failed: ["No answer", "未能回答"],
  brokeOff: ["The answer broke off", "回答中断"],
  stopped: ["Stopped.", "已停止。"],
  tooLong: ["The answer was cut at its longest length.", "回答达到最大长度，已被截断。"],
  filtered: ["The answer was ended by the upstream's filter.", "回答被上游过滤器中止。"],
  requestId: ["Request id", "请求 ID"],
  waitFor: ["The server asks to wait for {n} s.", "服务器要求等待 {n} 秒。"],
} satisfies Record<string, Words>;

const folded = (title: Words, values?: Values) => {
  const body = h("div", { className: "folded" });
  const element = h("details", {}, worded(h("summary"), title, values), body);
  return { element, body };
};

export interface AnswerView {
  readonly element: HTMLElement;
  text(delta: string): void;
  reasoning(delta: string): void;
  toolCall(index: number, name: string | undefined, args: string): void;
  notice(notice: Notice): void;
  /** The upstream's reason for the end, where it is worth a word. */
  finished(reason: string): void;
  fail(failure: ServerFailure): void;
  stopped(): void;
  /** The answer is over, however it ended. `line` has its facts. */
  end(line: string, wire: Wire): void;
}

export function createAnswerView(options: {
  readonly answer: () => string;
  readonly regenerate: () => void;
}): AnswerView {
  const waiting = worded(h("p", { className: "waiting" }), words.waiting);
  const aside = h("div");
  const text = h("div", { className: "text" });
  const remarks = h("div");
  const foot = h("div", { className: "foot" });
  const element = h(
    "article",
    { className: "answer", "aria-busy": "true" },
    worded(h("h2", { className: "offscreen" }), words.title),
    waiting,
    aside,
    text,
    remarks,
    foot,
  );

  let markdown: MarkdownWriter | undefined;
  let thoughts: HTMLElement | undefined;
  const tools = new Map<number, HTMLElement>();

  const remark = (title: Words, values?: Values, className = "remark") =>
    remarks.append(worded(h("p", { className }), title, values));

  return {
    element,
    text(delta) {
      waiting.remove();
      markdown ??= markdownInto(text);
      markdown.write(delta);
    },
    reasoning(delta) {
      waiting.remove();
      if (thoughts === undefined) {
        const { element: box, body } = folded(words.reasoning);
        aside.prepend(box);
        thoughts = body;
      }
      thoughts.append(delta);
    },
    toolCall(index, name, args) {
      waiting.remove();
      let body = tools.get(index);
      if (body === undefined) {
        const box = folded(words.tool, { name: name ?? "" });
        aside.append(box.element);
        body = h("pre", { tabIndex: 0 });
        box.body.append(body);
        tools.set(index, body);
      }
      body.append(args);
    },
    notice({ words: said, values, isWarning }) {
      remark(said, values, isWarning ? "remark warning" : "remark");
    },
    finished(reason) {
      if (reason === "length") remark(words.tooLong);
      if (reason === "content_filter") remark(words.filtered);
    },
    stopped() {
      remark(words.stopped);
    },
    fail(failure) {
      const status = failure.status >= 400 ? ` · HTTP ${failure.status}` : "";
      remarks.append(
        h(
          "div",
          { className: "failure" },
          worded(h("strong"), markdown ? words.brokeOff : words.failed),
          h("p", {}, failure.message),
          worded(h("p"), adviceOn(failure.code)),
          failure.retryAfter !== null && worded(h("p"), words.waitFor, { n: failure.retryAfter }),
          h("p", { className: "facts" }, h("code", {}, failure.code), status),
          failure.requestId !== "" &&
            h(
              "p",
              { className: "facts" },
              worded(h("span"), words.requestId),
              " ",
              h("code", {}, failure.requestId),
            ),
          worded(h("button", { type: "button", onclick: options.regenerate }), words.retry),
        ),
      );
    },
    end(line, wire) {
      waiting.remove();
      markdown?.end();
      element.setAttribute("aria-busy", "false");
      const { element: drawer, body } = folded(words.wire);
      drawer.className = "wire";
      drawer.addEventListener(
        "toggle",
        () => {
          for (const [title, copy, content] of [
            [words.request, words.copyRequest, wire.request],
            [words.response, words.copyResponse, wire.response],
          ] as const) {
            body.append(
              h(
                "div",
                { className: "code-head" },
                worded(h("span"), title),
                copyButton(() => content, copy),
              ),
              h("pre", { tabIndex: 0 }, content),
            );
          }
        },
        { once: true },
      );
      foot.append(
        h(
          "div",
          { className: "actions" },
          options.answer() !== "" && copyButton(options.answer, words.copy),
          worded(
            h("button", { type: "button", className: "quiet small", onclick: options.regenerate }),
            words.again,
          ),
          h("span", { className: "facts" }, line),
        ),
        drawer,
      );
    },
  };
}
