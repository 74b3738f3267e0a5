/**
 * What is known of a chat plug-in, as data: where its nonce is, what is posted where, and how its answer is read. A preset
 * is one of these, and so is what an operator writes to override one.
 */
import * as v from "valibot";

/** What stands for something in a body, a header or an address. */
export const placeholders = ["nonce", "message", "model", "session", "messageId"] as const;
export type Placeholder = (typeof placeholders)[number];

const placeholderPattern = /\{([A-Za-z]+)\}/g;

const filled = v.pipe(v.string("must be a text"), v.nonEmpty("must not be empty"));

/** What looks like a placeholder and is none, anywhere in a value. */
const strangerIn = (value: unknown): string | undefined =>
  [...JSON.stringify(value).matchAll(placeholderPattern)].find(
    ([, name]) => !(placeholders as readonly (string | undefined)[]).includes(name),
  )?.[0];

const knowsAll = <T>() =>
  v.check<T, (issue: v.CheckIssue<T>) => string>(
    (value) => strangerIn(value) === undefined,
    ({ input }) =>
      `has ${strangerIn(input)}, which stands for nothing; ${placeholders.map((name) => `{${name}}`).join(", ")} do`,
  );

/** A text that may have placeholders. */
const template = v.pipe(filled, knowsAll<string>());

/** One text, or a list of them. */
const texts = v.pipe(
  v.union([filled, v.array(filled)], "must be a text or a list of texts"),
  v.transform((value): readonly string[] => (typeof value === "string" ? [value] : value)),
);

const oneOrMore = v.pipe(texts, v.minLength(1, "must name at least one place"));

const method = v.picklist(["GET", "POST"], "must be GET or POST");

const templates = v.record(v.string(), template, "must be an object of names and texts");

const formField = v.pipe(
  v.union([v.string(), v.number(), v.boolean()], "must be a text, a number or a boolean"),
  v.transform(String),
  knowsAll<string>(),
);

const bodySchema = v.pipe(
  v.strictObject({
    form: v.optional(v.record(v.string(), formField, "must be an object of fields")),
    json: v.optional(
      v.pipe(v.record(v.string(), v.unknown(), "must be an object"), knowsAll<Record<string, unknown>>()),
    ),
  }),
  v.check(({ form, json }) => (form === undefined) !== (json === undefined), "must have either form or json"),
);

const noNonce = v.pipe(
  v.union([v.literal("none"), v.literal(false), v.null()]),
  v.transform(() => "none" as const),
);

const nonceEntries = {
  /** In the page: a variable's name, the `#id` of a JSON island, or an `[attribute]`. */
  in: v.optional(filled),
  /** Instead of it: the address that hands one out. */
  route: v.optional(filled),
  /** How `route` is asked: GET by default. */
  method: v.optional(method),
  /** What is posted to `route`. */
  body: v.optional(bodySchema),
  /** Where it is in what is found there: "nonce" by default. */
  path: v.optional(filled),
  /** The field of the body in which it is sent. */
  field: v.optional(filled),
  /** Instead of it: the header. */
  header: v.optional(v.pipe(filled, v.regex(/^[\w-]+$/, "must be the name of a header"))),
  /** How a refused one looks, beside what every WordPress says: texts of the answer, and statuses. */
  refused: v.optional(
    v.pipe(
      v.union(
        [filled, v.number(), v.array(v.union([filled, v.number()]))],
        "must be a list of texts and statuses",
      ),
      v.transform((value): readonly (string | number)[] => (Array.isArray(value) ? value : [value])),
    ),
  ),
};

const streamSchema = v.union(
  [
    v.picklist(["none", "openai"]),
    v.strictObject({
      /** Where an event says what it is: "type" by default, else the event's own name. */
      type: v.optional(filled),
      /** The types of the events with a piece of the reply; by default any that has a text. */
      delta: v.optional(texts),
      /** The types of those that end the reply. */
      end: v.optional(texts),
      /** The types of those that say that it failed. */
      error: v.optional(texts),
      /** Where the piece is, the places tried in turn. */
      text: v.optional(oneOrMore),
    }),
  ],
  "must be none, openai, or an object with type, delta, end, error and text",
);

