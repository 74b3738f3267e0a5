import { cpus, release } from "node:os";

/** One line of the table. */
export interface Row {
  readonly scenario: string;
  readonly measure: string;
  readonly unit: string;
  /** By the subject's name: floor, gateway, and what else took part. */
  readonly values: Readonly<Record<string, number>>;
  /** What the budget is about: a ratio, a difference or a plain number. Absent where a row only informs. */
  readonly verdict?: Verdict;
  readonly note?: string;
}

export interface Verdict {
  readonly result: string;
  readonly budget: string;
  readonly met: boolean;
}

export interface Report {
  readonly at: string;
  readonly machine: string;
  readonly bun: string;
  readonly rounds: number;
  readonly smoke: boolean;
  readonly rows: readonly Row[];
  readonly problems: readonly string[];
}

export function machine(): string {
  const processors = cpus();
  return `${processors.length} × ${processors[0]?.model.trim()}, ${process.platform} ${release()}`;
}

export function format(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return "";
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toFixed(digits).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** A compared gateway has its share of the floor beside its number, since the result column is about ours. */
function cell(values: Row["values"], name: string): string {
  const { floor, [name]: value } = values;
  const text = format(value);
  if (name !== "other" || text === "" || !floor || value === undefined) return text;
  return `${text} (${(value / floor).toFixed(2)} ×)`;
}

/** The table as Markdown, which reads well on a terminal too. `smoke` times mean nothing, so none is judged. */
export function table({ rows, smoke }: Pick<Report, "rows" | "smoke">): string {
  const others = [...new Set(rows.flatMap((row) => Object.keys(row.values)))].filter(
    (name) => name !== "floor" && name !== "gateway",
  );
  const subjects = ["floor", "gateway", ...others];
  const head = ["scenario", "measure", ...subjects, "result", "budget", ""];
  const lines = rows.map(({ scenario, measure, unit, values, verdict, note }) => [
    scenario,
    unit === "" ? measure : `${measure}, ${unit}`,
    ...subjects.map((name) => cell(values, name)),
    verdict?.result ?? note ?? "",
    verdict?.budget ?? "",
    verdict === undefined || smoke ? "" : verdict.met ? "✓" : "✗",
  ]);
  const all = [head, ...lines];
  const widths = head.map((_, column) => Math.max(...all.map((line) => line[column]?.length ?? 0), 3));
  const numeric = (column: number) => column >= 2 && column < 2 + subjects.length;
  const print = (line: readonly string[]) =>
    `| ${line.map((text, column) => (numeric(column) ? text.padStart(widths[column] ?? 0) : text.padEnd(widths[column] ?? 0))).join(" | ")} |`;
  const rule = `| ${widths.map((width, column) => (numeric(column) ? `${"-".repeat(width - 1)}:` : "-".repeat(width))).join(" | ")} |`;
  return [print(head), rule, ...lines.map(print)].join("\n");
}
