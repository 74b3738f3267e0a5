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

/** Series by the values of their labels. `key` is those joined by line breaks: who has several series joins them once. */
const seriesOf = <Series>(names: readonly string[], create: (labels: Labels) => Series) => {
  const found = new Map<string, Series>();
  return {
    at(key: string): Series {
      let series = found.get(key);
      if (series === undefined) {
        const values = key.split("\n");
        series = create(Object.fromEntries(names.map((name, index) => [name, values[index] ?? ""])));
        found.set(key, series);
      }
      return series;
    },
    all: () => [...found.values()],
  };
};

const counter = (name: string, help: string, labelNames: readonly string[]) => {
  const series = seriesOf(labelNames, (labels) => ({ labels: encodeLabels(labels), value: 0 }));
  return {
    add(amount: number, key: string) {
      series.at(key).value += amount;
    },
    render: () =>
      header(name, help, "counter") +
      series
        .all()
        .map(({ labels, value }) => `${name}${labels} ${value}\n`)
        .join(""),
  };
};

const histogram = (name: string, help: string, labelNames: readonly string[]) => {
  const series = seriesOf(labelNames, (labels) => ({
    labels,
    counts: bounds.map(() => 0),
    sum: 0,
    count: 0,
  }));
  return {
    observe(ms: number, key: string) {
      const entry = series.at(key);
      const seconds = ms / 1000;
      let index = 0;
      while (index < bounds.length && seconds > (bounds[index] as number)) index++;
      if (index < bounds.length) entry.counts[index] = (entry.counts[index] ?? 0) + 1;
      entry.sum += seconds;
      entry.count++;
    },
    render() {
      const lines = series.all().map(({ labels, counts, sum, count }) => {
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

/** Methods that are told apart: some servers let any word through. */
const knownMethods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "DELETE", "OPTIONS"]);

/** Models that are told apart: of upstreams that are asked for their list, clients may ask for any name. */
const maxModels = 1000;

/** Labels hold only what the configuration names and what the code knows, so that their number stays bounded. */
export function metrics(): Metrics {
  const served = ["provider", "model"];
  const requests = counter("kimi_requests_total", "Requests, by route, status and error code.", [
    "route",
    "method",
    "status",
    "code",
    "key",
  ]);
  const seconds = histogram(
    "kimi_request_duration_seconds",
    "Time until the answer's last byte was handed over.",
    ["route"],
  );
  const firstPart = histogram("kimi_first_part_seconds", "Time until the provider's first part.", served);
  const upstream = histogram(
    "kimi_upstream_duration_seconds",
    "Time spent waiting for the upstream.",
    served,
  );
  const attempts = counter("kimi_upstream_attempts_total", "Calls made to upstreams.", served);
  const chars = counter("kimi_characters_total", "Characters of messages in and of replies out.", [
    ...served,
    "direction",
  ]);
  const dropped = counter("kimi_dropped_messages_total", "Messages left out so that the rest fits.", served);
  const store = histogram("kimi_session_store_seconds", "Time spent with the store of conversations.", []);
  const replayed = counter(
    "kimi_replayed_answers_total",
    "Answers that took no call to an upstream.",
    served,
  );
  const models = new Set<string>();

  return {
    observe(record) {
      const { route, status, code = "", key = "", provider } = record;
      const method = knownMethods.has(record.method) ? record.method : "other";
      requests.add(1, `${route}\n${method}\n${status}\n${code}\n${key}`);
      seconds.observe(record.ms, route);
      if (record.storeMs !== undefined) store.observe(record.storeMs, "");
      if (provider === undefined || record.model === undefined) return;
      if (models.size < maxModels) models.add(record.model);
      const model = models.has(record.model) ? record.model : "others";
      // A client's name for a model may hold anything.
      const way = `${provider}\n${model.replaceAll("\n", " ")}`;
      if (record.firstPartMs !== undefined) firstPart.observe(record.firstPartMs, way);
      if (record.upstreamMs !== undefined) upstream.observe(record.upstreamMs, way);
      if (record.replayed) replayed.add(1, way);
      if (record.attempts) attempts.add(record.attempts, way);
      if (record.charsIn) chars.add(record.charsIn, `${way}\nin`);
      if (record.charsOut) chars.add(record.charsOut, `${way}\nout`);
      if (record.droppedMessages) dropped.add(record.droppedMessages, way);
    },
    render(gauges) {
      const counted = [requests, seconds, firstPart, upstream, store, attempts, replayed, chars, dropped].map(
        (metric) => metric.render(),
      );
      // The format wants all samples of one name together.
      const measured = new Map<string, string>();
      for (const { name, help, labels, value } of gauges) {
        const before = measured.get(name) ?? header(name, help, "gauge");
        measured.set(name, `${before}${name}${encodeLabels(labels)} ${value}\n`);
      }
      return [...counted, ...measured.values()].join("");
    },
  };
}
