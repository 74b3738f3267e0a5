import { afterAll, expect, test } from "bun:test";
import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startServer } from "../support/start-server.ts";
import { root, run, toolPath } from "./support/built.ts";

interface Instruction {
  readonly name: string;
  readonly argument: string;
}

const parse = (dockerfile: string): Instruction[] =>
  dockerfile
    .split("\n")
    .filter((line) => /^[A-Z]/.test(line))
    .map((line) => ({ name: line.split(" ")[0] as string, argument: line.slice(line.indexOf(" ") + 1) }));

const folder = await mkdtemp(join(tmpdir(), "kimi-ai-2api-docker-"));
afterAll(() => rm(folder, { recursive: true }));

test("the Dockerfile's steps make a healthy gateway in a plain folder", async () => {
  const instructions = parse(await Bun.file(join(root, "Dockerfile")).text());
  const shipped = (await Bun.file(join(root, ".dockerignore")).text()).match(/(?<=^!).+$/gm);
  const env: Record<string, string> = {};
  let command: [string, ...string[]] | undefined;
  let health: string[] | undefined;

  for (const { name, argument } of instructions) {
    if (name === "COPY") {
      const [target = "", ...sources] = argument.split(" ").reverse();
      for (const source of sources) {
        // What .dockerignore keeps out would be missing in the image.
        expect(shipped).toContain(source);
        const to = target.endsWith("/") ? join(folder, target, source) : join(folder, target);
        await mkdir(join(to, ".."), { recursive: true });
        await cp(join(root, source), to, { recursive: true });
      }
    } else if (name === "RUN") await run(["sh", "-c", argument], { cwd: folder, env: { PATH: toolPath } });
    else if (name === "ENV") {
      for (const [, key = "", value = ""] of argument.matchAll(/(\w+)=(\S+)/g)) env[key] = value;
    } else if (name === "HEALTHCHECK") health = JSON.parse(argument.slice(argument.indexOf("[")));
    else if (name === "CMD") command = JSON.parse(argument);
    else expect(["FROM", "WORKDIR", "USER", "EXPOSE"]).toContain(name);
  }

  expect(env).toMatchObject({ HOST: "0.0.0.0", PORT: "8088", BUN_CONFIG_MAX_HTTP_REQUESTS: "65000" });
  expect(instructions.some(({ name, argument }) => name === "USER" && argument === "bun")).toBe(true);
  expect(instructions[0]?.argument).toStartWith(`oven/bun:${Bun.version}-`);
  if (command === undefined || health === undefined) throw new Error("no CMD or no HEALTHCHECK");
  const server = await startServer({
    command,
    cwd: folder,
    env: { ...env, PORT: "0", PATH: toolPath, API_MASTER_KEY: "sk-contract" },
  });
  const { port } = new URL(server.url);
  await run(health, { cwd: folder, env: { PATH: toolPath, PORT: port } });
  const url = `http://127.0.0.1:${port}/v1/models`;
  expect((await fetch(url, { headers: { authorization: "Bearer sk-contract" } })).status).toBe(200);
  expect(await server.stop()).toBe(0);
  expect(
    await run(health, { cwd: folder, env: { PATH: toolPath, PORT: port } }).catch(() => "unhealthy"),
  ).toBe("unhealthy");
}, 60_000);
