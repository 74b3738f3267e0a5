/** Several gateways on one store before one chat site, and a client that may ask any of them. */

import { existsSync, readFileSync } from "node:fs";
import { startChatSite } from "../../fakes/chat-site.ts";
import { type SiteControl, siteControl } from "../../fakes/site-control.ts";
import { type ServerOptions, startServer } from "../../support/start-server.ts";

export interface Question {
  /** Which of the gateways is asked. */
  readonly gateway: number;
  readonly session: string;
  readonly text: string;
  readonly stream?: boolean;
  /** As OpenAI's SDKs count when they ask once more. */
  readonly retryCount?: number;
}

export interface Outcome {
  readonly status: number;
  readonly headers: Headers;
  /** The error's code; undefined when it went well. */
  readonly code: string | undefined;
  readonly reply: string;
  readonly isSaved: boolean;
}

export interface GatewayGroup {
  readonly site: SiteControl;
  /** Starts one more gateway; resolves to its number. */
  start(): Promise<number>;
  /** Ends a gateway on the spot, as the system does when memory runs out. */
  kill(gateway: number): void;
  /** Rejects when the connection breaks. */
  ask(question: Question): Promise<Outcome>;
  /** What `gateway` remembers of a conversation, as "role: text". */
  remembered(session: string, gateway?: number): Promise<string[]>;
  forget(session: string, gateway: number): Promise<void>;
  /** The messages that the site has answered, in order. */
  told(): Promise<string[]>;
  stop(): Promise<void>;
}

export interface GroupOptions extends Pick<ServerOptions, "command"> {
  readonly count: number;
  readonly env: Readonly<Record<string, string>>;
}

interface ChunkOrError {
  readonly error?: { readonly code: string };
  readonly choices?: readonly { readonly delta: { readonly content?: string } }[];
}

const readStream = (body: string): Pick<Outcome, "code" | "reply" | "isSaved"> => {
  const events = body.split("\n\n").filter((event) => event.startsWith("data: {"));
  const chunks: ChunkOrError[] = events.map((event) => JSON.parse(event.slice("data: ".length)));
  const code = chunks.at(-1)?.error?.code;
  if (code === undefined && !body.endsWith("data: [DONE]\n\n")) throw new Error("The stream was cut");
  const reply = chunks.map(({ choices }) => choices?.[0]?.delta.content ?? "").join("");
  return { code, reply, isSaved: !body.includes("\n: x-session-saved: false\n") };
};

/** The site's answer to the text "c1-t2" is "re c1-t2". */
const replyTo = (message: string): string => `re ${message.match(/[\w-]+$/)?.[0]}`;

/** What a process has started itself, such as the workerd of a Worker; none where the system does not tell. */
const childrenOf = (pid: number): number[] => {
  const list = `/proc/${pid}/task/${pid}/children`;
  return existsSync(list) ? readFileSync(list, "utf8").split(" ").filter(Boolean).map(Number) : [];
};

/** Starts `count` gateways at once. */
export async function gatewayGroup({ count, env, command }: GroupOptions): Promise<GatewayGroup> {
  const chatSite = startChatSite({ reply: replyTo });
  const site = siteControl(chatSite.url);
  await site.set({ max_chars: 0 });
  const settings = {
    CHAT_PAGE_URL: chatSite.pageUrl,
    UPSTREAM_URL: chatSite.ajaxUrl,
    CONTEXT_MAX_LENGTH: "1000000",
    API_MASTER_KEY: "sk-sessions",
    ...env,
  };
  const startOne = () => startServer({ ...(command && { command }), env: settings });
  const servers = await Promise.all(Array.from({ length: count }, startOne));
  const authorization = { authorization: `Bearer ${settings.API_MASTER_KEY}` };
  const urlOf = (gateway: number) => `${servers[gateway]?.url}/v1`;

  return {
    site,
    async start() {
      return servers.push(await startOne()) - 1;
    },
    kill(gateway) {
      const pid = servers[gateway]?.pid;
      if (pid === undefined) return;
      for (const each of [pid, ...childrenOf(pid)]) process.kill(each, "SIGKILL");
    },
    async ask({ gateway, session, text, stream = false, retryCount = 0 }) {
      const response = await fetch(`${urlOf(gateway)}/chat/completions`, {
        method: "POST",
        headers: { ...authorization, "x-session-id": session, "x-stainless-retry-count": String(retryCount) },
        body: JSON.stringify({ stream, messages: [{ role: "user", content: text }] }),
      });
      const { status, headers } = response;
      const body = await response.text();
      if (stream && status === 200) return { status, headers, ...readStream(body) };
      const { error, choices } = JSON.parse(body);
      const isSaved = headers.get("x-session-saved") !== "false";
      return { status, headers, code: error?.code, reply: choices?.[0]?.message.content ?? "", isSaved };
    },
    async remembered(session, gateway = 0) {
      const headers = { ...authorization, "x-session-id": session };
      const response = await fetch(`${urlOf(gateway)}/session`, { headers });
      const { messages } = await response.json();
      return messages.map(({ role, content }: Record<string, string>) => `${role}: ${content}`);
    },
    async forget(session, gateway) {
      const headers = { ...authorization, "x-session-id": session };
      await fetch(`${urlOf(gateway)}/session`, { method: "DELETE", headers });
    },
    async told() {
      const { ajax } = await site.log();
      return ajax.flatMap(({ seen, status }) => (status === 200 && seen !== null ? [seen] : []));
    },
    async stop() {
      await Promise.all(servers.map((server) => server.stop()));
      await chatSite.stop();
    },
  };
}
