import { afterAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gatewayContract } from "../../contracts/gateway.ts";
import { startServer } from "../../support/start-server.ts";
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

const temporary = await mkdtemp(join(tmpdir(), "kimi-ai-2api-docker-"));
afterAll(() => rm(temporary, { recursive: true }));

interface Image {
  /** What is in its `/app`. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  readonly command: [string, ...string[]];
  readonly health: readonly string[];
}

/** Does in plain folders, one for each stage, what the Dockerfile says. */
async function build(instructions: readonly Instruction[]): Promise<Image> {
  const shipped = (await Bun.file(join(root, ".dockerignore")).text()).match(/(?<=^!).+$/gm);
  const stages = new Map<string, string>();
  let folder = "";
  let env: Record<string, string> = {};
  let command: [string, ...string[]] | undefined;
  let health: string[] | undefined;

  for (const { name, argument } of instructions) {
    if (name === "FROM") {
      const [image = "", , stage = "last"] = argument.split(" ");
      expect(image).toStartWith(`oven/bun:${Bun.version}-`);
      folder = join(temporary, stage);
      stages.set(stage, folder);
      await mkdir(folder);
      env = {};
    } else if (name === "COPY") {
      const [, from, paths = ""] = /^(?:--from=(\w+) )?(.*)/.exec(argument) ?? [];
      const [target = "", ...sources] = paths.split(" ").reverse();
      for (const source of sources) {
        if (from === undefined) {
          // What .dockerignore keeps out would be missing in the image.
          expect(shipped).toContain(source);
          const to = target.endsWith("/") ? join(folder, target, source) : join(folder, target);
          await mkdir(join(to, ".."), { recursive: true });
          await cp(join(root, source), to, { recursive: true });
        } else {
          const made = source.replace("/app", stages.get(from) as string);
          await cp(made, join(folder, target), { recursive: true });
        }
      }
    } else if (name === "RUN") await run(["sh", "-c", argument], { cwd: folder, env: { PATH: toolPath } });
    else if (name === "ENV") {
      for (const [, key = "", value = ""] of argument.matchAll(/(\w+)=(\S+)/g)) env[key] = value;
    } else if (name === "HEALTHCHECK") health = JSON.parse(argument.slice(argument.indexOf("[")));
    else if (name === "CMD") command = JSON.parse(argument);
    else expect(["WORKDIR", "USER", "EXPOSE"]).toContain(name);
  }
  if (command === undefined || health === undefined) throw new Error("no CMD or no HEALTHCHECK");
  // An image holds nothing of the stages before.
  for (const stage of stages.values()) if (stage !== folder) await rm(stage, { recursive: true });
  return { folder, env, command, health };
}

const instructions = parse(await Bun.file(join(root, "Dockerfile")).text());
const { folder, env, command, health } = await build(instructions);

gatewayContract("what the Dockerfile makes", {
  start: (settings) =>
    startServer({
      command,
      cwd: folder,
      env: { ...env, HOST: "127.0.0.1", PORT: "0", PATH: toolPath, ...settings },
    }),
});

test("the Dockerfile's steps make a healthy gateway in a plain folder", async () => {
  expect(env).toMatchObject({ HOST: "0.0.0.0", PORT: "8088", BUN_CONFIG_MAX_HTTP_REQUESTS: "65000" });
  expect(instructions.some(({ name, argument }) => name === "USER" && argument === "bun")).toBe(true);
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

test("the server in the image is compiled ahead", () =>
  expect(existsSync(join(folder, `${command.at(-1)}.jsc`))).toBe(true));

test("the image has a doctor", async () => {
  const diagnosis = run(["bun", "doctor.js"], { cwd: folder, env: { PATH: toolPath, PORT: "99999" } });
  expect(await diagnosis.catch(String)).toContain("✗ settings  PORT must be");
});
