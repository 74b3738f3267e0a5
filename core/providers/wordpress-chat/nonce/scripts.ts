/** The scripts of a page that may hold what stood in the page itself before an optimiser moved it. */

/** An optimiser leaves one file of them or a few. */
const maxScripts = 5;

const source = /src\s*=\s*["']?([^"'\s>]{1,1000})/gi;

/** Files that are the same for every visitor, and so can't hold a nonce: they come with a plug-in or theme. */
const isUnlikely = ({ pathname }: URL): boolean => /\/wp-content\/(?:plugins|themes)\//.test(pathname);

const isCandidate = ({ pathname }: URL): boolean =>
  pathname.endsWith(".js") && !pathname.includes("/wp-includes/");

/** The scripts of the page at `pageUrl` that are worth a look: of the same origin, the likely ones first, at most five. */
export function movedScripts(html: string, pageUrl: URL): URL[] {
  const addresses = new Set<string>();
  for (const [, value = ""] of html.matchAll(source)) {
    const address = value.replace(/&(?:amp|#0?38);/g, "&");
    if (URL.canParse(address, pageUrl.href)) addresses.add(new URL(address, pageUrl).href);
  }
  const candidates = [...addresses]
    .map((address) => new URL(address))
    .filter((url) => url.origin === pageUrl.origin && isCandidate(url));
  return [...candidates.filter((url) => !isUnlikely(url)), ...candidates.filter(isUnlikely)].slice(
    0,
    maxScripts,
  );
}
