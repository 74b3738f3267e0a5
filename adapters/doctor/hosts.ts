/** Whether a host can be reached at all: its name, and a connection. */
import { lookup } from "node:dns/promises";
import { connect } from "node:net";
import type { Environment } from "../../core/config/config.ts";
import { bad, type Finding, good, skipped, wordsOf } from "./finding.ts";

const connectTimeoutMs = 5_000;

const dial = (host: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: connectTimeoutMs });
    const end = (error?: Error) => {
      socket.destroy();
      if (error === undefined) resolve();
      else reject(error);
    };
    socket.once("connect", () => end());
    socket.once("timeout", () => end(new Error(`no answer within ${connectTimeoutMs / 1000} s`)));
    socket.once("error", end);
  });

const proxyNames = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"] as const;

/** Looks a URL's host up and opens a connection to it. `setting` is what names the URL. */
export async function examineHost(url: string, setting: string, environment: Environment): Promise<Finding> {
  const step = "host";
  const { hostname, port, protocol } = new URL(url);
  const proxy = proxyNames.find((name) => environment[name]);
  if (proxy !== undefined) return skipped(step, `${hostname}: left to the proxy that ${proxy} names`);

  const startedMs = performance.now();
  const sinceStartMs = () => performance.now() - startedMs;
  let address: string;
  try {
    ({ address } = await lookup(hostname.replace(/^\[(.*)\]$/, "$1")));
  } catch (error) {
    const advice = {
      means: "no DNS server knows that name, or this machine's DNS does not work",
      change: `${setting}, if the name is misspelt`,
    };
    return bad(step, `${hostname} is not found: ${wordsOf(error)}`, advice, sinceStartMs());
  }
  const lookedUpMs = sinceStartMs();
  const portNumber = Number(port) || (protocol === "http:" ? 80 : 443);
  try {
    await dial(address, portNumber);
  } catch (error) {
    const advice = {
      means: "no program listens there, or a firewall on the way does not let it through",
      change: `${setting}, if host or port is wrong; HTTPS_PROXY, if this network needs a proxy`,
    };
    return bad(step, `no connection to ${hostname}:${portNumber}: ${wordsOf(error)}`, advice, sinceStartMs());
  }
  const isName = address !== hostname;
  return good(
    step,
    `${hostname}:${portNumber} takes connections${isName ? ` (DNS ${Math.round(lookedUpMs)} ms)` : ""}`,
    sinceStartMs(),
  );
}
