/** How the server is: drawn anew every few seconds from what it says of itself, and kept nowhere. */
import { adviceOn } from "../chat/advice.ts";
import { byId, h } from "../shared/dom.ts";
import { onLanguage, say, type Words, worded } from "../shared/language.ts";
import { apiKey, ask, ServerFailure } from "../shared/server.ts";
import { createShell } from "../shared/shell.ts";
import { announce } from "../shared/status.ts";
import { type Bar, barChart } from "./charts.ts";
import { histogramOf, parseMetrics, quantile, type Sample, sum, sumBy } from "./metrics.ts";

const words = {
  title: ["Dashboard", "仪表盘"],
  key: ["API key", "API 密钥"],
  show: ["Show", "查看"],
  many: [
    "The server runs as many short-lived instances: these numbers are of the one that has answered now, and begin anew with each.",
    "服务器由许多短暂实例组成：这些数字只属于刚刚应答的那个实例，且随实例重新计数。",
  ],
  requests: ["Requests", "请求"],
  errors: ["Errors", "错误"],
  median: ["Median time", "耗时中位数"],
  slow: ["p95 / p99", "p95 / p99"],
  tokens: ["Tokens", "Token 数"],
  inOut: ["in / out", "输入 / 输出"],
  uptime: ["Up for", "已运行"],
  store: ["Store", "会话存储"],
  shared: ["shared", "共享"],
  notShared: ["this process only", "仅本进程"],
  now: ["Requests since this page was opened", "打开本页以来的请求"],
  times: ["How long chats took", "对话耗时分布"],
  upstreams: ["Upstreams", "上游"],
  upstream: ["upstream", "上游"],
  circuit: ["left alone", "已熔断"],
  lastSuccess: ["last success", "最近成功"],
  lastFailure: ["last failure", "最近失败"],
  load: ["running / waiting", "进行中 / 等待"],
  byCode: ["Errors by code", "按错误码"],
  byModel: ["Models", "模型"],
  byKey: ["Keys", "密钥"],
  name: ["name", "名称"],
  calls: ["calls", "调用"],
  count: ["requests", "请求数"],
  recent: ["The last requests", "最近的请求"],
  time: ["time", "时间"],
  route: ["route", "路由"],
  status: ["status", "状态"],
  model: ["model", "模型"],
  took: ["took", "耗时"],
  holder: ["key", "密钥"],
  none: ["None so far.", "暂无。"],
  noCircuit: ["none", "无"],
} satisfies Record<string, Words>;

interface Health {
  readonly version: string;
  readonly sessions: { readonly store: string; readonly shared: boolean };
  readonly upstreams: readonly {
    readonly name: string;
    readonly lastSuccess: string | null;
    readonly lastFailure?: { readonly code: string; readonly at: string } | null;
    readonly running?: number;
    readonly waiting?: number;
  }[];
}

interface Recent {
  readonly started_at: number;
  readonly is_one_of_many: boolean;
  readonly data: readonly {
    readonly at: string;
    readonly method: string;
    readonly route: string;
    readonly status: number;
    readonly code?: string;
    readonly ms: number;
    readonly model?: string;
    readonly key?: string;
  }[];
}

const refreshMs = 5000;
/** What pages and probes ask; filled in by the build. */
declare const OWN_ROUTES: readonly string[];

/** With its unit on the same line. */
const seconds = (value: number | undefined): string => {
  if (value === undefined) return "–";
  return value < 1 ? `${Math.round(value * 1000)}\u00a0ms` : `${value.toFixed(value < 10 ? 1 : 0)}\u00a0s`;
};

const duration = (value: number): string => {
  const minutes = Math.floor(value / 60);
  if (minutes < 1) return `${Math.floor(value)} s`;
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
};

const count = (value: number): string => value.toLocaleString();
/** 1,234,567 → 1.2M, for where there is little room. */
const brief = (value: number): string =>
  value.toLocaleString(undefined, { notation: "compact", maximumFractionDigits: 1 });
const clock = (iso: string | null | undefined): string => (iso ? new Date(iso).toLocaleTimeString() : "–");

