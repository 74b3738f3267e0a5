/**
 * A remote Deno KV in memory: https://github.com/denoland/denokv/blob/main/proto/kv-connect.md
 * Runs under `deno serve`, which speaks HTTP/1 and HTTP/2 without TLS: `Deno.openKv` and `@deno/kv` need one each.
 * The messages' encoding is that of `@deno/kv`.
 */
import { Buffer } from "node:buffer";
import * as AtomicWrite from "../../node_modules/@deno/kv/esm/proto/messages/com/deno/kv/datapath/AtomicWrite.js";
import * as AtomicWriteOutput from "../../node_modules/@deno/kv/esm/proto/messages/com/deno/kv/datapath/AtomicWriteOutput.js";
import * as SnapshotRead from "../../node_modules/@deno/kv/esm/proto/messages/com/deno/kv/datapath/SnapshotRead.js";
import * as SnapshotReadOutput from "../../node_modules/@deno/kv/esm/proto/messages/com/deno/kv/datapath/SnapshotReadOutput.js";

interface Row {
  readonly value: Uint8Array;
  readonly encoding: "VE_V8" | "VE_LE64" | "VE_BYTES";
  readonly versionstamp: string;
  /** Zero means never. */
  readonly expiresAtMs: number;
}

const accessToken = "kv-token";
const databaseId = crypto.randomUUID();
const databaseToken = crypto.randomUUID();
const rows = new Map<string, Row>();
let writes = 0;

const toHex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const fromHex = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"));
const protobuf = (bytes: Uint8Array) =>
  new Response(Uint8Array.from(bytes), { headers: { "content-type": "application/x-protobuf" } });

const liveRow = (key: string): Row | undefined => {
  const row = rows.get(key);
  if (row === undefined || row.expiresAtMs === 0 || row.expiresAtMs > Date.now()) return row;
  rows.delete(key);
  return undefined;
};

const metadata = () => ({
  version: 3,
  databaseId,
  endpoints: [{ url: "/v2", consistency: "strong" }],
  token: databaseToken,
  expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
});

const snapshotRead = (body: Uint8Array) => {
  const ranges = SnapshotRead.decodeBinary(body).ranges.map(({ start, end, limit, reverse }) => {
    const [first, last] = [toHex(start), toHex(end)];
    const keys = [...rows.keys()].filter((key) => key >= first && key < last).sort();
    if (reverse) keys.reverse();
    const found = keys.flatMap((key) => {
      const row = liveRow(key);
      if (row === undefined) return [];
      const { value, encoding, versionstamp } = row;
      return [{ key: fromHex(key), value, encoding, versionstamp: fromHex(versionstamp) }];
    });
    return { values: limit > 0 ? found.slice(0, limit) : found };
  });
  const output = {
    ranges,
    readDisabled: false,
    readIsStronglyConsistent: true,
    status: "SR_SUCCESS",
  } as const;
  return protobuf(SnapshotReadOutput.encodeBinary(output));
};

const written = (status: AtomicWriteOutput.Type["status"], versionstamp: string) =>
  protobuf(AtomicWriteOutput.encodeBinary({ status, versionstamp: fromHex(versionstamp), failedChecks: [] }));

const atomicWrite = (body: Uint8Array) => {
  const { checks, mutations } = AtomicWrite.decodeBinary(body);
  const isCurrent = checks.every(
    ({ key, versionstamp }) => (liveRow(toHex(key))?.versionstamp ?? "") === toHex(versionstamp),
  );
  if (!isCurrent) {
    return written("AW_CHECK_FAILURE", "");
  }
  const versionstamp = (++writes).toString(16).padStart(20, "0");
  for (const { key, mutationType, value, expireAtMs } of mutations) {
    if (mutationType === "M_DELETE") rows.delete(toHex(key));
    else if (mutationType === "M_SET" && value !== undefined) {
      const { data, encoding } = value;
      rows.set(toHex(key), {
        value: data,
        encoding: encoding as Row["encoding"],
        versionstamp,
        expiresAtMs: Number(expireAtMs),
      });
    } else return new Response(`mutation ${mutationType}`, { status: 501 });
  }
  return written("AW_SUCCESS", versionstamp);
};

export default {
  async fetch(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    const expected = pathname === "/" ? accessToken : databaseToken;
    if (request.headers.get("authorization") !== `Bearer ${expected}`)
      return new Response("unauthorized", { status: 401 });
    const body = new Uint8Array(await request.arrayBuffer());
    if (pathname === "/") return Response.json(metadata());
    if (pathname === "/v2/snapshot_read") return snapshotRead(body);
    if (pathname === "/v2/atomic_write") return atomicWrite(body);
    return new Response("not found", { status: 404 });
  },
};
