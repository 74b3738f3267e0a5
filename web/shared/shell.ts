/** What all pages have around them: the name, the way to the others, language and theme. */
import { byId, h } from "./dom.ts";
import {
  type Language,
  labelled,
  language,
  onLanguage,
  setLanguage,
  type Words,
  worded,
} from "./language.ts";
import { serverAddress, welcome } from "./server.ts";

const words = {
  pages: ["Pages", "页面"],
  chat: ["Chat", "聊天"],
  connect: ["Connect", "接入"],
  docs: ["API", "API"],
  dashboard: ["Dashboard", "仪表盘"],
  theme: ["Light or dark", "切换明暗"],
  skip: ["Skip to content", "跳到正文"],
} satisfies Record<string, Words>;

const places = { chat: "/ui", connect: "/ui#connect", docs: "/docs", dashboard: "/dashboard" } as const;
export type Place = keyof typeof places;

const isDark = (): boolean => {
  const chosen = document.documentElement.style.colorScheme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

const setTheme = (theme: string): void => {
  document.documentElement.style.colorScheme = theme;
};

const themeButton = (): HTMLButtonElement =>
  labelled(
    h(
      "button",
      {
        type: "button",
        className: "quiet",
        onclick() {
          const theme = isDark() ? "light" : "dark";
          setTheme(theme);
          try {
            localStorage.setItem("theme", theme);
          } catch {}
        },
      },
      "◐",
    ),
    words.theme,
  );

function languageButton(): HTMLButtonElement {
  const other = (): Language => (language() === "zh" ? "en" : "zh");
  const button = h("button", { type: "button", className: "quiet", onclick: () => setLanguage(other()) });
  onLanguage(button, () => {
    button.textContent = other() === "zh" ? "中文" : "English";
    button.lang = other();
  });
  return button;
}

/** Takes the place of the plain name that is there before any script has run. */
export function createShell(): {
  /** Which of the places is shown; the chat and the instructions are one page, so theirs changes. */
  show(place: Place): void;
} {
  try {
    setTheme(localStorage.getItem("theme") ?? "");
  } catch {}
  const links = (Object.keys(places) as Place[]).map((place) => ({
    place,
    link: worded(h("a", { href: serverAddress + places[place] }), words[place]),
  }));
  const name = h("a", { className: "name", href: `${serverAddress}/ui` }, "kimi-ai-2api");
  const header = h(
    "header",
    { className: "top" },
    worded(h("a", { className: "skip", href: "#main" }), words.skip),
    name,
    labelled(h("nav", {}, ...links.map(({ link }) => link)), words.pages),
    h("div", { className: "switches" }, languageButton(), themeButton()),
  );
  void welcome.then((app) => {
    if (app === undefined) return;
    name.textContent = app.name;
    document.title = document.title.replace("kimi-ai-2api", app.name);
  });
  byId("top").replaceWith(header);
  return {
    show(shown) {
      for (const { place, link } of links) {
        if (place === shown) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
    },
  };
}
