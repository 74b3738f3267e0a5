/** The chat: a conversation, its settings and the field for the next message. */
import { copyButton } from "../shared/copy.ts";
import { h } from "../shared/dom.ts";
import { labelled, onLanguage, say, type Words, worded } from "../shared/language.ts";
import { ask, ServerFailure } from "../shared/server.ts";
import { announce } from "../shared/status.ts";
import { createAnswerView } from "./answer-view.ts";
import { createConversation, type Turn } from "./conversation.ts";
import { asJson, asMarkdown, download } from "./export.ts";
import { noticesOf } from "./notices.ts";
import { requestAnswer, type Wire } from "./request.ts";
import { type ChatSettings, createSettings } from "./settings-view.ts";

const words = {
  title: ["Chat", "聊天"],
  hello: ["What would you like to know?", "想聊点什么？"],
  hint: [
    "Whatever you write goes through this server to the model that you choose. Nothing is kept in this page: a reload begins anew.",
    "你写的内容经由此服务器发送给所选模型。页面不保存任何内容，刷新即重新开始。",
  ],
  conversation: ["Conversation", "对话"],
  message: ["Message", "消息"],
  placeholder: ["Write a message…", "输入消息…"],
  send: ["Send", "发送"],
  stop: ["Stop", "停止"],
  keys: ["Enter sends, Shift+Enter breaks the line, Esc stops", "Enter 发送，Shift+Enter 换行，Esc 停止"],
  long: [
    "{n} characters: the site takes 1,000 at a time, the rest is shortened or left out",
    "{n} 个字符：站点每次只接收 1,000 个字符，其余会被缩短或省略",
  ],
  edit: ["Edit", "编辑"],
  save: ["Send again", "重新发送"],
  cancel: ["Cancel", "取消"],
  copy: ["Copy this message", "复制这条消息"],
  edited: ["Edit the message", "编辑消息"],
  fresh: ["New chat", "新对话"],
  exportJson: ["Export JSON", "导出 JSON"],
  exportMarkdown: ["Export Markdown", "导出 Markdown"],
  forget: ["Forget", "忘记"],
  forgetWhat: ["Forget what the server remembers of this chat", "让服务器忘记这段对话"],
  forgotten: ["The server has forgotten what was said up to here.", "服务器已忘记以上内容。"],
  saved: ["Remembered by the server", "已由服务器记住"],
  answering: ["Answering…", "正在回答…"],
  complete: ["The answer is complete.", "回答完成。"],
  stopped: ["Stopped.", "已停止。"],
  failed: ["No answer: {message}", "未能回答：{message}"],
  first: ["first words {n} s", "首字 {n} 秒"],
  total: ["total {n} s", "共 {n} 秒"],
  tokens: ["{n} tokens", "{n} 个词元"],
  by: ["by {name}", "由 {name} 回答"],
} satisfies Record<string, Words>;

/** From here on the site does not get a message whole. */
const siteLimit = 1000;

const seconds = (ms: number): string => (ms / 1000).toFixed(ms < 9950 ? 1 : 0);

