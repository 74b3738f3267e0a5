import type { AjaxRow, PageRow, SiteStatus } from "./site-control.ts";
import type { SiteAnswer } from "./wordpress-answers.ts";

type Writable<Row> = { -readonly [Key in keyof Row]: Row[Key] };
type Pending = "outcome" | "status" | "ms";

/** One request in the journal, until it is cleared. */
export interface Entry {
  /** Tells how the request ended. */
  finish(answer: Pick<SiteAnswer, "outcome" | "status">): void;
  /** Tells that the client left before that. */
  abort(): void;
}

/** What the site has seen: counters always, rows while they are wanted, of each kind at most the newest few thousand. */
export interface SiteJournal {
  rows: boolean;
  ajax(row: Omit<AjaxRow, Pending | "id" | "time">): Entry;
  page(row: Omit<PageRow, Pending | "id" | "time">): Entry;
  log(): { ajax: readonly AjaxRow[]; pages: readonly PageRow[] };
  counts(): SiteStatus["counts"];
  clear(): void;
}

const maxRows = 20_000;

/** An empty journal. */
export function siteJournal(): SiteJournal {
  let nextId = 1;
  let aborted = 0;
  const ajax = kind<AjaxRow>();
  const pages = kind<PageRow>();

  function kind<Row extends AjaxRow | PageRow>() {
    let rows: Row[] = [];
    let total = 0;
    let pending = 0;
    let outcomes = new Map<string, number>();
    let era = 0;
    return {
      rows: () => rows,
      total: () => total,
      by: () => ({ ...Object.fromEntries(outcomes), ...(pending > 0 ? { pending } : {}) }),
      clear() {
        rows = [];
        total = 0;
        pending = 0;
        outcomes = new Map();
        era++;
      },
      begin(facts: Omit<Row, Pending | "id" | "time">): Entry {
        const startedAtMs = performance.timeOrigin + performance.now();
        const myEra = era;
        let row: Writable<Row> | undefined;
        if (journal.rows) {
          row = {
            id: (nextId++).toString(16).padStart(12, "0"),
            time: Math.round(startedAtMs) / 1000,
            ...facts,
            outcome: null,
            status: null,
            ms: null,
          } as Writable<Row>;
          if (rows.length >= 2 * maxRows) rows = rows.slice(-maxRows);
          rows.push(row as Row);
        }
        total++;
        pending++;
        return {
          finish({ outcome, status }) {
            if (row) {
              row.outcome = outcome;
              row.status = status;
              row.ms = Math.round(performance.timeOrigin + performance.now() - startedAtMs);
            }
            if (myEra !== era) return;
            pending--;
            outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
          },
          abort() {
            if (myEra === era) aborted++;
          },
        };
      },
    };
  }

  const journal: SiteJournal = {
    rows: true,
    ajax: ajax.begin,
    page: pages.begin,
    log: () => ({ ajax: ajax.rows(), pages: pages.rows() }),
    counts: () => ({
      pages: pages.total(),
      pages_by: pages.by(),
      ajax: ajax.total(),
      ajax_by: ajax.by(),
      aborted,
    }),
    clear() {
      ajax.clear();
      pages.clear();
      aborted = 0;
    },
  };
  return journal;
}
