import { startChatSite } from "./chat-site.ts";
import { type SiteControl, siteControl } from "./site-control.ts";

/** The chat site that a suite runs against. */
export interface SiteUnderTest extends SiteControl {
  /** Whether a real WordPress answers: slower, and without what only the stand-in has. */
  readonly isWordpress: boolean;
  stop(): Promise<void>;
}

/** The site at KIMI_SITE_URL, stand-in or real WordPress, or else a stand-in of its own. */
export async function siteUnderTest(): Promise<SiteUnderTest> {
  const url = process.env.KIMI_SITE_URL;
  if (url) {
    const control = siteControl(url);
    const { state } = await control.status();
    return { ...control, isWordpress: !("log" in state), stop: () => control.reset() };
  }
  const site = startChatSite();
  return { ...siteControl(site.url), isWordpress: false, stop: site.stop };
}
