/** What is answered beside Anthropic's Messages: models, token counts, failures where there is no route. */
import { describe, expect, test } from "bun:test";
import { countTokens } from "gpt-tokenizer/encoding/o200k_base";
import { testHandler } from "../support/test-handler.ts";

const hi = { role: "user", content: "Hi" };

const setUp = () => {
  const { send, provider } = testHandler();
  const post = (path: string, body: unknown) => send(path, { method: "POST", body: JSON.stringify(body) });
  return { post, newest: () => provider.requests.at(-1)?.request };
};

describe("the routes beside it", () => {
  test("list models in Anthropic's shape where anthropic-version is sent, and fail so", async () => {
    const { send } = testHandler({ API_MASTER_KEY: "sk-1" });
    const version = { "anthropic-version": "2023-06-01" };
    const key = { "x-api-key": "sk-1" };
    const list = await (await send("/v1/models?limit=1000", { headers: { ...version, ...key } })).json();
    expect(list).toEqual({
      data: [
        {
          type: "model",
          id: "test-model",
          display_name: "test-model",
          created_at: "2023-11-14T22:13:20.000Z",
        },
      ],
      has_more: false,
      first_id: "test-model",
      last_id: "test-model",
    });
    expect((await (await send("/v1/models", { headers: key })).json()).object).toBe("list");
    const stranger = await send("/v1/models", { headers: version });
    expect(stranger.status).toBe(401);
    expect(await stranger.json()).toMatchObject({ type: "error", error: { type: "authentication_error" } });
    const missing = await send("/v1/models/nothing", { headers: { ...version, ...key } });
    expect(await missing.json()).toMatchObject({ type: "error", error: { type: "not_found_error" } });
    const openAi = await send("/v1/models", { method: "POST", headers: key });
    expect(await openAi.json()).toMatchObject({ error: { code: "method_not_allowed" } });
  });

  test("answer 401 to a wrong key, which no client should try again", async () => {
    const { send } = testHandler({ API_MASTER_KEY: "sk-1" });
    for (const headers of [{ "x-api-key": "sk-2" }, { authorization: "Bearer sk-2" }, {}] as Record<
      string,
      string
    >[]) {
      const response = await send("/v1/messages", { method: "POST", body: "{}", headers });
      expect(response.status).toBe(401);
      expect(response.headers.get("x-should-retry")).toBe("false");
      expect(await response.json()).toMatchObject({ type: "error", error: { type: "authentication_error" } });
    }
  });

  test("take a key in either header, also where the other one has another", async () => {
    const { send } = testHandler({ API_MASTER_KEY: "sk-1" });
    for (const headers of [
      { "x-api-key": "sk-1" },
      { authorization: "Bearer sk-1" },
      { authorization: "Bearer sk-of-another-server", "x-api-key": "sk-1" },
      { authorization: "Bearer sk-1", "x-api-key": "sk-of-another-server" },
    ] as Record<string, string>[]) {
      const body = JSON.stringify({ messages: [hi] });
      expect((await send("/v1/messages/count_tokens", { method: "POST", body, headers })).status).toBe(200);
    }
  });

  test("fail in Anthropic's shape below /messages, even where there is no route", async () => {
    const { post } = setUp();
    const response = await post("/v1/messages/batches", {});
    expect(response.status).toBe(404);
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect(await response.json()).toMatchObject({ type: "error", error: { type: "not_found_error" } });
  });

  test("say that the server is there, without a key", async () => {
    const { send } = testHandler({ API_MASTER_KEY: "sk-1" });
    for (const [method, path] of [
      ["HEAD", "/"],
      ["GET", "/api/hello"],
      ["HEAD", "/api/hello"],
    ] as const) {
      expect((await send(path, { method })).status).toBe(200);
    }
  });
});