const card = (title: Words, value: string, note = ""): HTMLElement =>
  h(
    "div",
    { className: "card" },
    worded(h("dt"), title),
    h("dd", {}, value, note !== "" && h("small", {}, note)),
  );

type Cell = string | Node;

const table = (title: Words, head: readonly Words[], rows: readonly (readonly Cell[])[]): HTMLElement =>
  h(
    "section",
    { className: "part" },
    worded(h("h2"), title),
    rows.length === 0
      ? worded(h("p", { className: "note" }), words.none)
      : h(
          "div",
          { className: "table", tabIndex: 0 },
          h(
            "table",
            {},
            h("thead", {}, h("tr", {}, ...head.map((each) => worded(h("th", { scope: "col" }), each)))),
            h("tbody", {}, ...rows.map((cells) => h("tr", {}, ...cells.map((cell) => h("td", {}, cell))))),
          ),
        ),
  );

const chart = (title: Words, bars: readonly Bar[], from: string, to: string): HTMLElement =>
  h(
    "section",
    { className: "part chart" },
    worded(h("h2"), title),
    barChart(bars),
    h("div", { className: "scale" }, h("span", {}, from), h("span", {}, to)),
  );

/** Requests and errors of each refresh, the oldest first. */
const pulse: Bar[] = [];
let before: { readonly requests: number; readonly errors: number } | undefined;

function draw(samples: readonly Sample[], health: Health, recent: Recent): HTMLElement {
  const of = (name: string) => samples.filter((sample) => sample.name === name);
  const counted = of("kimi_requests_total").filter(({ labels }) => !OWN_ROUTES.includes(labels.route ?? ""));
  const failed = counted.filter(({ labels }) => labels.code !== "");
  const totals = { requests: sum(counted), errors: sum(failed) };
  if (before) {
    const value = totals.requests - before.requests;
    const bad = totals.errors - before.errors;
    if (value >= 0) pulse.push({ value, bad: Math.max(0, bad), title: `${value}` });
    if (pulse.length > 60) pulse.shift();
  }
  before = totals;

  const posts = new Set(counted.flatMap(({ labels }) => (labels.method === "POST" ? [labels.route] : [])));
  const chats = of("kimi_request_duration_seconds_bucket").filter(({ labels }) => posts.has(labels.route));
  const times = histogramOf(chats);
  const tokens = of("kimi_tokens_total");
  const directed = (direction: string) => sum(tokens.filter(({ labels }) => labels.direction === direction));
  const open = of("kimi_circuit_open").filter(({ value }) => value > 0);
  const share = totals.requests > 0 ? ` ${((totals.errors / totals.requests) * 100).toFixed(1)} %` : "";
  const bounds = times.buckets.map(({ to, count: value }) => ({
    value,
    title: `≤ ${to === Number.POSITIVE_INFINITY ? "∞" : seconds(to)}: ${value}`,
  }));

  return h(
    "div",
    {},
    recent.is_one_of_many && worded(h("p", { className: "remark warning" }), words.many),
    h(
      "dl",
      { className: "cards" },
      card(words.requests, count(totals.requests)),
      card(words.errors, count(totals.errors), share),
      card(words.median, seconds(quantile(times, 0.5))),
      card(words.slow, `${seconds(quantile(times, 0.95))} / ${seconds(quantile(times, 0.99))}`),
      card(words.tokens, `${brief(directed("in"))} / ${brief(directed("out"))}`, say(words.inOut)),
      card(words.uptime, duration(Date.now() / 1000 - recent.started_at), ` v${health.version}`),
      card(
        words.store,
        health.sessions.store,
        ` ${say(health.sessions.shared ? words.shared : words.notShared)}`,
      ),
    ),
    h(
      "div",
      { className: "pair" },
      chart(
        words.now,
        [...Array.from({ length: 60 - pulse.length }, () => ({ value: 0, title: "" })), ...pulse],
        "−5 min",
        "0",
      ),
      chart(words.times, bounds, "5 ms", "180 s +"),
    ),
    table(
      words.upstreams,
      [words.upstream, words.circuit, words.lastSuccess, words.lastFailure, words.load],
      health.upstreams.map(({ name, lastSuccess, lastFailure, running, waiting }) => {
        const models = open
          .filter(({ labels }) => labels.provider === name)
          .map(({ labels }) => labels.model ?? "");
        return [
          name,
          models.length > 0 ? h("strong", { className: "bad" }, models.join(", ")) : say(words.noCircuit),
          clock(lastSuccess),
          lastFailure ? `${lastFailure.code} ${clock(lastFailure.at)}` : "–",
          running === undefined ? "–" : `${running} / ${waiting ?? 0}`,
        ];
      }),
    ),
    h(
      "div",
      { className: "pair three" },
      table(
        words.byCode,
        [words.name, words.count],
        sumBy(failed, "code").map(([code, value]) => [h("code", {}, code), count(value)]),
      ),
      table(
        words.byModel,
        [words.name, words.calls],
        sumBy(of("kimi_upstream_attempts_total"), "model").map(([name, value]) => [
          h("code", {}, name),
          count(value),
        ]),
      ),
      table(
        words.byKey,
        [words.name, words.count],
        sumBy(counted, "key").map(([name, value]) => [name || "–", count(value)]),
      ),
    ),
    table(
      words.recent,
      [words.time, words.route, words.status, words.model, words.took, words.holder],
      recent.data.map(({ at, method, route, status, code, ms, model, key }) => [
        clock(at),
        h("code", {}, `${method} ${route}`),
        h(
          "span",
          { className: code === undefined ? "" : "bad" },
          code === undefined ? String(status) : `${status} ${code}`,
        ),
        model === undefined ? "–" : h("code", {}, model),
        seconds(ms / 1000),
        key ?? "–",
      ]),
    ),
  );
}

