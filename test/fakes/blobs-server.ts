/**
 * Netlify Blobs as a function meets it: conditions on writes that hold, strong ETags which are hashes of the content, lists
 * by prefix, and no end of life. (The server of Netlify's CLI sends no ETag on reads, and checks before it writes.)
 */

export interface BlobsServer {
  readonly url: string;
  /** What Netlify puts into NETLIFY_BLOBS_CONTEXT. */
  readonly context: string;
  /** The requests answered so far, as "GET" or "PUT". */
  readonly methods: string[];
  /** Answers the next request with this status instead of carrying it out. */
  failNext(status: number): void;
  /** Whether ETags come as a proxy that compresses weakens them. */
  weakens: boolean;
  /** How many blobs there are. */
  readonly size: number;
  stop(): Promise<void>;
}

const token = "blobs-token";
const siteID = "site-1";

/** Starts it on a free port; runs under Bun. */
export function blobsServer(): BlobsServer {
  const blobs = new Map<string, string>();
  const methods: string[] = [];
  const failures: number[] = [];
  const hashOf = (content: string) => `"${Bun.hash(content).toString(16)}"`;

  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { method, headers } = request;
      methods.push(method);
      const status = failures.shift();
      if (status !== undefined) return new Response(null, { status });
      if (headers.get("authorization") !== `Bearer ${token}`) return new Response(null, { status: 401 });
      const { pathname, searchParams } = new URL(request.url);
      const [, site, store, key] = pathname.split("/");
      if (site !== siteID || store !== "site:kimi-ai-2api") return new Response(null, { status: 400 });
      const body = new TextDecoder("utf-8", { ignoreBOM: true }).decode(await request.arrayBuffer());

      // From here on nothing waits: a condition and its write are one.
      if (!key) {
        const keys = [...blobs.keys()].filter((each) => each.startsWith(searchParams.get("prefix") ?? ""));
        return Response.json({
          blobs: keys.map((each) => ({ key: each, etag: hashOf(blobs.get(each) ?? "") })),
        });
      }
      const content = blobs.get(key);
      const etag = content === undefined ? undefined : hashOf(content);
      const ifMatch = headers.get("if-match");
      const isRefused =
        (ifMatch !== null && ifMatch !== etag) ||
        (headers.get("if-none-match") === "*" && etag !== undefined);
      const headersOf = (text: string) => ({ etag: `${blobsHere.weakens ? "W/" : ""}${hashOf(text)}` });
      if (method === "GET") {
        return content === undefined
          ? new Response(null, { status: 404 })
          : new Response(content, { headers: headersOf(content) });
      }
      if (isRefused) return new Response(null, { status: 412 });
      if (method === "PUT") {
        blobs.set(key, body);
        return new Response(null, { headers: headersOf(body) });
      }
      blobs.delete(key);
      return new Response(null, { status: 204 });
    },
  });

  const url = server.url.origin;
  const fields = { edgeURL: "http://cached.invalid", uncachedEdgeURL: url, siteID, token, deployID: "1" };
  const blobsHere: BlobsServer = {
    url,
    context: btoa(JSON.stringify(fields)),
    methods,
    failNext: (status) => void failures.push(status),
    weakens: false,
    get size() {
      return blobs.size;
    },
    stop: () => server.stop(true),
  };
  return blobsHere;
}