describe("count_tokens", () => {
  const texts = {
    English:
      "The mill had stopped turning in October, when the river fell below the weir, and nobody had thought to start it again. Mrs. Hollis kept the key on a hook beside her stove.",
    German:
      "Nach der Geschäftsordnung des Ausschusses müssen Änderungsanträge spätestens zwei Arbeitstage vor der Sitzung schriftlich eingereicht werden; später eingegangene Anträge können nur berücksichtigt werden, wenn kein Mitglied widerspricht.",
    French:
      "Il était une fois, dans un village au bord de la mer, un vieil homme qui réparait des horloges. Les gens venaient de loin pour lui confier leurs pendules, car on disait qu'aucune ne lui résistait.",
    Russian:
      "Вечером старый смотритель маяка зажигал лампу и записывал в толстую тетрадь каждое проходящее судно. Он делал это сорок лет подряд, хотя давно уже никто не спрашивал его об этих записях.",
    Arabic:
      "كان الصباح هادئا عندما خرجنا من القرية نحو الجبل. حملنا معنا الخبز والماء وبعض التمر، وسرنا في الطريق القديم الذي يمر بين بساتين الزيتون.",
    Chinese:
      "傍晚的时候，老人坐在门口，给孩子们讲很久以前的故事。他说，那时候村子里还没有电，大家晚上都聚在一起听他父亲唱歌。请把下面的代码翻译成中文，并说明每个函数的用途。",
    Japanese:
      "夕方になると、祖母は縁側に座って昔の話をしてくれました。コンピューターのプログラムを書くときは、まずデータの構造を考えることが大切です。",
    TypeScript:
      'export async function load(path: string): Promise<Config> {\n  const text = await readFile(path, "utf8");\n  if (text.trim() === "") throw new Error(`${path} is empty`);\n  return parseConfig(JSON.parse(text));\n}\n\nconst byName = new Map(items.map((item) => [item.name, item]));\n',
    JSON: '{"orders":[{"id":10023,"customer":"Ann Smith","total":129.9,"paid":true,"items":[{"sku":"A-17","count":2}]},{"id":10024,"customer":"Bob Jones","total":75,"paid":false,"items":[]}],"next":null}',
    Markdown:
      "# Deployment\n\n1. Run `npm ci` and then **build** the image.\n2. Push it:\n\n```sh\ndocker push registry.example.com/app:latest\n```\n\n| Stage | URL |\n| --- | --- |\n| test | https://test.example.com |\n| live | https://example.com |\n",
  };

  const count = async (body: object): Promise<number> => {
    const { post, newest } = setUp();
    const response = await post("/v1/messages/count_tokens", { model: "anything", ...body });
    expect(response.status).toBe(200);
    expect(newest()).toBeUndefined();
    return (await response.json()).input_tokens;
  };

  test.each(Object.entries(texts))("of %s is within 15 % of a real tokenizer's", async (_, text) => {
    const content = text.repeat(5);
    const real = countTokens(content);
    expect(await count({ messages: [{ role: "user", content }] })).toBeWithin(
      Math.floor(real * 0.85),
      Math.ceil(real * 1.15) + 1,
    );
  });

  test("counts system text, tools, their calls and results, and images", async () => {
    const least = await count({ messages: [hi] });
    const source = { type: "base64", media_type: "image/png", data: "AAAA" };
    const tools = [{ name: "f", description: "Does something useful.", input_schema: { type: "object" } }];
    expect(await count({ messages: [hi], system: "Be brief, please." })).toBeGreaterThan(least + 3);
    expect(await count({ messages: [hi], tools })).toBeGreaterThan(least + 10);
    const use = { type: "tool_use", id: "a", name: "f", input: { text: "word ".repeat(50) } };
    const result = { type: "tool_result", tool_use_id: "a", content: "word ".repeat(50) };
    const messages = [hi, { role: "assistant", content: [use] }, { role: "user", content: [result] }];
    expect(await count({ messages, tools })).toBeGreaterThan(least + 100);
    const image = { role: "user", content: [{ type: "image", source }] };
    expect(await count({ messages: [image] })).toBeWithin(500, 2000);
  });

  test("refuses what no message could be", async () => {
    const { post } = setUp();
    for (const body of [{}, { messages: [] }, { messages: "x" }, { messages: [hi], tools: "x" }, []]) {
      const response = await post("/v1/messages/count_tokens", body);
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ type: "error" });
    }
  });
});
