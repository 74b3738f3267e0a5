/** The settings of the chat: model, key, system prompt, memory. The instructions on the other tab follow them. */
import { h } from "../shared/dom.ts";
import { labelled, onLanguage, say, type Words, worded } from "../shared/language.ts";
import { apiKey, type ListedModel, listModels, ServerFailure } from "../shared/server.ts";
import { announce } from "../shared/status.ts";
import { adviceOn } from "./advice.ts";

const words = {
  settings: ["Settings", "设置"],
  model: ["Model", "模型"],
  key: ["API key", "API 密钥"],
  remember: ["Remember it in this browser", "在此浏览器中记住"],
  system: ["System prompt", "系统提示词"],
  systemHint: ["For example: Answer briefly.", "例如：请简短回答。"],
  memory: ["Memory on the server", "服务器端记忆"],
  memoryHint: [
    "On: only the newest message is sent, and the server remembers the rest. Off: the whole chat is sent each time.",
    "开启：只发送最新消息，其余由服务器记住。关闭：每次发送整段对话。",
  ],
  loaded: ["{n} models", "{n} 个模型"],
  loading: ["Looking for models…", "正在获取模型列表…"],
} satisfies Record<string, Words>;

export interface ChatSettings {
  readonly element: HTMLElement;
  model: string;
  readonly models: readonly ListedModel[];
  /** The upstream that lists the model. */
  readonly upstream: string;
  readonly system: string;
  readonly memory: boolean;
  readonly needsKey: boolean;
  /** Calls `listener` whenever model or key have changed. */
  onChange(listener: () => void): void;
  /** Asks for the models anew, as after a change of the key. */
  refresh(): Promise<void>;
  /** Opens the settings at the key. */
  askForKey(): void;
}

const remembered = (name: string): string => {
  try {
    return sessionStorage.getItem(name) ?? "";
  } catch {
    return "";
  }
};

const remember = (name: string, value: string): void => {
  try {
    sessionStorage.setItem(name, value);
  } catch {}
};

/** The models for a `select`, grouped by upstream. */
export function modelOptions(models: readonly ListedModel[]): HTMLOptGroupElement[] {
  const upstreams = new Set(models.map(({ owned_by: upstream }) => upstream));
  return [...upstreams].map((upstream) =>
    h(
      "optgroup",
      { label: upstream },
      ...models.flatMap(({ id, owned_by: owner }) =>
        owner === upstream ? [h("option", { value: id }, id)] : [],
      ),
    ),
  );
}

export function createSettings(extra: readonly Node[]): ChatSettings {
  let models: readonly ListedModel[] = [];
  let needsKey = apiKey.value !== "";
  const listeners: (() => void)[] = [];
  const tell = () => {
    for (const listener of listeners) listener();
  };

  const model = h("select", {
    id: "model",
    onchange: () => choose(),
  });
  const choose = () => {
    remember("model", model.value);
    tell();
  };
  const note = h("p", { className: "note", id: "model-note" });
  const key = h("input", {
    id: "key",
    type: "password",
    autocomplete: "off",
    spellcheck: false,
    value: apiKey.value,
    placeholder: "sk-…",
  });
  const keep = h("input", { type: "checkbox", id: "keep-key", checked: apiKey.isRemembered });
  const keyField = h(
    "div",
    { className: "field", hidden: !needsKey },
    worded(h("label", { htmlFor: "key" }), words.key),
    key,
    h("div", { className: "check" }, keep, worded(h("label", { htmlFor: "keep-key" }), words.remember)),
  );
  const system = h("textarea", { id: "system", rows: 3 });
  labelled(system, words.systemHint, "placeholder");
  const memory = h("input", { type: "checkbox", id: "memory", "aria-describedby": "memory-note" });

  const element = h(
    "details",
    { className: "settings" },
    h("summary", {}, worded(h("span"), words.settings)),
    h(
      "div",
      { className: "fields" },
      keyField,
      h("div", { className: "field" }, worded(h("label", { htmlFor: "model" }), words.model), model, note),
      h("div", { className: "field" }, worded(h("label", { htmlFor: "system" }), words.system), system),
      h(
        "div",
        { className: "field" },
        h("div", { className: "check" }, memory, worded(h("label", { htmlFor: "memory" }), words.memory)),
        worded(h("p", { className: "note", id: "memory-note" }), words.memoryHint),
      ),
      ...extra,
    ),
  );
  // Beside the chat where there is room, folded above it where there is none.
  const wide = matchMedia("(min-width: 60rem)");
  element.open = wide.matches;
  wide.addEventListener("change", () => {
    element.open = wide.matches;
  });

  const showModels = () => {
    const before = model.value || remembered("model");
    model.replaceChildren(...modelOptions(models));
    if (models.some(({ id }) => id === before)) model.value = before;
    model.disabled = models.length === 0;
  };

  let said = (): string => say(words.loading);
  onLanguage(note, () => {
    note.textContent = said();
  });
  const sayOfModels = (text: () => string, isBad = false) => {
    said = text;
    note.textContent = said();
    note.classList.toggle("bad", isBad);
  };

  const askForKey = () => {
    needsKey = true;
    keyField.hidden = false;
    element.open = true;
    key.focus();
  };

  const refresh = async () => {
    sayOfModels(() => say(words.loading));
    try {
      models = await listModels();
      showModels();
      sayOfModels(() => say(words.loaded, { n: models.length }));
    } catch (error) {
      models = [];
      showModels();
      const failure = error instanceof ServerFailure ? error : new ServerFailure(String(error), {});
      sayOfModels(() => say(adviceOn(failure.code)), failure.code !== "missing_api_key");
      announce(note.textContent ?? "");
      if (failure.status === 401 || failure.code === "invalid_api_key") askForKey();
    }
    tell();
  };

  const useKey = () => {
    apiKey.set(key.value, keep.checked);
    void refresh();
  };
  key.addEventListener("change", useKey);
  keep.addEventListener("change", () => apiKey.set(key.value, keep.checked));

  return {
    element,
    get model() {
      return model.value;
    },
    set model(id) {
      model.value = id;
      choose();
    },
    get models() {
      return models;
    },
    get upstream() {
      return models.find(({ id }) => id === model.value)?.owned_by ?? "";
    },
    get system() {
      return system.value;
    },
    get memory() {
      return memory.checked;
    },
    get needsKey() {
      return needsKey;
    },
    onChange(listener) {
      listeners.push(listener);
    },
    refresh,
    askForKey,
  };
}
