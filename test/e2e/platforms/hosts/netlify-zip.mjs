/**
 * AWS Lambda's streaming host, as Netlify uses it, before what `netlify build` made:
 * `node netlify-zip.mjs UNZIPPED/___netlify-entry-point.mjs`. Each request becomes an event, the answer a stream.
 */
import { createServer } from "node:http";
import { PassThrough } from "node:stream";
import { pathToFileURL } from "node:url";

/** What a function says of its answer before the answer's body. */
const heads = new WeakMap();

globalThis.awslambda = {
  streamifyResponse: (handler) => handler,
  HttpResponseStream: {
    from(stream, head) {
      heads.get(stream)?.(head);
      return stream;
    },
  },
};

const { handler } = await import(pathToFileURL(process.argv[2]).href);

const readBody = async (request) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
};

const listOf = (value) => (Array.isArray(value) ? value : [value]);

/** As Netlify hands a call its Blobs; those at BLOBS_URL are test/fakes/blobs-server.ts. */
const { BLOBS_URL: blobsUrl } = process.env;
const blobsOf = (url) => btoa(JSON.stringify({ url, url_uncached: url, token: "blobs-token" }));
const blobs = blobsUrl === undefined ? "" : blobsOf(blobsUrl);

const server = createServer(async (request, response) => {
  const url = new URL(`http://${request.headers.host}${request.url}`);
  const body = await readBody(request);
  const headers = Object.entries({ ...request.headers, "x-nf-site-id": "site-1", "x-nf-deploy-id": "1" });
  const event = {
    rawUrl: url.href,
    rawQuery: url.search.slice(1),
    path: url.pathname,
    httpMethod: request.method,
    headers: Object.fromEntries(headers.map(([name, value]) => [name, listOf(value).join(", ")])),
    multiValueHeaders: Object.fromEntries(headers.map(([name, value]) => [name, listOf(value)])),
    queryStringParameters: Object.fromEntries(url.searchParams),
    body: body.length > 0 ? body.toString("base64") : null,
    isBase64Encoded: body.length > 0,
    blobs,
    flags: {},
  };
  const stream = new PassThrough();
  heads.set(stream, ({ statusCode, headers: single = {}, multiValueHeaders = {} }) => {
    response.writeHead(statusCode, { ...single, ...multiValueHeaders });
    response.flushHeaders();
  });
  stream.pipe(response);
  const context = {
    getRemainingTimeInMillis: () => 60_000,
    clientContext: { custom: {} },
    awsRequestId: crypto.randomUUID(),
  };
  await handler(event, stream, context).catch((error) => {
    console.error(error);
    response.destroy();
  });
});

const { HOST: host = "127.0.0.1", PORT: port = "0" } = process.env;
server.listen(Number(port), host, () => {
  console.log(`Netlify's function listens on http://${host}:${server.address().port}`);
});
