const encoder = new TextEncoder();

/** A request as it goes over the wire: POST with a JSON body, or GET without one. */
export function requestBytes(
  host: string,
  {
    path,
    headers,
    body,
  }: { path: string; headers?: Readonly<Record<string, string>>; body?: string | undefined },
): Uint8Array {
  const lines = Object.entries({ host, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  if (body === undefined) return encoder.encode(`GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`);
  const entity = `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  return encoder.encode(`POST ${path} HTTP/1.1\r\n${lines.join("")}${entity}`);
}
