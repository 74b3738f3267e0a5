/** Rules for accessible pages, by axe-core, over every page in both themes. */
import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import {
  answered,
  closeBrowser,
  type Gateway,
  missing,
  open,
  richReply,
  say,
  startGateway,
} from "./stage.ts";

interface Violation {
  readonly id: string;
  readonly impact: string;
  readonly nodes: readonly { readonly html: string }[];
}

const axe = readFileSync(new URL(import.meta.resolve("axe-core/axe.min.js")), "utf8");

let gateway: Gateway | undefined;

afterAll(async () => {
  await closeBrowser();
  await gateway?.stop();
});

const places = ["/ui", "/ui#connect", "/docs", "/dashboard"];

describe.skipIf(missing !== undefined)(
  `axe-core finds nothing${missing ? ` (skipped: ${missing})` : ""}`,
  () => {
    test.each(places.flatMap((place) => [[place, "light"] as const, [place, "dark"] as const]))(
      "on %s in the %s theme",
      async (place, colorScheme) => {
        gateway ??= await startGateway({ reply: richReply });
        // The policy of the page would refuse the checker itself.
        const { page, close } = await open(gateway.url + place, { colorScheme, bypassCSP: true });
        if (place === "/ui") {
          await page.locator("#model option").first().waitFor({ state: "attached" });
          await say(page, "Why?");
          await answered(page);
          await page.getByText("Request and response").click();
        }
        await page.evaluate(axe);
        const found = await page.evaluate(
          // biome-ignore lint/suspicious/noExplicitAny: the checker's own global
          async () => (await (globalThis as any).axe.run()).violations as Violation[],
        );
        expect(
          found.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map(({ html }) => html).join(" ")}`),
        ).toEqual([]);
        await close();
      },
    );
  },
);
