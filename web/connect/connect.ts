/** How to connect an application: what to type, with the address, key and model that were chosen. */
import { showCode } from "../chat/highlight.ts";
import { type ChatSettings, modelOptions } from "../chat/settings-view.ts";
import { copyButton } from "../shared/copy.ts";
import { h } from "../shared/dom.ts";
import { type Words, worded } from "../shared/language.ts";
import { apiKey, serverAddress } from "../shared/server.ts";
import { type Recipe, recipes, type Server } from "./recipes.ts";

const words = {
  title: ["Connect an application", "接入应用"],
  intro: [
    "Choose what you use, and copy what it needs. The model and the key are those of the chat's settings.",
    "选择你使用的应用，复制所需内容。模型和密钥取自聊天设置。",
  ],
  address: ["Address of this server", "服务器地址"],
  addressHint: [
    "Change it where the application reaches the server by another name.",
    "如果应用通过其他名称访问服务器，请修改。",
  ],
  model: ["Model", "模型"],
  showKey: ["Show the key in the texts", "在文本中显示密钥"],
  code: ["Code", "代码"],
  agent: ["For programmers", "编程工具"],
  chat: ["Chat applications", "聊天应用"],
  copy: ["Copy this text", "复制这段文本"],
  applications: ["Applications", "应用"],
} satisfies Record<string, Words>;

/** A key in place of the real one; where the server needs none, clients still want one. */
const placeholder = (needsKey: boolean): string => (needsKey ? "YOUR_API_KEY" : "none");

export function createConnect(settings: ChatSettings): HTMLElement {
  let chosen = recipes[0] as Recipe;

  const address = h("input", { id: "address", type: "url", value: serverAddress, spellcheck: false });
  const model = h("select", {
    id: "connect-model",
    onchange() {
      settings.model = model.value;
    },
  });
  const showKey = h("input", { type: "checkbox", id: "show-key" });
  const showKeyLine = h(
    "div",
    { className: "check" },
    showKey,
    worded(h("label", { htmlFor: "show-key" }), words.showKey),
  );
  const panel = h("section", { className: "panel", tabIndex: -1 });

  const server = (withKey: boolean): Server => ({
    address: address.value.trim().replace(/\/+$/, "").replace(/\/v1$/, ""),
    key: withKey && apiKey.value ? apiKey.value : placeholder(settings.needsKey),
    model: settings.model || "MODEL",
    hasKey: apiKey.value !== "" || !settings.needsKey,
  });

  const snippetView = (where: Words, language: string, index: number): HTMLElement => {
    const code = h("code", { tabIndex: 0 });
    const snippet = (withKey: boolean) => chosen.snippets(server(withKey))[index]?.code ?? "";
    showCode(code, snippet(showKey.checked), language);
    return h(
      "div",
      { className: "code" },
      h(
        "div",
        { className: "code-head" },
        worded(h("span"), where),
        copyButton(() => snippet(showKey.checked), words.copy),
      ),
      h("pre", {}, code),
    );
  };

  const linkButton = (link: NonNullable<Recipe["link"]>): HTMLElement =>
    worded(
      h("button", {
        type: "button",
        className: "primary",
        onclick() {
          h("a", { href: link(server(true)).href, target: "_blank", rel: "noopener noreferrer" }).click();
        },
      }),
      link(server(false)).words,
    );

  const show = () => {
    model.replaceChildren(...modelOptions(settings.models));
    model.value = settings.model;
    model.disabled = settings.models.length === 0;
    showKeyLine.hidden = apiKey.value === "";
    const { name, notes = [], link } = chosen;
    panel.replaceChildren(
      h("h2", {}, name),
      ...notes.map((note) => worded(h("p", { className: "remark" }), note)),
      ...chosen
        .snippets(server(false))
        .map(({ where, language }, index) => snippetView(where, language, index)),
      ...(link && server(true).hasKey ? [linkButton(link)] : []),
    );
    for (const [recipe, button] of buttons) button.setAttribute("aria-pressed", String(recipe === chosen));
  };

  const buttons = new Map<Recipe, HTMLButtonElement>(
    recipes.map((recipe) => [
      recipe,
      h(
        "button",
        {
          type: "button",
          className: "choice",
          onclick() {
            chosen = recipe;
            show();
          },
        },
        recipe.name,
      ),
    ]),
  );
  const groups = (["code", "chat", "agent"] as const).map((kind) => {
    const id = `kind-${kind}`;
    return h(
      "div",
      { className: "group", role: "group", "aria-labelledby": id },
      worded(h("h2", { id }), words[kind]),
      h(
        "div",
        { className: "choices" },
        ...[...buttons].flatMap(([recipe, button]) => (recipe.kind === kind ? [button] : [])),
      ),
    );
  });

  address.addEventListener("input", show);
  showKey.addEventListener("change", show);
  settings.onChange(show);
  show();

  return h(
    "div",
    { className: "connect" },
    worded(h("h1"), words.title),
    worded(h("p", { className: "lead" }), words.intro),
    h(
      "div",
      { className: "of-server" },
      h(
        "div",
        { className: "field" },
        worded(h("label", { htmlFor: "address" }), words.address),
        address,
        worded(h("p", { className: "note" }), words.addressHint),
      ),
      h(
        "div",
        { className: "field" },
        worded(h("label", { htmlFor: "connect-model" }), words.model),
        model,
        showKeyLine,
      ),
    ),
    h("div", { className: "columns" }, h("div", { className: "groups" }, ...groups), panel),
  );
}
