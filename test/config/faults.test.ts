/** Settings that are wrong in ways that used to show only later, or never. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ConfigError, type Environment, parseConfig, settingNames } from "../../core/config/config.ts";
import { nameFinder } from "../../core/config/nearest-name.ts";

const problemsOf = (environment: Environment): readonly string[] => {
  try {
    parseConfig(environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

const warningsOf = (environment: Environment): readonly string[] => parseConfig(environment).warnings;

describe("REDIS_URL", () => {
  test.each([
    "redis://127.0.0.1",
    "redis://127.0.0.1:6379",
    "redis://[::1]:6379/0",
    "rediss://default:pass@redis.example.com:6380/15",
    "redis://:p%23a%2Fs%25s@my_redis:6379",
    "redis://:p@ss:word@redis:6379",
    "redis://redis:6379/?family=6",
  ])("may be %s", (REDIS_URL) => {
    expect(parseConfig({ REDIS_URL }).sessions.redisUrl).toBe(REDIS_URL);
  });

  test.each([
    "redis://",
    "redis://host:port",
    "redis://host:99999",
    "redis:6379",
    "http://127.0.0.1:6379",
    "redis://:pa#secret@host:6379",
    "redis://:pa/secret@host:6379",
    "redis://:pa?secret@host:6379",
    "redis://:pa%secret@host:6379",
    "redis://user:12#secret@host:6379",
    "redis://user:12/secret@host:6379",
    "redis://user:12?secret@host:6379",
    "redis://host:6379/secret",
    "redis://ho st:6379",
  ])("that is %s stops the start, which says how to write a password", (REDIS_URL) => {
    const [problem = "", ...others] = problemsOf({ REDIS_URL });
    expect(others).toEqual([]);
    expect(problem).toStartWith("REDIS_URL must be a redis:// or rediss:// URL such as ");
    for (const escaped of ["# as %23", "/ as %2F", "% as %25"]) expect(problem).toContain(escaped);
    expect(problem).not.toContain("secret");
  });

  test("of any password is taken when that is escaped", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, unit: "grapheme" }), (password) => {
        const url = `redis://user:${encodeURIComponent(password)}@host:6379/1`;
        expect(parseConfig({ REDIS_URL: url }).sessions.redisUrl).toBe(url);
      }),
    );
  });
});

describe("quotes that were kept around a value", () => {
  test.each(settingNames.filter((name) => !["APP_NAME", "APP_VERSION", "DESCRIPTION"].includes(name)))(
    "of %s stop the start",
    (name) => {
      for (const quote of ['"', "'"]) {
        const problems = problemsOf({ [name]: `${quote}sk-secret${quote}` });
        expect(problems).toEqual([expect.stringContaining(`${name} has quotes around its value`)]);
      }
    },
  );

  test("of a variable that PROVIDERS takes a key from stop the start", () => {
    const PROVIDERS = '[{"name":"a","baseUrl":"https://x.example","apiKey":"${KEY_OF_A}"}]';
    expect(problemsOf({ PROVIDERS, KEY_OF_A: '"sk-secret-of-a"' })).toEqual([
      expect.stringContaining("KEY_OF_A has quotes around its value"),
    ]);
  });

  test("of a single key in a list stop the start", () => {
    expect(problemsOf({ API_MASTER_KEY: 'sk-of-alice,"sk-secret"' })).toEqual([
      expect.stringContaining("API_MASTER_KEY has quotes around "),
    ]);
  });

  test("may be meant in free text, and within a value", () => {
    expect(parseConfig({ DESCRIPTION: '"Ask me"' }).app.description).toBe('"Ask me"');
    expect(problemsOf({ API_MASTER_KEY: 'sk-"of"-alice', API_KEYS: '{"a":"sk-of-a"}' })).toEqual([]);
  });
});

describe("an upstream's key of fewer than 8 characters", () => {
  const upstream = (apiKey: string) =>
    JSON.stringify([{ name: "a", baseUrl: "http://a.example/v1", apiKey }]);

  test("is allowed, with a warning that does not show it", () => {
    const openai = { OPENAI_BASE_URL: "http://127.0.0.1:11434/v1", OPENAI_API_KEY: "ollama" };
    expect(warningsOf(openai)).toEqual([
      expect.stringMatching(/^OPENAI_API_KEY has fewer than 8 characters/),
    ]);
    expect(warningsOf({ PROVIDERS: upstream("none") })).toEqual([
      expect.stringMatching(/^PROVIDERS \[0\]\.apiKey has fewer than 8 characters/),
    ]);
    expect(warningsOf(openai).join()).not.toContain("ollama");
  });

  test("is one of 7, and not of 8", () => {
    expect(warningsOf({ PROVIDERS: upstream("1234567") })).toHaveLength(1);
    expect(warningsOf({ PROVIDERS: upstream("12345678") })).toEqual([]);
  });
});

describe("a misspelt setting", () => {
  test.each([
    ["API_KEY", "API_MASTER_KEY"],
    ["API_MASTERKEY", "API_MASTER_KEY"],
    ["api_master_key", "API_MASTER_KEY"],
    ["OPENAI_BASEURL", "OPENAI_BASE_URL"],
    ["OPENAI_API_BASE", "OPENAI_BASE_URL"],
    ["OPENAI_MODEL", "OPENAI_MODELS"],
    ["CORS_ORIGINS", "CORS_ORIGIN"],
    ["SESSION_STROE", "SESSION_STORE"],
    ["REDIS_URI", "REDIS_URL"],
    ["LOGLEVEL", "LOG_LEVEL"],
    ["DEFAULT-MODEL", "DEFAULT_MODEL"],
    ["STRICT_SETTING", "STRICT_SETTINGS"],
  ])("such as %s is a warning that names %s", (name, meant) => {
    expect(warningsOf({ [name]: "secret" })).toEqual([`${name} is no setting. Did you mean ${meant}?`]);
  });

  test("stops the start with STRICT_SETTINGS=on", () => {
    expect(problemsOf({ API_KEY: "sk-secret", PORT: "1", STRICT_SETTINGS: "on" })).toEqual([
      "API_KEY is no setting. Did you mean API_MASTER_KEY?",
    ]);
  });

  test("is none that is far from every setting, empty, or used by PROVIDERS", () => {
    const others = {
      ...{
        PATH: "/bin",
        HOME: "/root",
        HOSTNAME: "a",
        PWD: "/",
        LANG: "C",
        NODE_ENV: "production",
        TERM: "xterm",
      },
      ...{ VERCEL_URL: "a.example", KV_URL: "redis://a", REDIS_HOST: "a", PORTS: "1", HOSTS: "a" },
      ...{
        KV_REST_API_READ_ONLY_TOKEN: "t",
        DENO_KV_ACCESS_TOKEN: "t",
        HTTPS_PROXY: "http://a",
        API_KEY: " ",
      },
    };
    expect(warningsOf(others)).toEqual([]);
    expect(problemsOf({ ...others, STRICT_SETTINGS: "on" })).toEqual([]);
    const PROVIDERS = '[{"name":"a","baseUrl":"https://x.example","apiKey":"${OPENAI_API_KEYS}"}]';
    expect(warningsOf({ PROVIDERS, OPENAI_API_KEYS: "sk-12345678" })).toEqual([]);
  });

  test("is found with any one letter of a long name changed, missing, added or swapped", () => {
    const long = settingNames.filter((name) => name.replaceAll("_", "").length >= 9);
    const letter = fc.constantFrom(..."ABCXYZ019");
    const kinds = fc.constantFrom("changed", "missing", "added", "swapped");
    fc.assert(
      fc.property(fc.constantFrom(...long), fc.nat(), letter, kinds, (name, position, other, kind) => {
        const at = position % (name.length - 1);
        const rest = name.slice(at + 1);
        const head = name.slice(0, at);
        const made = {
          changed: head + other + rest,
          missing: head + rest,
          added: head + other + name.slice(at),
          swapped: head + name[at + 1] + name[at] + name.slice(at + 2),
        }[kind];
        expect(nameFinder(settingNames)(made)).toBeDefined();
      }),
    );
  });

  test("within PROVIDERS is named with what was meant", () => {
    const entry = (field: string) =>
      JSON.stringify([{ name: "a", baseUrl: "https://x.example", [field]: "sk" }]);
    expect(problemsOf({ PROVIDERS: entry("apikey") })).toEqual([
      "PROVIDERS [0].apikey is no field of an upstream. Did you mean apiKey?",
    ]);
    expect(problemsOf({ PROVIDERS: entry("temperature") })).toEqual([
      "PROVIDERS [0].temperature is no field of an upstream.",
    ]);
  });
});

test("settings of size have the bounds that the documentation tells", () => {
  expect(parseConfig({ SESSION_CACHE_BYTES: "1024" }).sessions.cacheBytes).toBe(1024);
  expect(parseConfig({}).sessions.cacheBytes).toBe(268_435_456);
  expect(problemsOf({ SESSION_CACHE_BYTES: "1023" })).toHaveLength(1);
});
