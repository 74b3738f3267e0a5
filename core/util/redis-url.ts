/** What a `REDIS_URL` says: one server, a cluster, or the sentinels that know which server is the master. */

export interface RedisNode {
  /** An IPv6 address has no brackets. */
  readonly host: string;
  readonly port: number;
}

/** Empty texts where none is needed. */
export interface RedisCredentials {
  readonly username: string;
  readonly password: string;
}

export interface RedisAddress {
  readonly kind: "server" | "cluster" | "sentinel";
  /** Whether connections are encrypted, to sentinels too. */
  readonly isEncrypted: boolean;
  /** The server; some of a cluster's nodes; the sentinels. */
  readonly nodes: readonly RedisNode[];
  /** Those of the servers that hold the data. */
  readonly credentials: RedisCredentials;
  readonly database: number;
  /** The name under which sentinels know the master; "" for the other kinds. */
  readonly masterName: string;
  /** Those of the sentinels, which have a password of their own or none. */
  readonly sentinelCredentials: RedisCredentials;
}

const form = /^redis(s?)(?:\+(cluster|sentinel))?:\/\/(?:([^/?#]*)@)?([^@/?#]+)(\/[^?#]*)?(?:\?([^#@]*))?$/;

const defaultPorts = { server: 6379, cluster: 6379, sentinel: 26379 } as const;

const decode = (text = ""): string | undefined => {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
};

/** A host with its port, such as `[::1]:7000`. */
const parseNode = (text: string, defaultPort: number): RedisNode | undefined => {
  // Of a scheme that URL has no rules for, so that no default port is taken away.
  if (!URL.canParse(`redis://${text}`)) return undefined;
  const { hostname, port, username } = new URL(`redis://${text}`);
  if (hostname === "" || hostname.includes(",") || username !== "") return undefined;
  return { host: hostname.replace(/^\[(.*)\]$/, "$1"), port: port === "" ? defaultPort : Number(port) };
};

/**
 * Reads `redis://`, `rediss://` (TLS), and either with `+cluster` or `+sentinel`, which list several hosts:
 * `redis+sentinel://USER:PASSWORD@HOST:PORT,HOST/MASTER/DATABASE?sentinel_password=…`. Undefined for anything else: a "#",
 * "/" or "%" in a password ends the host's part too early, or makes no escape sequence.
 */
export function parseRedisUrl(url: string): RedisAddress | undefined {
  const [, encrypted, kind = "server", userInfo = "", hosts = "", path = "", search = ""] =
    (form.exec(url) as [string, string, RedisAddress["kind"]?, ...(string | undefined)[]] | null) ?? [];
  if (encrypted === undefined) return undefined;
  const nodes = (kind === "server" ? [hosts] : hosts.split(",")).map((host) =>
    parseNode(host, defaultPorts[kind]),
  );
  if (!nodes.every((node) => node !== undefined)) return undefined;
  const colon = userInfo.indexOf(":");
  const username = decode(colon < 0 ? userInfo : userInfo.slice(0, colon));
  const password = decode(colon < 0 ? "" : userInfo.slice(colon + 1));
  const [masterName = "", database = ""] =
    kind === "sentinel" ? path.slice(1).split("/") : ["", path.slice(1)];
  const name = decode(masterName);
  const isRightPath =
    kind === "sentinel"
      ? /^\/[^/]+(\/\d*)?$/.test(path)
      : // A cluster has database 0 alone.
        (kind === "cluster" ? /^(\/0?)?$/ : /^(\/\d*)?$/).test(path);
  if (username === undefined || password === undefined || name === undefined || !isRightPath)
    return undefined;
  const further = new URLSearchParams(search);
  return {
    kind,
    isEncrypted: encrypted === "s",
    nodes,
    credentials: { username, password },
    database: Number(database),
    masterName: name,
    sentinelCredentials: {
      username: further.get("sentinel_username") ?? "",
      password: further.get("sentinel_password") ?? "",
    },
  };
}

/** The URL of one server. */
export const redisServerUrl = (
  { host, port }: RedisNode,
  {
    isEncrypted,
    credentials: { username, password },
    database,
  }: Pick<RedisAddress, "isEncrypted" | "credentials" | "database">,
): string => {
  const user = encodeURIComponent(username);
  const userInfo = password === "" ? "" : `${user}:${encodeURIComponent(password)}@`;
  const name = host.includes(":") ? `[${host}]` : host;
  return `redis${isEncrypted ? "s" : ""}://${userInfo}${name}:${port}/${database}`;
};
