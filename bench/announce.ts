import type { Server } from "bun";

/** Tells the benchmark, if that started this process, where it listens; people read it on the terminal. */
export function announce(server: Server<unknown>): void {
  if (process.send) process.send({ port: server.port });
  else console.log(`listening on ${server.url.origin}`);
}