/** What a preset may say. */
export const presetEntries = {
  /** The address of the site itself; a preset for one site alone has it. */
  site: v.optional(
    v.pipe(
      v.string(),
      v.check(
        (value) => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol),
        "must be an http(s) URL",
      ),
    ),
  ),
  /** The page with the chat: an address, or a path at the site. */
  page: v.optional(filled),
  nonce: v.optional(
    v.lazy((value) => (value === null || typeof value !== "object" ? noNonce : v.strictObject(nonceEntries))),
  ),
  /** Where messages go: an address, or a path at the site. */
  endpoint: v.optional(template),
  /** POST by default. With GET the fields go into the address. */
  method: v.optional(method),
  headers: v.optional(templates),
  body: v.optional(bodySchema),
  /** Where the reply is, the places tried in turn; "." is the whole answer. */
  reply: v.optional(oneOrMore),
  /** With which texts a reply begins that is an error. */
  errors: v.optional(texts),
  stream: v.optional(streamSchema),
  /** Where an answer says which session it belongs to, at plug-ins that name sessions themselves. */
  session: v.optional(filled),
  /** Whether the site itself remembers what was said in a session. */
  remembers: v.optional(v.boolean()),
  /** Each `id` or `id=name-at-the-site`. */
  models: v.optional(v.pipe(texts, v.minLength(1, "must name at least one model"))),
  /** The longest message that the site takes, in code points. */
  maxChars: v.optional(
    v.pipe(
      v.number(),
      v.integer("must be a whole number, at least 1"),
      v.minValue(1, "must be a whole number, at least 1"),
    ),
  ),
};

const presetSchema = v.strictObject(presetEntries);

/** What may be said of a plug-in; whatever is left out has a default or comes from the preset that this one overrides. */
export type PresetParts = v.InferInput<typeof presetSchema>;
/** The same once it has been read. */
export type ReadParts = v.InferOutput<typeof presetSchema>;

/** A preset, and what was seen of its plug-in. */
export interface Preset extends PresetParts {
  /** What is known, how, and since when. */
  readonly seen: string;
}

export type RequestBody = v.InferOutput<typeof bodySchema>;
export type StreamForm = v.InferOutput<typeof streamSchema>;
type NonceParts = v.InferOutput<v.StrictObjectSchema<typeof nonceEntries, undefined>>;

export interface NonceSettings extends Pick<NonceParts, "field" | "header" | "refused"> {
  /** Where it is in the page; absent where `route` gives it. */
  readonly in?: string | undefined;
  readonly route?:
    | {
        /** An address. */
        readonly url: string;
        readonly method: "GET" | "POST";
        readonly body?: RequestBody | undefined;
      }
    | undefined;
  readonly path: string;
}

/** How a chat plug-in is spoken with, all defaults filled in. */
export interface SiteProtocol {
  /** Absent where messages need none. */
  readonly nonce?: NonceSettings | undefined;
  readonly method: "GET" | "POST";
  readonly headers: Readonly<Record<string, string>>;
  readonly body: RequestBody;
  readonly reply: readonly string[];
  readonly errors: readonly string[];
  readonly stream: StreamForm;
  readonly session?: string | undefined;
}

/** A plug-in at one site. */
export interface PlacedPreset {
  readonly pageUrl: string;
  readonly endpointUrl: string;
  readonly protocol: SiteProtocol;
  readonly models: readonly string[];
  readonly maxChars: number;
  readonly remembers: boolean;
}

/** Of a nonce, one part at a time is overridden; of two that say the same in other ways, the new one counts. */
function mergeNonce(base: ReadParts["nonce"], over: ReadParts["nonce"]): ReadParts["nonce"] {
  if (over === undefined) return base;
  if (over === "none" || base === undefined || base === "none") return over;
  const merged = { ...base, ...over };
  if (over.in !== undefined && over.route === undefined)
    for (const key of ["route", "method", "body"] as const) delete merged[key];
  if (over.route !== undefined && over.in === undefined) delete merged.in;
  if (over.field !== undefined && over.header === undefined) delete merged.header;
  if (over.header !== undefined && over.field === undefined) delete merged.field;
  return merged;
}

