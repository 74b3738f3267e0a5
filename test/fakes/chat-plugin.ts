/** A stand-in for a WordPress site with one chat plug-in: it repeats the last line that it is told. */
import { type PluginCall, type PluginName, type PluginWire, pluginWires } from "./chat-plugin-wires.ts";

export interface PluginSite {
  readonly url: string;
  /** Every message that was posted, and what became of it. */
  readonly posts: readonly (PluginCall & { readonly outcome: "accepted" | "refused" | "not read" })[];
  /** How often the page or the route was asked for a nonce. */
  readonly nonceFetches: number;
  /** From now on, no nonce given so far is good. */
  rotate(): void;
  /** The next nonce is dead when it is given, as one out of a cache. */
  rotateOnce(): void;
  /** The next post fails as the plug-in's model does. */
  failNext(): void;
  /** The next stream fails, in these words, once the first piece has gone out. */
  failAmidNext(words: string): void;
  /** The next stream ends as if the server had died once the first piece has gone out. */
  breakNext(): void;
  /** The next post is left hanging. */
  hangNext(afterFirstPiece: boolean): { readonly reached: Promise<void>; readonly released: Promise<void> };
  /** Whether sessions are remembered: then it answers with all that was said in one. */
  remembers: boolean;
  /** Forgets all sessions, and says so when one is gone on with. */
  forget(): void;
  stop(): Promise<void>;
}

interface Hanging {
  readonly afterFirstPiece: boolean;
  readonly reach: () => void;
  readonly release: () => void;
}

const deferred = () => {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
};

export function startPluginSite(name: PluginName): PluginSite {
  const wire: PluginWire = pluginWires[name];
  const posts: PluginSite["posts"][number][] = [];
  const good = new Set<string>();
  const sessions = new Map<string, string[]>();
  const forgotten = new Set<string>();
  let count = 0;
  let nonceFetches = 0;
  let nextIsDead = false;
  let next: "fail" | "break" | { readonly amid: string } | Hanging | undefined;
  let remembers = false;

  const newNonce = (): string => {
    nonceFetches += 1;
    const nonce = (0xabc0000000 + count++).toString(16);
    if (!nextIsDead) good.add(nonce);
    nextIsDead = false;
    return nonce;
  };

  /** What it says to a message, and to all before it in the session. */
  const replyTo = ({ message = "", session = "" }: PluginCall): string => {
    const last = message.split("\n").at(-1) ?? "";
    if (!remembers) return `You said: ${last}`;
    const all = [...(sessions.get(session) ?? []), last];
    sessions.set(session, all);
    return `You said: ${all.join(" | ")}`;
  };

  async function answer(request: Request): Promise<Response> {
    const raw = await request.text();
    const isJson = request.headers.get("content-type")?.startsWith("application/json") ?? false;
    const fields = isJson ? JSON.parse(raw) : Object.fromEntries(new URLSearchParams(raw));
    const call = wire.read({ headers: request.headers, fields });
    const note = (outcome: PluginSite["posts"][number]["outcome"]) => posts.push({ ...call, outcome });
    if (call.message === undefined) {
      note("not read");
      return new Response("0", { status: 400 });
    }
    const wantsNonce = wire.nonceRoute !== undefined || wire.page("x") !== "";
    if (wantsNonce && !good.has(call.nonce ?? "")) {
      note("refused");
      return wire.refuse();
    }
    note("accepted");
    const step = next;
    next = undefined;
    if (step === "fail") return wire.fail();
    const hanging = typeof step === "object" && "reach" in step ? step : undefined;
    request.signal.addEventListener("abort", () => hanging?.release());
    if (hanging !== undefined && !hanging.afterFirstPiece) {
      hanging.reach();
      await new Promise<void>((resolve) => request.signal.addEventListener("abort", () => resolve()));
      return new Response(null);
    }
    const session = call.session || `named-${count++}`;
    if (forgotten.has(call.session ?? "")) {
      return Response.json({ success: false, message: "Conversation not found." });
    }
    const reply = replyTo({ ...call, session });
    if (wire.events === undefined) return (wire.whole as NonNullable<PluginWire["whole"]>)(reply, session);
    return stream(reply, session, step, hanging);
  }

  function stream(reply: string, session: string, step: typeof next, hanging: Hanging | undefined): Response {
    const events = wire.events as NonNullable<PluginWire["events"]>;
    // Cut anywhere, in the middle of a character too.
    const pieces = reply.match(/[\s\S]{1,5}/g) ?? [];
    const encoder = new TextEncoder();
    const body = new ReadableStream({
      async start(controller) {
        const send = (part: string) => controller.enqueue(encoder.encode(part));
        if (events.open) send(events.open(session));
        for (const [index, piece] of pieces.entries()) {
          send(events.piece(piece));
          if (index > 0) continue;
          if (step === "break") return controller.close();
          if (typeof step === "object" && "amid" in step) {
            send(events.fail(step.amid));
            return controller.close();
          }
          if (hanging !== undefined) return hanging.reach();
          // So that what comes first is read by itself.
          await Bun.sleep(1);
        }
        send(events.close(reply));
        controller.close();
      },
      cancel: () => hanging?.release(),
    });
    return new Response(body, { headers: { "content-type": events.type } });
  }

  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 60,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === wire.endpoint && request.method === "POST") return answer(request);
      const { nonceRoute } = wire;
      if (pathname === nonceRoute?.path) {
        return request.method === nonceRoute.method
          ? Response.json(nonceRoute.body(newNonce()))
          : Response.json(
              { code: "rest_no_route", message: "No route was found.", data: { status: 404 } },
              { status: 404 },
            );
      }
      if (pathname.startsWith("/wp-json/") || pathname === "/wp-admin/admin-ajax.php")
        return new Response("0", { status: 400 });
      return new Response(
        `<!DOCTYPE html><html><head><title>A site</title></head><body>${wire.page(newNonce())}</body></html>`,
        { headers: { "content-type": "text/html; charset=UTF-8" } },
      );
    },
  });

  return {
    url: server.url.origin,
    posts,
    get nonceFetches() {
      return nonceFetches;
    },
    rotate: () => good.clear(),
    rotateOnce() {
      nextIsDead = true;
    },
    failNext() {
      next = "fail";
    },
    failAmidNext(words) {
      next = { amid: words };
    },
    breakNext() {
      next = "break";
    },
    hangNext(afterFirstPiece) {
      const [reached, released] = [deferred(), deferred()];
      next = { afterFirstPiece, reach: reached.resolve, release: released.resolve };
      return { reached: reached.promise, released: released.promise };
    },
    get remembers() {
      return remembers;
    },
    set remembers(value) {
      remembers = value;
    },
    forget() {
      for (const session of sessions.keys()) forgotten.add(session);
      sessions.clear();
    },
    stop: () => server.stop(true),
  };
}
