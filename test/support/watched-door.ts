/** A door before a started gateway, for programs of their own: what they get passes through here, and is watched. */
import { afterAll } from "bun:test";

/** Its address; it closes with the test file. */
export function watchedDoor(url: string): string {
  const door = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    fetch(request) {
      const { pathname, search } = new URL(request.url);
      return fetch(new Request(`${url}${pathname}${search}`, request));
    },
  });
  afterAll(() => door.stop(true));
  return door.url.origin;
}
