/**
 * The stand-in chat site: the WordPress chat's page and admin-ajax.php, with the bytes that a real WordPress was
 * seen to send, and a control surface under `/__sim` that makes it misbehave (site-control.ts).
 *
 *     PORT=42000 bun test/fakes/chat-site.ts
 */
import { chatPage, movedScript, movedScriptPath } from "./chat-page.ts";
import { edgeFault, modeText, parseMode, pluginAnswer, type Step, slowMs } from "./faults.ts";
import { cookiesOf, formOf, headersOf, isBrokenUtf8 } from "./php-request.ts";
import type { SiteSettings } from "./site-control.ts";
import { type Entry, siteJournal } from "./site-journal.ts";
import { siteNonces, type Visitor } from "./site-nonces.ts";
import {
  ajaxDie,
  ajaxError,
  bodyTooLarge,
  databaseDown,
  edgeAnswer,
  foreignPreflight,
  maintenance,
  noAction,
  notFound,
  type SiteAnswer,
  wordpressRedirect,
} from "./wordpress-answers.ts";
import { phpTrim, sanitizeMessage, sanitizeTextField } from "./wordpress-sanitizers.ts";

export interface ChatSiteOptions {
  /** 0, the default, takes any free one. */
  readonly port?: number;
  readonly hostname?: string;
  /** How long the chat thinks before each answer. */
  readonly delayMs?: number;
  /** What it answers, instead of saying what it was told. */
  readonly reply?: string | ((message: string) => string);
}

export interface ChatSite {
  readonly url: string;
  readonly pageUrl: string;
  readonly ajaxUrl: string;
  stop(): Promise<void>;
}

/** What WordPress's simulator has, and what only the stand-in needs. */
interface Settings extends SiteSettings {
  /** Whether requests are kept for `/__sim/log`; off under load. */
  log: boolean;
  delay_ms: number;
}

const defaults: Settings = {
  nonce_check: "referer",
  nonce_fail_text: "Security check failed",
  nonce_epoch: 0,
  nonce_life: 86_400,
  sanitize: "textarea",
  max_chars: 1000,
  too_long_text: "Message is too long. Maximum 1000 characters allowed.",
  check_model: true,
  cookie: "off",
  cookie_fail: "json",
  page: "plain",
  page_mode: "ok",
  page_cache: "off",
  page_cache_bypass: ["query", "no-cache"],
  page_queue: [],
  ajax: "ok",
  ajax_queue: [],
  directives: true,
  log: true,
  delay_ms: 0,
};

const models = new Set(["moonshotai/Kimi-K2-Instruct-0905", "moonshotai/Kimi-K2-Instruct"]);

/** nginx's client_max_body_size. */
const nginxMaxBodyBytes = 16 * 1024 * 1024;

/** The cut comes so long after the bytes before it, so that they have left. */
const cutAfterMs = 50;

const codePoints = (text: string) => {
  let count = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit < 0xdc00 || unit > 0xdfff) count++;
  }
  return count;
};

const turnPattern = /^[ \t]*(user|assistant|system|human|ai|bot|model|tool|用户|模型|助手|系统)[ \t]*[:：]/iu;

/** The default answer: facts about the message as the plugin has it. */
function describe(message: string, model: string): string {
  const lines = message.split(/\r\n|\r|\n/);
  const last = lines.findLast((line) => line !== "") ?? "";
  const turns = lines.filter((line) => turnPattern.test(line)).length;
  const sha = new Bun.CryptoHasher("sha1").update(message).digest("hex").slice(0, 8);
  return `You said: ${last}\n[chars=${codePoints(message)} lines=${lines.length} turns=${turns} sha=${sha} model=${model.slice(model.lastIndexOf("/") + 1)}]`;
}

