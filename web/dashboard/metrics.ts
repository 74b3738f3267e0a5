/** What `GET /metrics` says: https://prometheus.io/docs/instrumenting/exposition_formats/ */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const unescaped = (text: string): string =>
  text.replace(/\\(.)/g, (_, char: string) => (char === "n" ? "\n" : char));

export const parseMetrics = (text: string): Sample[] =>
  text.split("\n").flatMap((line) => {
    const [, name, labels = "", value] = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) return [];
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
    return [
      {
        name,
        labels: Object.fromEntries(pairs.map(([, label = "", content = ""]) => [label, unescaped(content)])),
        value: Number(value),
      },
    ];
  });

/** Sums by the values of a label, the largest first. */
export function sumBy(samples: readonly Sample[], label: string): [string, number][] {
  const sums = new Map<string, number>();
  for (const { labels, value } of samples) {
    const key = labels[label] ?? "";
    sums.set(key, (sums.get(key) ?? 0) + value);
  }
  return [...sums].sort(([, one], [, other]) => other - one);
}

export const sum = (samples: readonly Sample[]): number =>
  samples.reduce((total, { value }) => total + value, 0);

export interface Histogram {
  readonly count: number;
  /** Upper bounds in seconds, and how many stayed below each but not below the one before. */
  readonly buckets: readonly { readonly to: number; readonly count: number }[];
}

/** The buckets of all series together. */
export function histogramOf(samples: readonly Sample[]): Histogram {
  const below = new Map<number, number>();
  for (const { labels, value } of samples) {
    const bound = labels.le === "+Inf" ? Number.POSITIVE_INFINITY : Number(labels.le);
    below.set(bound, (below.get(bound) ?? 0) + value);
  }
  let before = 0;
  const buckets = [...below]
    .sort(([one], [other]) => one - other)
    .map(([to, upTo]) => {
      const count = upTo - before;
      before = upTo;
      return { to, count };
    });
  return { count: before, buckets };
}

/** Seconds under which that share of all stayed, as far as the buckets tell; undefined where there are none. */
export function quantile({ count, buckets }: Histogram, share: number): number | undefined {
  if (count === 0) return undefined;
  let from = 0;
  let seen = 0;
  for (const bucket of buckets) {
    if (seen + bucket.count >= share * count) {
      if (bucket.to === Number.POSITIVE_INFINITY) return from;
      return from + (bucket.to - from) * ((share * count - seen) / bucket.count);
    }
    seen += bucket.count;
    from = bucket.to;
  }
  return from;
}
