/** A client that sends a body of unknown length gets its answer, though the gateway has no need of the rest. */
import { expect, test } from "bun:test";
import { request } from "node:http";
import { startServer } from "../support/start-server.ts";

const mebibyte = Buffer.alloc(1024 * 1024, "x");

/** Posts with Node's client, which fails when it can't write all; `mebibytes` is the body's size. */
const post = (url: string, mebibytes: number, headers: Record<string, string>) =>
  new Promise<number | string>((resolve) => {
    const call = request(
      `${url}/v1/chat/completions`,
      { method: "POST", headers, agent: false },
      (response) => {
        response.resume();
        response.on("end", () => resolve(response.statusCode ?? 0));
        response.on("error", (error) => resolve(error.message));
      },
    );
    call.on("error", (error) => resolve(error.message));
    const write = (left: number) => {
      if (left === 0) call.end();
      else call.write(mebibyte, () => write(left - 1));
    };
    write(mebibytes);
  });

test("on Bun, a body that is too long, or whose sender has no key, is read to its end", async () => {
  const { url, stop } = await startServer({ env: { API_MASTER_KEY: "sk-a", MAX_BODY_BYTES: "4096" } });
  const authorization = "Bearer sk-a";
  for (let round = 0; round < 3; round++) {
    expect(await post(url, 40, { authorization })).toBe(413);
    expect(await post(url, 40, { authorization, "content-length": String(40 * mebibyte.length) })).toBe(413);
    expect(await post(url, 40, {})).toBe(401);
  }
  await stop();
});
