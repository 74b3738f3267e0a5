/** Counters and histograms in Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/ */
import type { RequestRecord } from "./types.ts";

/** Bounds of the histograms, in seconds. */
const bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 180];

export interface Gauge {
  readonly name: string;
  readonly help: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Metrics {
  observe(record: RequestRecord): void;
  /** The page, with `gauges` as they are now. */
  render(gauges: readonly Gauge[]): string;
}

type Labels = Readonly<Record<string, string>>;

const encodeLabels = (labels: Labels): string => {
  const pairs = Object.entries(labels).map(
    ([name, value]) =>
      `${name}="${value.replace(/[\\"\n]/g, (char) => (char === "\n" ? "\\n" : `\\${char}`))}"`,
  );
  return pairs.length > 0 ? `{${pairs.join(",")}}` : "";
};

const header = (name: string, help: string, type: string): string =>
  `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;

const counter = (name: string, help: string) => {
  const values = new Map<string, number>();
  return {
    add(labels: Labels, amount = 1) {
      const key = encodeLabels(labels);
      values.set(key, (values.get(key) ?? 0) + amount);
    },
    render: () =>
      header(name, help, "counter") +
      [...values].map(([labels, value]) => `${name}${labels} ${value}\n`).join(""),
  };
};

const histogram = (name: string, help: string) => {
  const series = new Map<string, { labels: Labels; counts: number[]; sum: number; count: number }>();
  return {
    observe(labels: Labels, seconds: number) {
      const key = encodeLabels(labels);
      let entry = series.get(key);
      if (entry === undefined) {
        entry = { labels, counts: bounds.map(() => 0), sum: 0, count: 0 };
        series.set(key, entry);
      }
      const index = bounds.findIndex((bound) => seconds <= bound);
      if (index >= 0) entry.counts[index] = (entry.counts[index] ?? 0) + 1;
      entry.sum += seconds;
      entry.count++;
    },
    render() {
      const lines = [...series.values()].map(({ labels, counts, sum, count }) => {
        let below = 0;
        const buckets = bounds.map((bound, index) => {
          below += counts[index] ?? 0;
          return `${name}_bucket${encodeLabels({ ...labels, le: String(bound) })} ${below}\n`;
        });
        const infinite = `${name}_bucket${encodeLabels({ ...labels, le: "+Inf" })} ${count}\n`;
        const all = encodeLabels(labels);
        return `${buckets.join("")}${infinite}${name}_sum${all} ${sum}\n${name}_count${all} ${count}\n`;
      });
      return header(name, help, "histogram") + lines.join("");
    },
  };
};

/** Labels hold only what the configuration names and what the code knows, so that their number stays bounded. */
export function metrics(): Metrics {
  const requests = counter("kimi_requests_total", "Requests, by route, status and error code.");
  const seconds = histogram(
    "kimi_request_duration_seconds",
    "Time until the answer's last byte was handed over.",
  );
  const firstPart = histogram("kimi_first_part_seconds", "Time until the provider's first part.");
  const upstream = histogram("kimi_upstream_duration_seconds", "Time spent waiting for the upstream.");
  const attempts = counter("kimi_upstream_attempts_total", "Calls made to upstreams.");
  const chars = counter("kimi_characters_total", "Characters of messages in and of replies out.");
  const dropped = counter("kimi_dropped_messages_total", "Messages left out so that the rest fits.");

  return {
    observe(record) {
      const { route, method, status, code = "", provider, model } = record;
      requests.add({ route, method, status: String(status), code, key: record.key ?? "" });
      seconds.observe({ route }, record.ms / 1000);
      if (provider === undefined || model === undefined) return;
      const labels = { provider, model };
      if (record.firstPartMs !== undefined) firstPart.observe(labels, record.firstPartMs / 1000);
      if (record.upstreamMs !== undefined) upstream.observe(labels, record.upstreamMs / 1000);
      if (record.attempts) attempts.add(labels, record.attempts);
      if (record.charsIn) chars.add({ ...labels, direction: "in" }, record.charsIn);
      if (record.charsOut) chars.add({ ...labels, direction: "out" }, record.charsOut);
      if (record.droppedMessages) dropped.add(labels, record.droppedMessages);
    },
    render(gauges) {
      const counted = [requests, seconds, firstPart, upstream, attempts, chars, dropped].map((metric) =>
        metric.render(),
      );
      const helped = new Set<string>();
      const measured = gauges.map(({ name, help, labels, value }) => {
        const first = helped.has(name) ? "" : header(name, help, "gauge");
        helped.add(name);
        return `${first}${name}${encodeLabels(labels)} ${value}\n`;
      });
      return [...counted, ...measured].join("");
    },
  };
}
