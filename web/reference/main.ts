/** The API reference: the language of the page, and what sends requests with the page's key. */
import { copyButton } from "../shared/copy.ts";
import { byId, h } from "../shared/dom.ts";
import { language, onLanguage, say, type Words, worded } from "../shared/language.ts";
import { apiKey, authorization, serverAddress, welcome } from "../shared/server.ts";
import { createShell } from "../shared/shell.ts";
import { announce } from "../shared/status.ts";

interface Example {
  readonly name: Words;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly path?: Readonly<Record<string, string>>;
}

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly examples: readonly Example[];
}

const words = {
  key: ["API key, for requests from this page", "API 密钥，用于本页发出的请求"],
  tryIt: ["Try it", "试一试"],
  example: ["Example", "示例"],
  send: ["Send", "发送"],
  body: ["Body", "请求体"],
  copy: ["Copy the answer", "复制响应"],
  answered: ["Answered: {status}", "已应答：{status}"],
} satisfies Record<string, Words>;

/** Filled in by the build. */
declare const OPERATIONS: Readonly<Record<string, Operation>>;

const shell = createShell();
shell.show("docs");
const main = byId("main");

const key = h("input", {
  id: "key",
  type: "password",
  autocomplete: "off",
  placeholder: "sk-…",
  value: apiKey.value,
  onchange: () => apiKey.set(key.value, apiKey.isRemembered),
});
const keyField = h(
  "div",
  { className: "field key", hidden: true },
  worded(h("label", { htmlFor: "key" }), words.key),
  key,
);
void welcome.then((app) => {
  keyField.hidden = app?.access === "open" || app?.access === "loopback";
});

onLanguage(main, () => {
  for (const article of main.querySelectorAll("article")) {
    article.hidden = article.lang.startsWith("zh") !== (language() === "zh");
    if (!article.hidden) article.querySelector(".lead")?.after(keyField);
  }
});

let fields = 0;

function tryIt({ method, path, examples }: Operation): HTMLElement {
  const choice = h(
    "select",
    { onchange: () => fill() },
    ...examples.map(({ name }, index) => worded(h("option", { value: String(index) }), name)),
  );
  const id = `body-${++fields}`;
  const body = h("textarea", { id, rows: 6, spellcheck: false, className: "mono" });
  const bodyField = h("div", { className: "field" }, worded(h("label", { htmlFor: id }), words.body), body);
  const output = h("pre", { tabIndex: 0, hidden: true });
  const send = worded(
    h("button", { type: "button", className: "primary", onclick: () => void run() }),
    words.send,
  );
  const chosen = () => examples[Number(choice.value)] as Example;

  const fill = () => {
    const { body: example } = chosen();
    bodyField.hidden = example === undefined;
    body.value = example === undefined ? "" : JSON.stringify(example, null, 2);
  };
  fill();

  const run = async () => {
    const { headers = {}, path: values = {} } = chosen();
    const target = path.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? "");
    send.disabled = true;
    output.hidden = false;
    output.textContent = "";
    try {
      const response = await fetch(`${serverAddress}${target}`, {
        method,
        headers: {
          accept: "application/json",
          ...authorization(),
          ...headers,
          ...(body.value && { "content-type": "application/json" }),
        },
        ...(body.value && { body: body.value }),
      });
      output.append(
        `HTTP ${response.status}\nx-request-id: ${response.headers.get("x-request-id") ?? ""}\n\n`,
      );
      const reader = response.body?.getReader();
      const utf8 = new TextDecoder();
      let text = "";
      for (let read = await reader?.read(); read && !read.done; read = await reader?.read()) {
        const piece = utf8.decode(read.value, { stream: true });
        text += piece;
        output.append(piece);
      }
      if (response.headers.get("content-type")?.startsWith("application/json") && text) {
        output.textContent = output.textContent.replace(text, JSON.stringify(JSON.parse(text), null, 2));
      }
      announce(say(words.answered, { status: response.status }));
    } catch (error) {
      output.append(String(error));
      announce(String(error));
    } finally {
      send.disabled = false;
    }
  };

  const label = worded(h("label"), words.example);
  choice.id = `example-${fields}`;
  label.htmlFor = choice.id;
  return h(
    "div",
    { className: "try" },
    worded(h("h4"), words.tryIt),
    h("div", { className: "field", hidden: examples.length < 2 }, label, choice),
    bodyField,
    h(
      "div",
      { className: "actions" },
      send,
      copyButton(() => output.textContent ?? "", words.copy),
    ),
    output,
  );
}

for (const element of main.querySelectorAll<HTMLDetailsElement>(".operation")) {
  const operation = OPERATIONS[element.dataset.operation ?? ""];
  element.addEventListener(
    "toggle",
    () => operation && element.querySelector(".inside")?.append(tryIt(operation)),
    {
      once: true,
    },
  );
}
