/** Takes the settings' secrets out of whatever is printed, should an error of somebody else's repeat one. */
import type { Config } from "../../core/config.ts";

/** Shorter ones could be a piece of any word. */
const shortestSecret = 6;

const passwordOf = (url: string | undefined): string[] => {
  if (url === undefined || !URL.canParse(url)) return [];
  const { password } = new URL(url);
  return [password, decodeURIComponent(password)];
};

export function hideSecrets(config: Config): (text: string) => string {
  const { apiKeys, site, providers, sessions } = config;
  const headers = [site?.headers, ...providers.map((provider) => provider.headers)];
  const secrets = [
    ...apiKeys.map(({ key }) => key),
    ...providers.map(({ apiKey }) => apiKey),
    ...headers.flatMap((each) => Object.values(each ?? {})),
    ...passwordOf(sessions.redisUrl),
    sessions.redisRest?.token,
  ].filter((secret) => secret !== undefined && secret.length >= shortestSecret) as string[];
  return (text) => secrets.reduce((shown, secret) => shown.replaceAll(secret, "***"), text);
}
