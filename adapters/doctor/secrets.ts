/** Takes the settings' secrets out of everything that is printed: an error of another library may repeat one. */
import type { Config } from "../../core/config/config.ts";

/** Shorter ones could be a piece of any word. */
const shortestSecret = 6;

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

const passwordOf = (url: string | undefined): string[] => {
  if (url === undefined || !URL.canParse(url)) return [];
  const { password } = new URL(url);
  return [password, decoded(password)];
};

export function hideSecrets(config: Config): (text: string) => string {
  const { apiKeys, site, upstreams, sessions } = config;
  const headers = [site?.headers, ...upstreams.map((upstream) => upstream.headers)];
  const secrets = [
    ...apiKeys.map(({ key }) => key),
    ...upstreams.flatMap(({ apiKey }) => apiKey),
    // A scheme, a cookie's name and the like may stand before what is secret.
    ...headers.flatMap((each) =>
      Object.values(each ?? {}).flatMap((value) => [value, ...value.split(/[\s;,=]+/)]),
    ),
    ...passwordOf(sessions.redisUrl),
    sessions.redisRest?.token,
  ].filter((secret) => secret !== undefined && secret.length >= shortestSecret) as string[];
  return (text) => secrets.reduce((shown, secret) => shown.replaceAll(secret, "***"), text);
}
