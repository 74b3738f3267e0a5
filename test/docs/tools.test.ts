/** docs/tools.md: its figures are what tools cost, and its example is what the model reads. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { formTexts, toolTexts } from "../../core/providers/wordpress-chat/tools/tell.ts";
import type { ToolDefinition } from "../../core/types.ts";

const page = readFileSync(join(import.meta.dir, "../../docs/tools.md"), "utf8");

const weather: ToolDefinition = {
  name: "get_weather",
  description: "Get the current weather in a given location",
  parameters: {
    type: "object",
    properties: {
      location: { type: "string", description: "The city and state, e.g. San Francisco, CA" },
      unit: { type: "string", enum: ["celsius", "fahrenheit"] },
    },
    required: ["location"],
  },
};
const flights: ToolDefinition = {
  name: "search_flights",
  description:
    "Finds flights between two airports on a day, sorted by price, the cheapest first, with all taxes.",
  parameters: {
    type: "object",
    properties: {
      from: { type: "string", description: "IATA code" },
      to: { type: "string", description: "IATA code" },
      day: { type: "string", format: "date" },
      cabin: { enum: ["economy", "premium", "business", "first"] },
      passengers: {
        type: "object",
        properties: { adults: { type: "integer", minimum: 1 }, children: { type: "integer" } },
        required: ["adults"],
      },
    },
    required: ["from", "to", "day", "passengers"],
  },
};

const texts = (tools: readonly ToolDefinition[]) =>
  toolTexts({ tools, mustCall: false, several: true, newestText: "" });
const sizes = (tools: readonly ToolDefinition[]) => texts(tools).map((text) => [...text].length);

test("its figures are those of the code", () => {
  const rows = [...page.matchAll(/^\| \d\. .*?\| +(\d+) \| +(\d+) \|$/gm)];
  const [none = 0] = sizes([]);
  expect(rows.map(([, one, other]) => [Number(one), Number(other)])).toEqual(
    sizes([weather]).map((size, step) => [size - none, (sizes([flights])[step] ?? 0) - none]),
  );
  expect(page).toContain(`**half of them at most**, so that a turn fits: ${none} characters`);
  const json = [weather, flights].map((tool) => JSON.stringify(tool).length);
  expect(page).toContain(`(As JSON in the request, the two have ${json.join(" and ")}.)`);
});

test("its examples are what the model reads", () => {
  expect(page).toContain(texts([weather])[1] ?? "-");
  const schema = {
    type: "object",
    properties: {
      city: { type: "string" },
      days: { type: "integer" },
      kind: { enum: ["work", "leisure"] },
      stops: {
        type: "array",
        items: { type: "object", properties: { name: { type: "string" } }, required: ["name"] },
      },
    },
    required: ["city", "days", "stops"],
  };
  expect(page).toContain(formTexts({ schema, description: "trip" })[0] ?? "-");
});