/** Starts the stand-in chat site. */
export function startChatSite(options: ChatSiteOptions = {}): ChatSite {
  const startState: Settings = { ...defaults, delay_ms: options.delayMs ?? 0 };
  let state = startState;
  let inMaintenance = false;
  let databaseIsDown = false;
  let cachedPage: { html: string; atMs: number } | undefined;
  const sessions = new Set<string>();
  const journal = siteJournal();
  const sleepers = new Set<ReturnType<typeof setTimeout>>();
  const renderedPages = new Map<string, string>();

  function sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        sleepers.delete(timer);
        resolve();
      }, delayMs);
      sleepers.add(timer);
    });
  }

  function respond(answer: SiteAnswer): Response {
    const init = { status: answer.status, headers: answer.headers };
    if (!answer.cut) return new Response(answer.body, init);
    const body = new ReadableStream({
      async start(controller) {
        controller.enqueue(new TextEncoder().encode(answer.body));
        await sleep(cutAfterMs);
        controller.error();
      },
    });
    return new Response(body, init);
  }

  /** PHP works on when the client has left, so this only counts; resolves when the slow steps are over. */
  async function waitOut(
    request: Request,
    { abort }: Entry,
    steps: readonly Step[],
    delayMs: number,
  ): Promise<void> {
    const totalMs = steps.reduce((sum, step) => sum + (step.name === "slow" ? slowMs(step) : 0), delayMs);
    if (totalMs <= 0) return;
    request.signal.addEventListener("abort", abort, { once: true });
    await sleep(totalMs);
    request.signal.removeEventListener("abort", abort);
  }

  function take(queue: "ajax_queue" | "page_queue"): string | undefined {
    const [next, ...rest] = state[queue];
    if (next !== undefined) state = { ...state, [queue]: rest };
    return next;
  }

  // ---- /chat/ ------------------------------------------------------------------------

  function cacheBypass(request: Request, query: string): string {
    const by = state.page_cache_bypass;
    const control = `${request.headers.get("cache-control") ?? ""} ${request.headers.get("pragma") ?? ""}`;
    if (by.includes("query") && query !== "") return "query";
    if (by.includes("no-cache") && /no-cache|no-store|max-age=0/i.test(control)) return "no-cache";
    if (by.includes("cookie") && request.headers.has("cookie")) return "cookie";
    return "";
  }

  async function servePage(request: Request, url: URL): Promise<SiteAnswer> {
    const bypass = cacheBypass(request, url.search.slice(1));
    const cache =
      state.page_cache !== "on" ? "off" : bypass !== "" ? `bypass:${bypass}` : cachedPage ? "hit" : "miss";
    const steps = parseMode(take("page_queue") ?? state.page_mode);
    const entry = journal.page({
      method: request.method,
      uri: url.pathname + url.search,
      cache,
      mode: modeText(steps),
      headers: headersOf(request),
    });
    const { page: variant, nonce_epoch: epoch, nonce_life: life, cookie } = state;
    await waitOut(request, entry, steps, 0);
    const answer = pageAnswer();
    entry.finish(answer);
    return answer;

    function pageAnswer(): SiteAnswer {
      for (const step of steps) {
        const fault = edgeFault(step, "page", site.url);
        if (fault) return fault;
      }
      if (cache === "hit" && cachedPage) {
        return edgeAnswer("page_cached", 200, cachedPage.html, {
          "x-litespeed-cache": "hit",
          age: String(Math.floor((Date.now() - cachedPage.atMs) / 1000)),
        });
      }
      if (["m", "s", "name", "year", "w", "day", "second"].some((name) => url.searchParams.has(name))) {
        return notFound("wordpress_404");
      }
      if (url.pathname === "/chat" || url.searchParams.has("p") || url.searchParams.has("page")) {
        return wordpressRedirect(site.pageUrl);
      }

      const headers = new Headers({ server: "nginx/1.22.1", "content-type": "text/html; charset=UTF-8" });
      headers.append("link", `<${site.url}/wp-json/>; rel="https://api.w.org/"`);
      headers.append("link", `<${site.url}/wp-json/wp/v2/pages/4>; rel="alternate"; type="application/json"`);
      headers.append("link", `<${site.url}/?p=4>; rel=shortlink`);

      const cookies = cookiesOf(request);
      let session = cookies.get("kimi_sess")?.replace(/[^a-z0-9]/g, "") ?? "";
      if (cookie !== "off" && session === "") {
        session = Buffer.from(crypto.getRandomValues(new Uint8Array(13))).toString("hex");
        sessions.add(session);
        headers.append("set-cookie", `kimi_sess=${session}; path=/; HttpOnly; SameSite=Lax`);
      }
      const visitor = { cookie: cookie === "bind" ? session : "", loginToken: nonces.loginToken(cookies) };
      const html = renderPage(variant, nonces.create(visitor, epoch, life));
      if (cache === "miss" && html.includes("</html>")) cachedPage = { html, atMs: Date.now() };
      return { outcome: `page_${variant}`, status: 200, headers, body: html };
    }
  }

  function renderPage(variant: string, nonce: string): string {
    const key = `${variant} ${nonce}`;
    let html = renderedPages.get(key);
    if (html === undefined) {
      html = chatPage(variant, site.url, nonce);
      if (renderedPages.size > 20) renderedPages.clear();
      renderedPages.set(key, html);
    }
    return html;
  }

  // ---- /wp-admin/admin-ajax.php --------------------------------------------------------

  function ajaxMode(action: string | null, message: string | null): string {
    if (action !== "kimi_send_message") return /\bchallenge(?:503)?\b/.test(state.ajax) ? state.ajax : "ok";
    if (state.directives && message?.includes("[[sim:")) {
      // The last directive counts: an earlier one may be in the history that came along.
      const found = [...message.matchAll(/\[\[sim:([^\]]*)\]\]/g)].at(-1)?.[1];
      if (found !== undefined) return found;
    }
    return take("ajax_queue") ?? state.ajax;
  }

  async function serveAjax(request: Request, url: URL): Promise<SiteAnswer> {
    if (Number(request.headers.get("content-length")) > nginxMaxBodyBytes) return bodyTooLarge;
    const { fields, raw } = await formOf(request);
    const settings = state;
    const action = fields.get("action") ?? url.searchParams.get("action");
    const message = fields.get("message") ?? null;
    const seen =
      message === null
        ? null
        : settings.sanitize !== "none" && isBrokenUtf8(message, raw)
          ? ""
          : sanitizeMessage(message, settings.sanitize);
    const steps = parseMode(ajaxMode(action, message));
    const entry = journal.ajax({
      method: request.method,
      action,
      session_id: fields.get("session_id") ?? null,
      model: fields.get("model") ?? null,
      nonce: fields.get("nonce") ?? null,
      chars: message === null ? null : codePoints(message),
      message,
      seen_chars: seen === null ? null : codePoints(seen),
      seen,
      headers: settings.log ? headersOf(request) : {},
      mode: modeText(steps),
    });
    await waitOut(request, entry, steps, action === "kimi_send_message" ? settings.delay_ms : 0);
    const answer = ajaxAnswer();
    entry.finish(answer);
    return answer;

    function ajaxAnswer(): SiteAnswer {
      const has = (name: string) => steps.some((step) => step.name === name);
      for (const step of steps) {
        const fault = edgeFault(step, "ajax", site.url);
        if (fault) return fault;
      }
      if (request.method === "OPTIONS") return foreignPreflight;
      if (action === null || action === "" || action === "0") return noAction;
      if (action !== "kimi_send_message") return ajaxDie("wordpress_400", "0", 400);
      if (has("unknown_action")) return ajaxDie("unknown_action", "0", 400);

      if (has("nonce_json")) return ajaxError("nonce_json", settings.nonce_fail_text);
      if (has("nonce_json403")) return ajaxError("nonce_json403", settings.nonce_fail_text, 403);
      const cookies = cookiesOf(request);
      if (settings.nonce_check !== "none") {
        const nonce = has("nonce_real")
          ? "deadbeef00"
          : (fields.get("nonce") ?? url.searchParams.get("nonce") ?? fields.get("_ajax_nonce") ?? "");
        const visitor: Visitor = {
          cookie:
            settings.cookie === "bind" ? (cookies.get("kimi_sess") ?? "").replace(/[^a-z0-9]/g, "") : "",
          loginToken: nonces.loginToken(cookies),
        };
        if (!nonces.isValid(nonce, visitor, settings.nonce_epoch, settings.nonce_life)) {
          if (settings.nonce_check === "referer") return ajaxDie("nonce_real", "-1", 403);
          return ajaxError(
            `nonce_${settings.nonce_check}`,
            settings.nonce_fail_text,
            settings.nonce_check === "json403" ? 403 : 200,
          );
        }
      }
      if (settings.cookie === "require" && !sessions.has(cookies.get("kimi_sess") ?? "")) {
        return ajaxError(
          "no_cookie",
          "Session expired. Please refresh the page.",
          settings.cookie_fail === "json403" ? 403 : 200,
        );
      }

      const text = seen ?? "";
      const model = sanitizeTextField(fields.get("model") ?? "");
      if (phpTrim(text) === "") return ajaxError("empty_message", "Message cannot be empty");
      if (
        settings.max_chars > 0 &&
        text.length > settings.max_chars &&
        codePoints(text) > settings.max_chars
      ) {
        return ajaxError("too_long", settings.too_long_text);
      }
      if (settings.check_model && !models.has(model)) return ajaxError("bad_model", "Invalid model");
      const { reply } = options;
      return pluginAnswer(
        steps,
        () => (reply === undefined ? describe(text, model) : typeof reply === "string" ? reply : reply(text)),
        settings.too_long_text,
      );
    }
  }

  // ---- /__sim --------------------------------------------------------------------------

  /** A query string has only strings: they become what the default's type is. */
  function typed(key: keyof Settings, value: unknown): unknown {
    const example = defaults[key];
    if (typeof value !== "string") return value;
    if (typeof example === "boolean") return ["1", "true", "on", "yes"].includes(value.toLowerCase());
    if (typeof example === "number") return Number.parseInt(value, 10) || 0;
    if (Array.isArray(example)) return value === "" ? [] : value.split(",");
    return value;
  }

  async function serveControl(request: Request, url: URL): Promise<Response> {
    const out = (data: unknown, status = 200) =>
      new Response(`${JSON.stringify(data, null, 4)}\n`, {
        status,
        headers: { "content-type": "application/json; charset=UTF-8", "cache-control": "no-store" },
      });

    const values: Record<string, unknown> = Object.fromEntries(url.searchParams);
    const body = await request.text();
    if (body !== "") {
      try {
        Object.assign(values, JSON.parse(body));
      } catch {
        if (request.headers.get("content-type")?.startsWith("application/json")) {
          return out({ error: "the body is not JSON" }, 400);
        }
        Object.assign(values, Object.fromEntries(new URLSearchParams(body)));
      }
    }
    const isOn = (value: unknown) => Boolean(value) && value !== "0";

    const operation = url.pathname.slice("/__sim".length).replace(/^\/+|\/+$/g, "");
    switch (operation) {
      case "":
        return out({
          counts: journal.counts(),
          maintenance: inMaintenance,
          db_down: databaseIsDown,
          cached_page: cachedPage !== undefined,
          files: null,
          state,
        });
      case "set": {
        const unknown = Object.keys(values).filter((key) => !Object.hasOwn(defaults, key));
        if (unknown.length > 0) {
          return out({ error: "unknown setting", unknown, known: Object.keys(defaults) }, 400);
        }
        const changes = Object.entries(values).map(([key, value]) => [
          key,
          typed(key as keyof Settings, value),
        ]);
        state = { ...state, ...Object.fromEntries(changes) };
        journal.rows = state.log;
        return out(state);
      }
      case "queue":
        for (const key of ["ajax", "page"] as const) {
          const queue = `${key}_queue` as const;
          if (key in values) {
            state = { ...state, [queue]: [...state[queue], ...(typed(queue, values[key]) as string[])] };
          }
        }
        return out(state);
      case "rotate":
        state = { ...state, nonce_epoch: state.nonce_epoch + 1 };
        return out(state);
      case "purge":
        cachedPage = undefined;
        return out({ purged: true });
      case "forget":
        sessions.clear();
        return out({ forgotten: true });
      case "maintenance":
        inMaintenance = isOn(values.on);
        return out({ maintenance: inMaintenance });
      case "db":
        databaseIsDown = isOn(values.down);
        return out({ db_down: databaseIsDown });
      case "log": {
        const answer = out(journal.log());
        if (isOn(values.clear)) journal.clear();
        return answer;
      }
      case "reset":
        inMaintenance = false;
        databaseIsDown = false;
        cachedPage = undefined;
        journal.clear();
        journal.rows = true;
        // The epoch only ever grows, so a reset kills no nonce and revives none.
        state = { ...startState, nonce_epoch: state.nonce_epoch };
        return out(state);
      default:
        return out(
          {
            error: `no such operation: ${operation}`,
            known: ["", "set", "queue", "rotate", "purge", "forget", "maintenance", "db", "log", "reset"],
          },
          404,
        );
    }
  }

  // ---- the server ------------------------------------------------------------------------

  async function serve(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const { pathname } = url;
    if (pathname === "/__sim" || pathname.startsWith("/__sim/")) return serveControl(request, url);
    const where = pathname === "/wp-admin/admin-ajax.php" ? "ajax" : "page";
    if (inMaintenance) return respond(maintenance(where));
    if (databaseIsDown) return respond(databaseDown(where));
    if (where === "ajax") return respond(await serveAjax(request, url));
    if (pathname === "/chat/" || pathname === "/chat") return respond(await servePage(request, url));
    if (pathname === movedScriptPath && state.page === "moved") {
      const nonce = nonces.create({ cookie: "", loginToken: "" }, state.nonce_epoch, state.nonce_life);
      return new Response(movedScript(site.ajaxUrl, nonce), {
        headers: { "content-type": "text/javascript" },
      });
    }
    if (pathname === "/wp-login.php") {
      return respond(
        edgeFault({ name: "html200", argument: "" }, "page", site.url) ?? notFound("wordpress_404"),
      );
    }
    return respond(notFound("wordpress_404"));
  }

  const server = Bun.serve({
    port: options.port ?? 0,
    hostname: options.hostname ?? "127.0.0.1",
    idleTimeout: 0,
    development: false,
    maxRequestBodySize: 4 * nginxMaxBodyBytes,
    fetch: serve,
  });
  const url = server.url.href.replace(/\/$/, "");
  const site: ChatSite = {
    url,
    pageUrl: `${url}/chat/`,
    ajaxUrl: `${url}/wp-admin/admin-ajax.php`,
    async stop() {
      for (const timer of sleepers) clearTimeout(timer);
      sleepers.clear();
      await server.stop(true);
    },
  };
  const nonces = siteNonces(url);
  return site;
}

if (import.meta.main) {
  const site = startChatSite({
    port: Number(process.env.PORT ?? 42_000),
    delayMs: Number(process.env.DELAY_MS ?? 0),
  });
  console.log(`page:    ${site.pageUrl}\ncalls:   ${site.ajaxUrl}\ncontrol: ${site.url}/__sim`);
}
