/** The gateway that has served this page: its address, the key for it, and what it answers. */

/** Without `/v1` and without the page's own name, as the gateway may be mounted under a path of another application. */
export const serverAddress: string =
  location.origin + location.pathname.replace(/\/(ui|docs|dashboard)?\/*$/, "").replace(/\/v1$/, "");

const storageKey = "api-key";

const read = (storage: () => Storage): string => {
  try {
    return storage().getItem(storageKey) ?? "";
  } catch {
    return "";
  }
};

/** Storage may be forbidden to the page; then the key lives as long as the page does. */
const write = (storage: () => Storage, value: string): void => {
  try {
    if (value === "") storage().removeItem(storageKey);
    else storage().setItem(storageKey, value);
  } catch {}
};

let key = read(() => localStorage);
let isRemembered = key !== "";

export const apiKey = {
  get value(): string {
    return key;
  },
  get isRemembered(): boolean {
    return isRemembered;
  },
  /** Nothing is stored unless `remember` says so. */
  set(value: string, remember: boolean): void {
    key = value.trim();
    isRemembered = remember && key !== "";
    write(() => localStorage, isRemembered ? key : "");
  },
};

/** What the gateway says of itself to everyone; undefined where it can't be reached. */
export const welcome: Promise<
  { readonly name: string; readonly access: "keys" | "open" | "loopback" | "unconfigured" } | undefined
> = fetch(`${serverAddress}/`, { headers: { accept: "application/json" } })
  .then((response) => response.json())
  .catch(() => undefined);

/** An answer that is no success, or none at all (status 0). */
export class ServerFailure extends Error {
  readonly status: number;
  readonly code: string;
  readonly requestId: string;
  readonly retryAfter: string | null;

  constructor(
    message: string,
    { status = 0, code = "", requestId = "", retryAfter = null as string | null },
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.requestId = requestId;
    this.retryAfter = retryAfter;
  }
}

/** What an error body says: OpenAI's shape, or whatever a proxy has put there. */
export async function failureOf(response: Response): Promise<ServerFailure> {
  const text = await response.text();
  let message = "";
  let code = "";
  try {
    const { error } = JSON.parse(text);
    message = String(error.message);
    code = String(error.code ?? error.type ?? "");
  } catch {
    message = `${response.status} ${response.statusText}`.trim();
  }
  return new ServerFailure(message, {
    status: response.status,
    code,
    requestId: response.headers.get("x-request-id") ?? "",
    retryAfter: response.headers.get("retry-after"),
  });
}

export interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal;
}

export const authorization = (): Record<string, string> => (key ? { authorization: `Bearer ${key}` } : {});

/** Asks the gateway, with the key; without one only where it lets such callers in. Throws ServerFailure. */
export async function ask(path: string, options: Ask = {}): Promise<Response> {
  const { headers, ...rest } = options;
  // Asked without a key it would only refuse, and a browser calls that an error of the page.
  if (key === "" && (await welcome)?.access === "keys") {
    throw new ServerFailure("The API key is missing.", { status: 401, code: "missing_api_key" });
  }
  let response: Response;
  try {
    response = await fetch(serverAddress + path, { ...rest, headers: { ...authorization(), ...headers } });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ServerFailure(String((error as Error).message), { code: "no_connection" });
  }
  if (!response.ok) throw await failureOf(response);
  return response;
}

export interface ListedModel {
  readonly id: string;
  readonly owned_by: string;
}

export async function listModels(): Promise<readonly ListedModel[]> {
  const response = await ask("/v1/models");
  const { data } = (await response.json()) as { data: ListedModel[] };
  return data;
}