const shell = createShell();
shell.show("dashboard");
const main = byId("main");

const content = h("div");
const note = h("p", { className: "note bad" });
const key = h("input", {
  id: "key",
  type: "password",
  autocomplete: "off",
  placeholder: "sk-…",
  value: apiKey.value,
});
const form = h(
  "form",
  {
    className: "field key",
    hidden: true,
    onsubmit(event: Event) {
      event.preventDefault();
      apiKey.set(key.value, apiKey.isRemembered);
      void refresh();
    },
  },
  worded(h("label", { htmlFor: "key" }), words.key),
  h(
    "div",
    { className: "row" },
    key,
    worded(h("button", { type: "submit", className: "primary" }), words.show),
  ),
);
main.append(worded(h("h1"), words.title), form, note, content);

let timer: ReturnType<typeof setTimeout> | undefined;
let failure: ServerFailure | undefined;
const show = () => {
  note.textContent = failure ? say(adviceOn(failure.code)) : "";
  note.classList.toggle("bad", failure?.code !== "missing_api_key");
};

async function refresh(): Promise<void> {
  clearTimeout(timer);
  try {
    const [recent, metrics, health] = await Promise.all(
      ["/requests", "/metrics", "/health"].map((path) => ask(path)),
    );
    const [list, text, state] = [
      (await recent?.json()) as Recent,
      (await metrics?.text()) ?? "",
      (await health?.json()) as Health,
    ];
    failure = undefined;
    form.hidden = true;
    content.replaceChildren(draw(parseMetrics(text), state, list));
  } catch (error) {
    failure = error instanceof ServerFailure ? error : new ServerFailure(String(error), {});
    announce(say(adviceOn(failure.code)));
    if (failure.status === 401 || failure.status === 403) {
      content.replaceChildren();
      form.hidden = false;
      key.focus();
    }
  }
  show();
  // A wrong key is not tried again by itself, and a page that nobody sees asks nothing.
  if (form.hidden) timer = setTimeout(() => void next(), refreshMs);
}

const next = async (): Promise<void> => {
  if (document.hidden) document.addEventListener("visibilitychange", () => void refresh(), { once: true });
  else await refresh();
};

onLanguage(main, show);
void refresh();
