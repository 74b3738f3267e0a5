/** Counters and histograms in Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/ */
import type { RequestFacts } from "../types.ts";

/** Bounds of the histograms, in seconds. */
const bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 180];

export interface Gauge {
  readonly name: string;
  readonly help: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Metrics {
  observe(record: RequestFacts): void;
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

/** One series for each combination of the labels' values. */
const createSeries = <Series>(names: readonly string[], create: (labels: Labels) => Series) => {
  const series = new Map<string, Series>();
  const add = (key: string, values: readonly string[]): Series => {
    const added = create(Object.fromEntries(names.map((name, index) => [name, values[index] ?? ""])));
    series.set(key, added);
    return added;
  };
  return {
    of(...values: string[]): Series {
      const key = values.join("\n");
      return series.get(key) ?? add(key, values);
    },
    all: () => [...series.values()],
  };
};

const createCounter = (name: string, help: string, labelNames: readonly string[]) => {
  const series = createSeries(labelNames, (labels) => {
    let sum = 0;
    return {
      add(value = 0): void {
        sum += value;
      },
      sample: (): string => (sum > 0 ? `${name}${encodeLabels(labels)} ${sum}\n` : ""),
    };
  });
  const samples = () => series.all().map(({ sample }) => sample());
  return { of: series.of, render: () => header(name, help, "counter") + samples().join("") };
};

const createHistogram = (name: string, help: string, labelNames: readonly string[]) => {
  const series = createSeries(labelNames, (labels) => {
    /** Times, counted by the bound that they stay below. */
    const counts = bounds.map(() => 0);
    let sum = 0;
    let count = 0;
    return {
      observe(ms: number | undefined): void {
        if (ms === undefined) return;
        const seconds = ms / 1000;
        let index = 0;
        while (index < bounds.length && seconds > (bounds[index] as number)) index++;
        if (index < bounds.length) counts[index] = (counts[index] ?? 0) + 1;
        sum += seconds;
        count++;
      },
      samples(): string {
        if (count === 0) return "";
        let below = 0;
        const buckets = bounds.map((bound, index) => {
          below += counts[index] ?? 0;
          return `${name}_bucket${encodeLabels({ ...labels, le: String(bound) })} ${below}\n`;
        });
        const infinite = `${name}_bucket${encodeLabels({ ...labels, le: "+Inf" })} ${count}\n`;
        const all = encodeLabels(labels);
        return `${buckets.join("")}${infinite}${name}_sum${all} ${sum}\n${name}_count${all} ${count}\n`;
      },
    };
  });
  const samples = () => series.all().map((each) => each.samples());
  return { of: series.of, render: () => header(name, help, "histogram") + samples().join("") };
};

/** Methods with a label of their own: some servers let any word through. */
const knownMethods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "DELETE", "OPTIONS"]);

/** Models with series of their own. */
const maxModels = 1000;
/** Of these, the ones that one key may bring in though no list has them. Some upstreams answer to any name. */
const maxUnlistedOfKey = 100;
/** The label of all other models, those among them whose names no provider has confirmed by an answer. */
const others = "other";

/** Labels hold only what the configuration names and what the code knows, so that their number stays bounded. */
export function createMetrics(): Metrics {
  const served = ["provider", "model"];
  const requests = createCounter("kimi_requests_total", "Requests, by route, status and error code.", [
    "route",
    "method",
    "status",
    "code",
    "key",
  ]);
  const seconds = createHistogram(
    "kimi_request_duration_seconds",
    "Time until the answer's last byte was handed over.",
    ["route"],
  );
  const firstPart = createHistogram(
    "kimi_first_part_seconds",
    "Time until the provider's first part.",
    served,
  );
  const upstream = createHistogram(
    "kimi_upstream_duration_seconds",
    "Time spent waiting for the upstream.",
    served,
  );
  const store = createHistogram(
    "kimi_session_store_seconds",
    "Time spent with the store of conversations.",
    [],
  );
  const attempts = createCounter("kimi_upstream_attempts_total", "Calls made to upstreams.", served);
  const replayed = createCounter(
    "kimi_replayed_answers_total",
    "Answers that took no call to an upstream.",
    served,
  );
  const chars = createCounter("kimi_characters_total", "Characters of messages in and of replies out.", [
    ...served,
    "direction",
  ]);
  const tokens = createCounter("kimi_tokens_total", "Tokens of prompts in and of answers out.", [
    ...served,
    "direction",
  ]);
  const dropped = createCounter(
    "kimi_dropped_messages_total",
    "Messages left out so that the rest fits.",
    served,
  );
  const all = [requests, seconds, firstPart, upstream, store, attempts, replayed, chars, tokens, dropped];

  const createModelSeries = (provider: string, model: string) => ({
    firstPart: firstPart.of(provider, model),
    upstream: upstream.of(provider, model),
    attempts: attempts.of(provider, model),
    replayed: replayed.of(provider, model),
    charsIn: chars.of(provider, model, "in"),
    charsOut: chars.of(provider, model, "out"),
    tokensIn: tokens.of(provider, model, "in"),
    tokensOut: tokens.of(provider, model, "out"),
    dropped: dropped.of(provider, model),
  });
  const models = new Map<string, ReturnType<typeof createModelSeries>>();

  /** How many models that are on no list have come with each key. */
  const unlistedOf = new Map<string, number>();

  const mayHaveSeries = ({ unlisted, key = "", firstPartMs }: RequestFacts): boolean => {
    if (models.size >= maxModels) return false;
    if (!unlisted) return true;
    const before = unlistedOf.get(key) ?? 0;
    if (firstPartMs === undefined || before >= maxUnlistedOfKey) return false;
    unlistedOf.set(key, before + 1);
    return true;
  };

  const modelSeries = (provider: string, model: string, facts: RequestFacts) => {
    const name = `${provider}/${model}`;
    const known = models.get(name);
    if (known !== undefined) return known;
    if (!mayHaveSeries(facts)) return createModelSeries(provider, others);
    // A name may hold anything, and line breaks keep the labels of a series apart.
    const series = createModelSeries(provider, model.replaceAll("\n", " "));
    models.set(name, series);
    return series;
  };

  return {
    observe(record) {
      const { route, status, code = "", key = "", provider } = record;
      const method = knownMethods.has(record.method) ? record.method : "other";
      requests.of(route, method, String(status), code, key).add(1);
      seconds.of(route).observe(record.ms);
      store.of().observe(record.storeMs);
      if (provider === undefined || record.model === undefined) return;
      const series = modelSeries(provider, record.model, record);
      series.firstPart.observe(record.firstPartMs);
      series.upstream.observe(record.upstreamMs);
      series.attempts.add(record.attempts);
      series.replayed.add(record.replayed ? 1 : 0);
      series.charsIn.add(record.charsIn);
      series.charsOut.add(record.charsOut);
      series.tokensIn.add(record.tokensIn);
      series.tokensOut.add(record.tokensOut);
      series.dropped.add(record.droppedMessages);
    },
    render(gauges) {
      // The format wants all samples of one name together.
      const measured = new Map<string, string>();
      for (const { name, help, labels, value } of gauges) {
        const before = measured.get(name) ?? header(name, help, "gauge");
        measured.set(name, `${before}${name}${encodeLabels(labels)} ${value}\n`);
      }
      return [...all.map((metric) => metric.render()), ...measured.values()].join("");
    },
  };
}
