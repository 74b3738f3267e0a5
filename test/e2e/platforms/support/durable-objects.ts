import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DurableObjectNamespace } from "../../../../core/stores/durable-object.ts";
import { startServer } from "../../../support/start-server.ts";
import { built } from "./built.ts";
import { newestNode } from "./tools.ts";

export interface DurableObjects {
  /** A binding to them from here, over HTTP. */
  readonly namespace: DurableObjectNamespace;
  /** How many entries the storage of the object of that name has. */
  entries(name: string): Promise<number>;
  /** Where other Workers find them. */
  readonly folder: string;
  stop(): Promise<void>;
}

/** The Durable Objects of dist/handler.js in workerd. */
export async function durableObjects(): Promise<DurableObjects> {
  const folder = await mkdtemp(join(tmpdir(), "durable-objects-"));
  const { url, stop } = await startServer({
    command: [newestNode, "test/e2e/platforms/hosts/durable-objects.mjs", await built("single-file"), folder],
    isGateway: false,
  });
  const urlOf = (name: string, path = "/") => `${url}${path}?name=${encodeURIComponent(name)}`;
  return {
    namespace: {
      idFromName: (name) => name,
      get: (name) => ({ fetch: (_url, init) => fetch(urlOf(name as string), init) }),
    },
    entries: async (name) => Number(await (await fetch(urlOf(name, "/entries"))).text()),
    folder,
    async stop() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
