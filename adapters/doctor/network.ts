/** Whether this machine is online at all: without a network nothing else that the doctor finds means anything. */
import { networkInterfaces } from "node:os";
import { allUpstreams, type Config } from "../../core/config/config.ts";
import { bad, type Finding, good } from "./finding.ts";

type Interfaces = Readonly<
  Record<string, readonly { readonly address: string; readonly internal: boolean }[] | undefined>
>;

const isThisMachine = (url: string): boolean =>
  /^(localhost|.*\.localhost|127(\.\d{1,3}){3}|\[::1\])$/i.test(new URL(url).hostname);

/** An address that a machine gives itself where nobody gives it one. */
const isSelfGiven = (address: string): boolean => /^(169\.254\.|fe80:)/i.test(address);

/** Nothing where all upstreams are on this machine. Calls nobody. */
export function examineNetwork(
  config: Pick<Config, "site" | "upstreams">,
  interfaces: Interfaces = networkInterfaces(),
): Finding[] {
  const urls = allUpstreams(config).flatMap((upstream) =>
    upstream.kind === "wordpress-chat" ? [upstream.pageUrl, upstream.ajaxUrl] : [upstream.baseUrl],
  );
  if (urls.every(isThisMachine)) return [];
  const online = Object.entries(interfaces).find(([, addresses]) =>
    addresses?.some(({ address, internal }) => !internal && !isSelfGiven(address)),
  );
  if (online !== undefined) return [good("network", `this machine has an address on ${online[0]}`)];
  const advice = {
    means: "this machine is not online: it has no address but its own",
    change: "its network: cable, wireless, VPN, or the container's --network",
  };
  return [bad("network", "no address in any network", advice)];
}
