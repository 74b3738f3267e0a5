/** Counters and histograms in Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/ */
import type { RequestRecord } from "../types.ts";

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

/** A sum, and the labels that it is shown with. */
interface Counted {
  readonly labels: string;
  value: number;
}

/** Times, counted by the bound that they stay below. */
interface Observed {
  readonly labels: Labels;
  readonly counts: number[];
  sum: number;
  count: number;
}

/** Series by the values of their labels. Who needs one often looks it up once. */
const seriesOf = <Series>(names: readonly string[], create: (labels: Labels) => Series) => {
  const found = new Map<string, Series>();
  return {
    of(...values: string[]): Series {
      const key = values.join("\n");
      let series = found.get(key);
      if (series === undefined) {
        series = create(Object.fromEntries(names.map((name, index) => [name, values[index] ?? ""])));
        found.set(key, series);
      }
      return series;
    },
    all: () => [...found.values()],
  };
};

const counter = (name: string, help: string, labelNames: readonly string[]) => {
  const series = seriesOf(labelNames, (labels): Counted => ({ labels: encodeLabels(labels), value: 0 }));
  return {
    of: series.of,
    render: () =>
      header(name, help, "counter") +
      series
        .all()
        .filter(({ value }) => value > 0)
        .map(({ labels, value }) => `${name}${labels} ${value}\n`)
        .join(""),
  };
};

const histogram = (name: string, help: string, labelNames: readonly string[]) => {
  const series = seriesOf(
    labelNames,
    (labels): Observed => ({ labels, counts: bounds.map(() => 0), sum: 0, count: 0 }),
  );
  return {
    of: series.of,
    render() {
      const lines = series
        .all()
        .filter(({ count }) => count > 0)
        .map(({ labels, counts, sum, count }) => {
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

const observe = (entry: Observed, ms: number): void => {
  const seconds = ms / 1000;
  let index = 0;
  while (index < bounds.length && seconds > (bounds[index] as number)) index++;
  if (index < bounds.length) entry.counts[index] = (entry.counts[index] ?? 0) + 1;
  entry.sum += seconds;
  entry.count++;
};

/** Methods that are told apart: some servers let any word through. */
const knownMethods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "DELETE", "OPTIONS"]);

/** Models that are told apart: of upstreams that are asked for their list, clients may ask for any name. */
const maxModels = 1000;
const others = "others";

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
  const stored = store.of();
  let lastRecord: RequestRecord | undefined;
  let lastRequests: Counted | undefined;

  /** Nearly all requests are counted where the one before was. */
  const requestSeries = (record: RequestRecord): Counted => {
    const { route, status, code = "", key = "" } = record;
    const isSame =
      lastRecord?.route === route &&
      lastRecord.method === record.method &&
      lastRecord.status === status &&
      (lastRecord.code ?? "") === code &&
      (lastRecord.key ?? "") === key;
    if (!isSame || lastRequests === undefined) {
      const method = knownMethods.has(record.method) ? record.method : "other";
      lastRequests = requests.of(route, method, String(status), code, key);
    }
    lastRecord = record;
    return lastRequests;
  };

  const seriesOfModel = (provider: string, model: string) => ({
    firstPart: firstPart.of(provider, model),
    upstream: upstream.of(provider, model),
    attempts: attempts.of(provider, model),
    charsIn: chars.of(provider, model, "in"),
    charsOut: chars.of(provider, model, "out"),
    dropped: dropped.of(provider, model),
    replayed: replayed.of(provider, model),
  });
  type ModelSeries = ReturnType<typeof seriesOfModel>;
  const known = new Map<string, Map<string, ModelSeries>>();
  let knownModels = 0;

  /** The series of a model, or of all that came after the bound. */
  const modelSeries = (provider: string, model: string): ModelSeries => {
    const models = known.get(provider) ?? new Map<string, ModelSeries>();
    known.set(provider, models);
    let series = models.get(model) ?? (knownModels < maxModels ? undefined : models.get(others));
    if (series === undefined) {
      const shown = knownModels < maxModels ? model : others;
      knownModels++;
      // A client's name for a model may hold anything.
      series = seriesOfModel(provider, shown.replaceAll("\n", " "));
      models.set(shown, series);
    }
    return series;
  };

  return {
    observe(record) {
      const { route, provider } = record;
      requestSeries(record).value++;
      observe(seconds.of(route), record.ms);
      if (record.storeMs !== undefined) observe(stored, record.storeMs);
      if (provider === undefined || record.model === undefined) return;
      const series = modelSeries(provider, record.model);
      if (record.firstPartMs !== undefined) observe(series.firstPart, record.firstPartMs);
      if (record.upstreamMs !== undefined) observe(series.upstream, record.upstreamMs);
      if (record.replayed) series.replayed.value++;
      series.attempts.value += record.attempts ?? 0;
      series.charsIn.value += record.charsIn ?? 0;
      series.charsOut.value += record.charsOut ?? 0;
      series.dropped.value += record.droppedMessages ?? 0;
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
