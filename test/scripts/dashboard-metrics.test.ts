import { expect, test } from "bun:test";
import { createMetrics } from "../../core/operations/metrics.ts";
import { histogramOf, parseMetrics, quantile, sumBy } from "../../web/dashboard/metrics.ts";

test("the dashboard reads what the metrics write", () => {
  const metrics = createMetrics();
  const facts = { requestId: "1", method: "POST", route: "/chat/completions", key: 'a"b\\c' };
  for (const ms of [4, 60, 80, 90]) metrics.observe({ ...facts, status: 200, ms });
  metrics.observe({ ...facts, status: 504, code: "upstream_timeout", ms: 200_000 });
  const samples = parseMetrics(metrics.render([]));
  const requests = samples.filter(({ name }) => name === "kimi_requests_total");
  expect(sumBy(requests, "code")).toEqual([
    ["", 4],
    ["upstream_timeout", 1],
  ]);
  expect(sumBy(requests, "key")).toEqual([['a"b\\c', 5]]);
  const times = histogramOf(samples.filter(({ name }) => name === "kimi_request_duration_seconds_bucket"));
  expect(times.count).toBe(5);
  expect(quantile(times, 0.5)).toBeCloseTo(0.075, 3);
  expect(quantile(times, 0.2)).toBe(0.005);
  // Beyond the last bound nothing more is known.
  expect(quantile(times, 0.99)).toBe(180);
  expect(quantile(histogramOf([]), 0.5)).toBeUndefined();
});
