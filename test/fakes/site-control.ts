/**
 * The control surface of the test sites, under `/__sim`: how they are told to misbehave and asked what they saw.
 * The stand-in of this folder and a real WordPress with the simulator plugin understand the same calls, so a suite
 * needs nothing but an address to run against either.
 */

/** How the chat site behaves; the modes and page variants are listed in faults.ts and chat-page.ts. */
export interface SiteSettings {
  /** Who refuses a bad nonce: WordPress (403 `-1`), the plugin (`success:false`, status 200 or 403), nobody. */
  nonce_check: "referer" | "json" | "json403" | "none";
  nonce_fail_text: string;
  /** Grows by one whenever all nonces given out so far die. */
  nonce_epoch: number;
  /** Seconds; a nonce lives half to all of it. */
  nonce_life: number;
  sanitize: "textarea" | "text" | "text_slashed" | "none";
  /** Code points after sanitizing; 0 means no limit. */
  max_chars: number;
  too_long_text: string;
  check_model: boolean;
  /** `require`: a call needs a cookie that the page has set. `bind`: the nonce is good with that cookie only. */
  cookie: "off" | "require" | "bind";
  cookie_fail: "json" | "json403";
  page: string;
  page_mode: string;
  page_cache: "off" | "on";
  /** What gets past the page cache: of `query`, `no-cache`, `cookie`. */
  page_cache_bypass: readonly string[];
  page_queue: readonly string[];
  ajax: string;
  ajax_queue: readonly string[];
  /** Whether `[[sim:MODE]]` in a message is obeyed. */
  directives: boolean;
}

/** One request to the chat page. */
export interface PageRow {
  readonly id: string;
  /** Seconds since the epoch. */
  readonly time: number;
  readonly method: string;
  readonly uri: string;
  /** `off`, `hit`, `miss` or `bypass:REASON`. */
  readonly cache: string;
  readonly mode: string;
  readonly headers: Readonly<Record<string, string>>;
  /** null: not answered yet. */
  readonly outcome: string | null;
  readonly status: number | null;
  readonly ms: number | null;
}

/** One call of admin-ajax.php. */
export interface AjaxRow extends Omit<PageRow, "uri" | "cache"> {
  readonly action: string | null;
  readonly session_id: string | null;
  readonly model: string | null;
  readonly nonce: string | null;
  /** Code points as posted. */
  readonly chars: number | null;
  readonly message: string | null;
  /** The message as the plugin has it, after WordPress's sanitizers. */
  readonly seen_chars: number | null;
  readonly seen: string | null;
}

export interface SiteLog {
  readonly ajax: readonly AjaxRow[];
  readonly pages: readonly PageRow[];
}

export interface SiteStatus {
  readonly counts: {
    readonly pages: number;
    readonly pages_by: Readonly<Record<string, number>>;
    readonly ajax: number;
    readonly ajax_by: Readonly<Record<string, number>>;
    /** Calls whose client left before the answer; only the stand-in counts them. */
    readonly aborted?: number;
  };
  readonly maintenance: boolean;
  readonly db_down: boolean;
  readonly cached_page: boolean;
  readonly state: SiteSettings;
}

/** What a test can do to a chat site. */
export interface SiteControl {
  readonly url: string;
  readonly pageUrl: string;
  readonly ajaxUrl: string;
  status(): Promise<SiteStatus>;
  /** All settings to default, logs and page cache empty, maintenance off, database on; nonces live on. */
  reset(): Promise<void>;
  /** Settings that only the stand-in knows (`log`, `delay_ms`) are refused by WordPress. */
  set(settings: Partial<SiteSettings> & { log?: boolean; delay_ms?: number }): Promise<void>;
  /** Modes for the next calls or page fetches, one each; afterwards as set. */
  queue(modes: { ajax?: readonly string[]; page?: readonly string[] }): Promise<void>;
  /** Every nonce given out so far is dead. */
  rotate(): Promise<void>;
  /** Drops the cached page. */
  purge(): Promise<void>;
  /** The site forgets all session cookies. */
  forget(): Promise<void>;
  maintenance(on: boolean): Promise<void>;
  database(up: boolean): Promise<void>;
  log(options?: { clear?: boolean }): Promise<SiteLog>;
}

/** Controls the chat site at `url`, stand-in or WordPress. */
export function siteControl(url: string): SiteControl {
  const base = url.replace(/\/+$/, "");

  async function call(operation: string, values: object = {}): Promise<unknown> {
    const response = await fetch(`${base}/__sim/${operation}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(values),
    });
    const body = await response.text();
    if (!response.ok) throw new Error(`/__sim/${operation}: ${response.status} ${body}`);
    return JSON.parse(body);
  }
  const act = async (operation: string, values?: object) => {
    await call(operation, values);
  };

  return {
    url: base,
    pageUrl: `${base}/chat/`,
    ajaxUrl: `${base}/wp-admin/admin-ajax.php`,
    status: () => call("") as Promise<SiteStatus>,
    reset: () => act("reset"),
    set: (settings) => act("set", settings),
    queue: (modes) => act("queue", modes),
    rotate: () => act("rotate"),
    purge: () => act("purge"),
    forget: () => act("forget"),
    maintenance: (on) => act("maintenance", { on: on ? 1 : 0 }),
    database: (up) => act("db", { down: up ? 0 : 1 }),
    log: (options) => call("log", options?.clear ? { clear: 1 } : {}) as Promise<SiteLog>,
  };
}
