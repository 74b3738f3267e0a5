/** A host that nobody may call, and how often somebody did. */
export function startForbiddenHost() {
  let visits = 0;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => {
      visits++;
      return new Response("here");
    },
  });
  return { url: server.url, visits: () => visits, stop: () => server.stop(true) };
}
