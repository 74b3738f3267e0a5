import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseRedisUrl, redisServerUrl } from "../../core/util/redis-url.ts";

const nobody = { username: "", password: "" };

describe("a Redis URL", () => {
  test("of one server has its host, port and database", () => {
    expect(parseRedisUrl("redis://127.0.0.1")).toEqual({
      kind: "server",
      isEncrypted: false,
      nodes: [{ host: "127.0.0.1", port: 6379 }],
      credentials: nobody,
      database: 0,
      masterName: "",
      sentinelCredentials: nobody,
    });
  });

  test("of a cluster lists nodes, of which each may have a port", () => {
    expect(parseRedisUrl("rediss+cluster://app:p%40ss@node-1:7000,[::1]:7001,node_3")).toMatchObject({
      kind: "cluster",
      isEncrypted: true,
      nodes: [
        { host: "node-1", port: 7000 },
        { host: "::1", port: 7001 },
        { host: "node_3", port: 6379 },
      ],
      credentials: { username: "app", password: "p@ss" },
    });
  });

  test("of sentinels names the master, and may have a password for each kind of server", () => {
    const url =
      "redis+sentinel://:data@s1,s2:5000/my%20master/3?sentinel_password=w%23tch&sentinel_username=w";
    expect(parseRedisUrl(url)).toMatchObject({
      kind: "sentinel",
      nodes: [
        { host: "s1", port: 26379 },
        { host: "s2", port: 5000 },
      ],
      credentials: { username: "", password: "data" },
      masterName: "my master",
      database: 3,
      sentinelCredentials: { username: "w", password: "w#tch" },
    });
  });

  test.each([
    "redis+cluster://",
    "redis+cluster://a,,b",
    "redis+cluster://a,b/1",
    "redis+cluster://a:port",
    "redis+sentinel://a,b",
    "redis+sentinel://a,b/",
    "redis+sentinel://a,b/name/x",
    "redis+sentinel://u:p/w@a/name",
    "redis+else://a",
    "redis://a,b",
  ])("that is %s says nothing", (url) => {
    expect(parseRedisUrl(url)).toBeUndefined();
  });

  test("of one node says the same as the address that it was made of", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, unit: "grapheme" }), fc.nat(15), (password, database) => {
        const credentials = { username: "app", password };
        const node = { host: "::1", port: 7000 };
        const url = redisServerUrl(node, { isEncrypted: true, credentials, database });
        expect(parseRedisUrl(url)).toMatchObject({ isEncrypted: true, nodes: [node], credentials, database });
      }),
    );
  });
});