/** An address at the site: one of its paths, or a whole one. */
export function addressAt(site: string, path: string): string {
  if (/^https?:\/\//i.test(path)) return path;
  const root = site.replace(/[?#].*$/s, "").replace(/\/+$/, "");
  return `${root}/${path.replace(/^\/+/, "")}`;
}

/** What is wrong with a part that does not fit the others; `part` is its name. */
export interface PresetProblem {
  readonly part: string;
  readonly message: string;
}

const defaultMaxChars = 4000;

const holds = (template: unknown, placeholder: Placeholder): boolean =>
  JSON.stringify(template ?? "").includes(`{${placeholder}}`);

/** What a preset says. Throws for one that is not sound. */
export const readPreset = ({ seen: _, ...parts }: Preset): ReadParts => v.parse(presetSchema, parts);

/** A preset with what overrides it, at its site; or what is wrong with the two together. */
export function placePreset(
  name: string,
  base: ReadParts,
  over: ReadParts,
  addresses: { readonly page?: string | undefined; readonly endpoint?: string | undefined } = {},
): PlacedPreset | PresetProblem {
  const parts: ReadParts = { ...base, ...definedOf(over) };
  const nonce = mergeNonce(base.nonce, over.nonce);
  const { body, reply = [], stream = "none", endpoint = "/wp-admin/admin-ajax.php", page = "/" } = parts;
  const headers = { ...lowerCased(base.headers), ...lowerCased(over.headers) };
  const site = parts.site ?? originOf(addresses.page) ?? originOf(addresses.endpoint);

  const problem = (part: string, message: string): PresetProblem => ({ part, message });
  if (body === undefined)
    return problem("body", "is missing: it says what is posted, or name a preset that does");
  if (site === undefined) return problem("site", `is missing: the preset ${name} is for any site`);
  if (reply.length === 0 && stream === "none")
    return problem("reply", 'is missing: it says where the reply is, such as ["data.message","data"]');
  if (![body, endpoint].some((each) => holds(each, "message"))) return problem("body", "has no {message}");
  if (holds(headers, "message")) return problem("headers", "can't have {message}, which may be any text");
  if (parts.method === "GET" && body.json !== undefined)
    return problem("body", "must be a form, as method is GET");
  if (nonce !== undefined && nonce !== "none") {
    if (nonce.in === undefined && nonce.route === undefined)
      return problem("nonce", "must say where it is found: in or route");
    if (nonce.in !== undefined && nonce.route !== undefined)
      return problem("nonce", "must have either in or route, not both");
    const isSent = [body, endpoint, headers].some((each) => holds(each, "nonce"));
    if (nonce.field === undefined && nonce.header === undefined && !isSent)
      return problem("nonce", "must say how it is sent: field, header, or {nonce} in body");
  }

  const placedNonce: NonceSettings | undefined =
    nonce === undefined || nonce === "none"
      ? undefined
      : {
          path: nonce.path ?? "nonce",
          ...definedOf({ in: nonce.in, field: nonce.field, header: nonce.header, refused: nonce.refused }),
          ...(nonce.route !== undefined && {
            route: {
              url: addressAt(site, nonce.route),
              method: nonce.method ?? (nonce.body === undefined ? "GET" : "POST"),
              ...definedOf({ body: nonce.body }),
            },
          }),
        };
  return {
    pageUrl: addresses.page ?? addressAt(site, page),
    endpointUrl: addresses.endpoint ?? addressAt(site, endpoint),
    protocol: {
      ...(placedNonce && { nonce: placedNonce }),
      method: parts.method ?? "POST",
      headers,
      body,
      reply,
      errors: parts.errors ?? [],
      stream,
      ...definedOf({ session: parts.session }),
    },
    models: parts.models ?? [name],
    maxChars: parts.maxChars ?? defaultMaxChars,
    remembers: parts.remembers ?? false,
  };
}

/** Headers by their names in lower case, so that two spellings of one name are the same. */
const lowerCased = (headers: Readonly<Record<string, string>> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

const originOf = (url: string | undefined): string | undefined =>
  url === undefined || !URL.canParse(url) ? undefined : new URL(url).origin;

const definedOf = <T extends object>(value: T): T =>
  Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as T;
