/** Every preset, and some plug-ins that are a matter of settings, keep the contract of providers. */
import { wordpressChat } from "../../../../core/providers/wordpress-chat/provider.ts";
import { providerContract } from "../../../contracts/provider.ts";
import { startPluginSite } from "../../../fakes/chat-plugin.ts";
import { type PluginName, pluginWires } from "../../../fakes/chat-plugin-wires.ts";
import { pluginSettings } from "./plugins.ts";

for (const name of Object.keys(pluginWires) as PluginName[]) {
  const streams = "events" in pluginWires[name];
  providerContract(
    `wordpress-chat, ${name}`,
    () => {
      const site = startPluginSite(name);
      return {
        provider: wordpressChat({ ...pluginSettings[name], site: site.url }),
        hangNext: (when) => site.hangNext(when === "after the first event"),
        failNext: () => site.failNext(),
        close: site.stop,
      };
    },
    { streams },
  );
}
