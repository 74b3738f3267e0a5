import { kimiWeb } from "../../../core/providers/wordpress-chat/provider.ts";
import { providerContract } from "../../contracts/provider.ts";
import { startChatSite } from "../../fakes/chat-site.ts";
import { siteControl } from "../../fakes/site-control.ts";

/** Looks until it is so. */
const until = async (isSo: () => Promise<boolean>): Promise<void> => {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 2));
};

providerContract(
  "kimi-web",
  async () => {
    const site = startChatSite();
    const control = siteControl(site.url);
    const provider = kimiWeb({
      pageUrl: site.pageUrl,
      ajaxUrl: site.ajaxUrl,
      models: [{ id: "kimi-k2-instruct", siteName: "moonshotai/Kimi-K2-Instruct" }],
      maxChars: 1000,
      safeText: true,
      chunkChars: 20,
      chunkDelayMs: 0,
    });
    return {
      provider,
      async hangNext() {
        await control.queue({ ajax: ["slow=30"] });
        const { aborted = 0 } = (await control.status()).counts;
        return {
          reached: until(async () => (await control.log()).ajax.some(({ outcome }) => outcome === null)),
          released: until(async () => ((await control.status()).counts.aborted ?? 0) > aborted),
        };
      },
      failNext: () => control.queue({ ajax: ["http=500"] }),
      close: site.stop,
    };
  },
  { streams: false },
);
