import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

function startDemo(...options: string[]) {
  return Bun.spawn([process.execPath, "--no-env-file", "scripts/demo.ts", ...options], {
    cwd: root,
    env: { PATH: process.env.PATH, STREAM_DELAY_MS: "1" },
    stdout: "pipe",
    stderr: "inherit",
  });
}

test("the demo holds a conversation in which nothing is forgotten, and ends", async () => {
  const demo = startDemo("--once");
  const output = await new Response(demo.stdout).text();
  expect(await demo.exited).toBe(0);
  expect(output).toContain("You first said: “Hello! Who are you?”");
  expect(output).toContain("That was text number 3 of yours. 再见 👋🏽");
}, 30_000);

test("the demo leaves both servers running until Ctrl-C", async () => {
  const demo = startDemo();
  try {
    let output = "";
    for await (const text of demo.stdout.pipeThrough(new TextDecoderStream())) {
      output += text;
      if (output.includes("Ctrl-C ends both.")) break;
    }
    const [pageUrl = "", baseURL = ""] = [...output.matchAll(/http:\S+/g)].map(([url]) => url);
    expect((await fetch(pageUrl)).status).toBe(200);
    expect((await fetch(`${baseURL}/models`)).status).toBe(200);
    demo.kill("SIGINT");
    expect(await demo.exited).toBe(0);
    expect(await fetch(pageUrl).catch(() => "ended")).toBe("ended");
  } finally {
    demo.kill("SIGKILL");
  }
}, 30_000);

test("the demo measures what chats remember, and docs/limits.md has its figures", async () => {
  const output = await new Response(startDemo("--memory").stdout).text();
  const page = await Bun.file(`${root}/docs/limits.md`).text();
  const measured = [
    ...output.matchAll(/CONTEXT_OVERFLOW=(\w+)$.*?all: the user's (\d+), a reply's (\d+)/gms),
  ];
  expect(measured.map(([, overflow]) => overflow)).toEqual(["drop", "shorten"]);
  for (const [, overflow, askedWord, repliedWord] of measured) {
    const row = page.split("\n").find((line) => line.startsWith(`| \`CONTEXT_OVERFLOW=${overflow}\` `));
    expect(row?.split("|").slice(2, 4).map(Number)).toEqual([Number(askedWord), Number(repliedWord)]);
  }
}, 30_000);
