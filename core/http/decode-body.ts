/** Compressed request bodies, decoded to no more than a body may have. */
import { ApiError } from "../errors.ts";
import type { BodyDecoder, BodyDecoders } from "../types.ts";

/** A few bytes can stand for a thousand times as many; small pieces keep each step's result small. */
const pieceBytes = 16 * 1024;

const streamDecoder =
  (format: CompressionFormat): BodyDecoder =>
  async (bytes, maxBytes) => {
    let offset = 0;
    const pieces = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull(controller) {
        controller.enqueue(new Uint8Array(bytes.subarray(offset, offset + pieceBytes)));
        offset += pieceBytes;
        if (offset >= bytes.length) controller.close();
      },
    });
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of pieces.pipeThrough(new DecompressionStream(format))) {
      length += chunk.length;
      if (length > maxBytes) return undefined;
      chunks.push(chunk);
    }
    return joinBytes(chunks, length);
  };

/** What every platform of the Fetch API can decode. */
export const standardDecoders: BodyDecoders = {
  gzip: streamDecoder("gzip"),
  deflate: streamDecoder("deflate"),
};

export function joinBytes(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

/** The coding of a body; undefined for none. Two of them, one over the other, are a coding that nobody can decode. */
export const contentCoding = (headers: Headers): string | undefined => {
  const codings = (headers.get("content-encoding") ?? "")
    .toLowerCase()
    .split(",")
    .map((coding) => coding.trim().replace(/^x-gzip$/, "gzip"))
    .filter((coding) => coding !== "" && coding !== "identity");
  return codings.length === 0 ? undefined : codings.join(", ");
};

/** Throws ApiError unsupported_encoding. */
export function findDecoder(coding: string, decoders: BodyDecoders): BodyDecoder {
  const decoder = Object.hasOwn(decoders, coding) ? decoders[coding] : undefined;
  if (decoder !== undefined) return decoder;
  const known = Object.keys(decoders).join(", ");
  const message = `The request body's Content-Encoding can't be decoded here. Switch request compression off in the client (in Codex: features.enable_request_compression=false), or use one of: ${known}.`;
  throw new ApiError("unsupported_encoding", message, {
    param: "Content-Encoding",
    headers: { "accept-encoding": known },
  });
}

/** Throws ApiError invalid_request for bytes that are not in the coding; undefined for too many of them. */
export async function decodeBody(
  bytes: Uint8Array,
  { coding, decoder, maxBytes }: { coding: string; decoder: BodyDecoder; maxBytes: number },
): Promise<Uint8Array | undefined> {
  try {
    return await decoder(bytes, maxBytes);
  } catch (cause) {
    throw new ApiError("invalid_request", `The request body is not valid ${coding}.`, {
      param: "Content-Encoding",
      cause,
    });
  }
}