export function createChat(): { readonly element: HTMLElement; readonly settings: ChatSettings } {
  let conversation = createConversation();
  let running: AbortController | undefined;

  const turnsList = h("div", { className: "turns", role: "log", "aria-live": "off" });
  labelled(turnsList, words.conversation);
  const welcome = h(
    "div",
    { className: "welcome" },
    worded(h("h2"), words.hello),
    worded(h("p"), words.hint),
  );
  const scroller = h("div", { className: "scroller" }, welcome, turnsList);

  const button = (title: Words, onclick: () => void, className = "") =>
    worded(h("button", { type: "button", onclick, className }), title);
  const forgetButton = labelled(
    button(words.forget, () => void forget()),
    words.forgetWhat,
  );
  const tools = h(
    "div",
    { className: "field tools" },
    button(words.fresh, () => startAnew()),
    forgetButton,
    button(words.exportMarkdown, () => exportAs("md")),
    button(words.exportJson, () => exportAs("json")),
  );
  const settings = createSettings([tools]);

  const field = h("textarea", { id: "message", rows: 1, autocomplete: "off" });
  labelled(labelled(field, words.message), words.placeholder, "placeholder");
  const sendButton = worded(h("button", { type: "submit", className: "primary" }), words.send);
  const stopButton = button(words.stop, () => running?.abort(), "primary");
  stopButton.hidden = true;
  const hint = h("p", { className: "note", id: "message-note" });
  field.setAttribute("aria-describedby", "message-note");
  const composer = h(
    "form",
    { className: "composer" },
    h("div", { className: "box" }, field, sendButton, stopButton),
    hint,
  );

  const showHint = () => {
    const length = [...field.value].length;
    const isLong = length > siteLimit && settings.upstream === "kimi-web";
    hint.textContent = isLong ? say(words.long, { n: length }) : say(words.keys);
    hint.classList.toggle("bad", isLong);
  };
  onLanguage(hint, showHint);

  const fitField = () => {
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight, 240)}px`;
    showHint();
  };
  field.addEventListener("input", fitField);

  const followsEnd = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;
  const goToEnd = () => {
    scroller.scrollTop = scroller.scrollHeight;
  };

  const showState = () => {
    const isRunning = running !== undefined;
    stopButton.hidden = !isRunning;
    sendButton.hidden = isRunning;
    welcome.hidden = conversation.turns.length > 0;
  };

  /** The element of each turn, in order. */
  let shown: HTMLElement[] = [];

  function startAnew(): void {
    running?.abort();
    conversation = createConversation();
    shown = [];
    turnsList.replaceChildren();
    showState();
    field.focus();
  }

  const forgetOnServer = (sessionId: string) =>
    ask("/v1/session", { method: "DELETE", headers: { "x-session-id": sessionId } });

  async function forget(): Promise<void> {
    if (conversation.turns.length === 0) return;
    let text: Words = words.forgotten;
    try {
      await forgetOnServer(conversation.sessionId);
      conversation.forget();
    } catch (error) {
      const { message } = error as Error;
      text = [message, message];
    }
    turnsList.append(worded(h("p", { className: "divider" }), text));
    announce(say(text));
    goToEnd();
  }

  function exportAs(kind: "md" | "json"): void {
    const exported = { model: settings.model, system: settings.system, turns: conversation.turns };
    if (kind === "md") download("chat.md", "text/markdown", asMarkdown(exported));
    else download("chat.json", "application/json", asJson(exported));
  }

  function questionView(turn: Turn, index: number): HTMLElement {
    const said = h("div", { className: "said" }, turn.question);
    const element = h("div", { className: "question" }, said);
    const actions = h(
      "div",
      { className: "actions" },
      button(words.edit, () => edit(), "quiet small"),
      copyButton(() => turn.question, words.copy),
    );
    element.append(actions);
    const edit = () => {
      const area = labelled(h("textarea", { value: turn.question, rows: 3 }), words.edited);
      const close = () => {
        form.replaceWith(said);
        actions.hidden = false;
      };
      const resend = () => {
        if (area.value.trim()) void answer(area.value, index);
      };
      const form = h(
        "form",
        {
          className: "edit",
          onsubmit(event: Event) {
            event.preventDefault();
            resend();
          },
          onkeydown(event: KeyboardEvent) {
            if (event.key === "Escape") close();
          },
        },
        area,
        h(
          "div",
          { className: "actions" },
          worded(h("button", { type: "submit", className: "primary small" }), words.save),
          button(words.cancel, close, "quiet small"),
        ),
      );
      said.replaceWith(form);
      actions.hidden = true;
      area.focus();
    };
    return element;
  }

  /** Asks `question`, at the end or in place of the turn at `index` and of all that followed it. */
  async function answer(question: string, index = conversation.turns.length): Promise<void> {
    running?.abort();
    for (const element of shown.splice(index)) {
      while (element.nextSibling) element.nextSibling.remove();
      element.remove();
    }
    const before = conversation.sessionId;
    const turn = conversation.ask(question, index);
    if (conversation.sessionId !== before) void forgetOnServer(before).catch(() => {});
    const { memory, model, system } = settings;
    const abort = new AbortController();
    running = abort;
    showState();

    const view = createAnswerView({
      answer: () => turn.answer,
      regenerate: () => void answer(question, index),
    });
    const element = h("div", { className: "turn" }, questionView(turn, index), view.element);
    shown.push(element);
    turnsList.append(element);
    goToEnd();
    announce(say(words.answering));

    const startMs = performance.now();
    let firstMs: number | undefined;
    let servedBy = "";
    let tokens: number | undefined;
    let isSaved = memory;
    const wire: Wire = { request: "", response: "" };
    /** Shows something of the answer, and keeps the end in sight where it was. */
    const show = (change: () => void) => {
      firstMs ??= performance.now() - startMs;
      const follow = followsEnd();
      change();
      if (follow) goToEnd();
    };

    try {
      const asked = {
        model,
        messages: conversation.messages({ system, memory }),
        signal: abort.signal,
        ...(memory && { sessionId: conversation.sessionId }),
      };
      await requestAnswer(
        asked,
        {
          opened({ headers }) {
            servedBy = headers.get("x-served-by") ?? "";
            if (headers.get("x-session-saved") === "false") isSaved = false;
            for (const notice of noticesOf(headers)) view.notice(notice);
          },
          delta({ content, refusal, reasoning_content: reasoning, tool_calls: calls = [] }) {
            const text = (content ?? "") + (refusal ?? "");
            if (text) {
              turn.answer += text;
              show(() => view.text(text));
            }
            if (reasoning) {
              turn.reasoning += reasoning;
              show(() => view.reasoning(reasoning));
            }
            for (const { index: at, id, function: called } of calls) {
              const args = called?.arguments ?? "";
              turn.toolCalls[at] ??= { id: id ?? "", name: called?.name ?? "", arguments: "" };
              turn.toolCalls[at].arguments += args;
              show(() => view.toolCall(at, called?.name, args));
            }
          },
          finished: (reason) => view.finished(reason),
          usage(promptTokens, completionTokens) {
            tokens = promptTokens + completionTokens;
          },
          remark(text) {
            if (!/x-session-saved: false/i.test(text)) return;
            isSaved = false;
            for (const notice of noticesOf(new Headers({ "x-session-saved": "false" }))) view.notice(notice);
          },
        },
        wire,
      );
      turn.isWhole = true;
      if (isSaved) conversation.saved();
      announce(say(words.complete));
    } catch (error) {
      if (abort.signal.aborted) {
        view.stopped();
        announce(say(words.stopped));
      } else {
        const failure = error instanceof ServerFailure ? error : new ServerFailure(String(error), {});
        view.fail(failure);
        announce(say(words.failed, { message: failure.message }));
        if (failure.status === 401 || failure.code === "invalid_api_key") settings.askForKey();
      }
    }

    const totalMs = performance.now() - startMs;
    const follow = followsEnd();
    const line = [
      servedBy && say(words.by, { name: servedBy }),
      firstMs !== undefined && say(words.first, { n: seconds(firstMs) }),
      say(words.total, { n: seconds(totalMs) }),
      tokens !== undefined && say(words.tokens, { n: tokens }),
      isSaved && turn.isWhole && say(words.saved),
    ];
    turn.facts = { model, servedBy, firstMs, totalMs, tokens };
    view.end(line.filter(Boolean).join(" · "), wire);
    if (follow) goToEnd();
    if (running === abort) {
      running = undefined;
      showState();
    }
  }

  const send = () => {
    const question = field.value.trim();
    if (question === "" || running) return;
    if (settings.model === "") {
      if (settings.needsKey) settings.askForKey();
      else void settings.refresh();
      return;
    }
    field.value = "";
    fitField();
    void answer(question);
  };
  composer.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  field.addEventListener("keydown", (event) => {
    // An input method's Enter picks a word.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    send();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") running?.abort();
  });
  settings.onChange(() => {
    showHint();
  });
  void settings.refresh().then(() => {
    if (settings.model && !matchMedia("(pointer: coarse)").matches) field.focus();
  });

  const element = h(
    "div",
    { className: "chat" },
    worded(h("h1", { className: "offscreen" }), words.title),
    settings.element,
    h("div", { className: "talk" }, scroller, composer),
  );
  return { element, settings };
}
