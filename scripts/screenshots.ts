/**
 * Takes the pictures of the README, in a Chromium that is installed:
 *
 *     npm run screenshots
 */
import { join } from "node:path";
import { answered, closeBrowser, open, richReply, say, startGateway } from "../test/e2e/pages/stage.ts";

const folder = join(import.meta.dir, "../docs/images");
const chineseReply = `### 天空为什么是蓝色的

阳光包含**所有颜色**。穿过大气时，短波比长波散射得多：

| 颜色 | 波长 | 散射 |
| ---- | ---- | ---- |
| 蓝 | 450 nm | 强 |
| 红 | 700 nm | 弱 |

1. 光线进入大气。
2. 蓝光被散射到各个方向。

\`\`\`python
def scattered(nm: float) -> float:
    return (700 / nm) ** 4
\`\`\`
`;
const gateway = await startGateway({
  port: 8088,
  reply: (message) => (message.includes("天空") ? chineseReply : richReply),
});
const desktop = { viewport: { width: 1120, height: 760 }, deviceScaleFactor: 1.5 } as const;
const phone = {
  viewport: { width: 390, height: 760 },
  deviceScaleFactor: 1.5,
  isMobile: true,
  hasTouch: true,
} as const;

const chat = await open(`${gateway.url}/ui`, desktop);
await chat.page.locator("#model option").first().waitFor({ state: "attached" });
await say(chat.page, "Why is the sky blue?");
await answered(chat.page);
await chat.page.locator(".scroller").evaluate((element) => element.scrollTo(0, 0));
await chat.page.screenshot({ path: join(folder, "chat.png") });

const connect = await open(`${gateway.url}/ui#connect`, { ...desktop, colorScheme: "dark" });
await connect.page.locator("#connect-model option").first().waitFor({ state: "attached" });
await connect.page.getByRole("button", { name: "Open WebUI" }).click();
await connect.page.screenshot({ path: join(folder, "connect.png") });

const chinese = await open(`${gateway.url}/ui`, { ...phone, locale: "zh-CN", colorScheme: "dark" });
await chinese.page.locator("#model option").first().waitFor({ state: "attached" });
await say(chinese.page, "天空为什么是蓝色的？");
await answered(chinese.page);
await chinese.page.locator(".scroller").evaluate((element) => element.scrollTo(0, 0));
await chinese.page.screenshot({ path: join(folder, "chat-zh.png") });

await closeBrowser();
await gateway.stop();
process.exit();
