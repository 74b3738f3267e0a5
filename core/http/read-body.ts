/** A request's body as JSON, with bounds on what is read. */
import { ApiError } from "../errors.ts";
import type { FindBodyDecoders } from "../types.ts";
import { isDeeperThan } from "../util/json.ts";
import { AbortableWaits } from "../util/time.ts";
import { contentCoding, decodeBody, findDecoder, joinBytes, standardDecoders } from "./decode-body.ts";

const tooLarge = (maxBytes: number) =>
  new ApiError("request_too_large", `The request body has more than ${maxBytes} bytes.`, {
    // The rest is not wanted.
    headers: { connection: "close" },
  });

/** Takes room for so many bytes more. Throws ApiError too_many_bodies. */
export type TakeRoom = (bytes: number) => void;

/** Stops reading as soon as there is too much. The rest is left to the server, which knows what its connection needs. */
async function readBounded(
  body: ReadableStream<Uint8Array> | null,
  maxBytes: number,
  take: TakeRoom,
): Promise<Uint8Array> {
  if (body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body.values({ preventCancel: true })) {
    length += chunk.length;
    if (length > maxBytes) throw tooLarge(maxBytes);
    take(chunk.length);
    chunks.push(chunk);
  }
  return joinBytes(chunks, length);
}

/** Throws at once where the declared length is too much. */
function readBytes(
  request: Request,
  maxBytes: number,
  take: TakeRoom,
): Promise<ArrayBuffer> | Promise<Uint8Array> {
  const declared = request.headers.get("content-length");
  if (declared === null) return readBounded(request.body, maxBytes, take);
  if (Number(declared) > maxBytes) throw tooLarge(maxBytes);
  take(Number(declared));
  // A declared length is kept by the server that parsed the request, so the runtime's own reader can be used.
  return request.arrayBuffer();
}

/** No request that means something comes near it. */
const maxDepth = 100;

const tooSlow = () =>
  new ApiError("request_timeout", "The request body did not arrive in time.", {
    headers: { connection: "close" },
  });

const utf8 = new TextDecoder("utf-8", { fatal: true });

export interface JsonBody {
  readonly text: string;
  readonly value: unknown;
}

/** What a body that can't be read means; the request's deadline means that it came too slowly. */
const readingFailed = (error: unknown): ApiError => {
  if (error instanceof ApiError) return error.code === "upstream_timeout" ? tooSlow() : error;
  return new ApiError("client_closed_request", "The request body ended early.", { cause: error });
};

export interface ReadBodyOptions {
  /** The most bytes, as they come and once they are decoded. */
  readonly maxBytes: number;
  readonly findDecoders: FindBodyDecoders;
  readonly signal: AbortSignal;
  readonly take: TakeRoom;
}

/**
 * Reads no more than `maxBytes`, and waits no longer than the request lives: the rest of a body may never come, and the
 * connection stay open. Throws ApiError request_too_large, too_many_bodies, request_timeout, unsupported_encoding,
 * invalid_json, invalid_request or client_closed_request.
 */
export async function readJson(request: Request, options: ReadBodyOptions): Promise<JsonBody> {
  const { maxBytes, findDecoders, signal, take } = options;
  const coding = contentCoding(request.headers);
  const decoder = coding === undefined ? undefined : findDecoder(coding, findDecoders() ?? standardDecoders);
  const waits = new AbortableWaits(signal);
  let bytes: Uint8Array | ArrayBuffer | undefined;
  try {
    bytes = await waits.for<Uint8Array | ArrayBuffer>(readBytes(request, maxBytes, take));
    if (coding !== undefined && decoder !== undefined) {
      bytes = await waits.for(
        decodeBody(bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes), {
          coding,
          decoder,
          maxBytes,
        }),
      );
      take(bytes?.byteLength ?? 0);
    }
  } catch (error) {
    throw readingFailed(error);
  } finally {
    waits.end();
  }
  if (bytes === undefined) throw tooLarge(maxBytes);
  return parseBody(bytes, maxBytes);
}

function parseBody(bytes: Uint8Array | ArrayBuffer, maxBytes: number): JsonBody {
  if (bytes.byteLength > maxBytes) throw tooLarge(maxBytes);
  if (bytes.byteLength === 0)
    throw new ApiError("invalid_json", "The request has no body: send a JSON object.");
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new ApiError("invalid_json", "The request body is not valid UTF-8.");
  }
  if (isDeeperThan(maxDepth, text)) {
    throw new ApiError("invalid_request", `The request body is nested more than ${maxDepth} levels deep.`);
  }
  try {
    return { text, value: JSON.parse(text) };
  } catch {
    throw new ApiError("invalid_json", "The request body is not valid JSON.");
  }
}
