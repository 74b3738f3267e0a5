import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");
const folder = mkdtempSync(join(tmpdir(), "log-output-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A program that logs more than a pipe holds and then ends as its argument says, as one file that Node runs too. */
const source = join(folder, "source.ts");
writeFileSync(
  source,
  `import process from "node:process";
   import { logOutput } from "${root}/adapters/log-output.ts";
   const { write } = logOutput();
   const ends = {
     exit: () => process.exit(0),
     crash: () => { throw new Error("crashed"); },
     "unhandled rejection": () => { void Promise.reject(new Error("crashed")); },
     "its natural end": () => {},
     "exit a while later": () => setTimeout(() => process.exit(0), 20),
   };
   for (let number = 0; number < 1000; number++) write(number + " " + "x".repeat(200));
   ends[process.argv[2]]();`,
);
const program = join(folder, "program.mjs");
const { outputs } = await Bun.build({ entrypoints: [source], target: "node" });
await Bun.write(program, outputs[0] as Blob);

const runtimes = {
  bun: [process.execPath],
  deno: [join(root, "node_modules/.bin/deno"), "run", "-A"],
  node: [Bun.which("node") ?? "node"],
} as const;

describe.each(Object.entries(runtimes))("the log of %s", (_, command) => {
  test.each(["exit", "crash", "unhandled rejection", "its natural end", "exit a while later"])(
    "is whole after %s",
    async (end) => {
      const child = Bun.spawn([...command, program, end], { stdout: "pipe", stderr: "ignore" });
      const lines = (await new Response(child.stdout).text()).trimEnd().split("\n");
      expect(lines).toHaveLength(1000);
      expect(lines.every((line, number) => line.startsWith(`${number} `))).toBe(true);
    },
  );
});

test("what is logged in one turn of the event loop is one write", async () => {
  const counting = join(folder, "counting.mjs");
  const code = readFileSync(program, "utf8").replace("const writeFrom =", 'console.error("a write");$&');
  writeFileSync(counting, code);
  const child = Bun.spawn([process.execPath, counting, "exit a while later"], { stderr: "pipe" });
  expect(await new Response(child.stderr).text()).toBe("a write\n");
});

test("whether a terminal reads it is not looked at before the turn is over, as it takes time", async () => {
  const watching = join(folder, "watching.ts");
  writeFileSync(
    watching,
    `import process from "node:process";
     import { logOutput } from "${root}/adapters/log-output.ts";
     let looks = 0;
     Object.defineProperty(process, "stdout", { get: () => (looks++, { isTTY: false }) });
     logOutput().write("{}");
     process.on("exit", () => console.log("looks:", looks));
     console.log("looks:", looks);`,
  );
  const child = Bun.spawn([process.execPath, watching], { stdout: "pipe" });
  expect(await new Response(child.stdout).text()).toBe("looks: 0\n{}\nlooks: 0\n");
});
