/** Takes secrets, and pieces of them, out of texts that are shown or logged. */

export interface Secrets {
  /** A secret that has come up while the gateway runs, such as a cookie. Of these the newest are kept. */
  add(secret: string): void;
  /** The text, with "***" for every piece of four or more characters of a secret. */
  hide(text: string): string;
  /** The text, with "***" for every whole secret: for identifiers, which may have a piece in common by chance. */
  hideWhole(text: string): string;
}

export interface SecretsOptions {
  /** Those of the settings. */
  readonly secrets: readonly string[];
  /** Words that are no secret though a secret may have them in it, such as models' names. */
  readonly words?: readonly string[];
}

const mask = "***";
const pieceLength = 4;
/** Where the secrets have more pieces than this, an innocent text would often have one by chance; then pieces are longer. */
const maxPieces = 4096;
const longPieceLength = 8;
const maxAdded = 64;

const piecesOf = (text: string, length: number): string[] =>
  Array.from({ length: Math.max(0, text.length - length + 1) }, (_, at) => text.slice(at, at + length));

/** What is looked for in texts. */
interface Search {
  /** Whole secrets, longer ones first: one may hold another. */
  readonly all: readonly string[];
  readonly pieces: ReadonlySet<string>;
  /** The length of each piece. */
  readonly length: number;
}

export function createSecrets({ secrets, words = [] }: SecretsOptions): Secrets {
  const fixed = secrets.filter((secret) => secret.length >= pieceLength);
  const added = new Set<string>();
  const innocent = new Set(words);
  let search: Search | undefined;

  const createSearch = (): Search => {
    const all = [...new Set([...fixed, ...added])].sort((one, other) => other.length - one.length);
    const short = new Set(all.flatMap((secret) => piecesOf(secret, pieceLength)));
    if (short.size > maxPieces) {
      const pieces = new Set(all.flatMap((secret) => piecesOf(secret, longPieceLength)));
      return { all, pieces, length: longPieceLength };
    }
    const known = new Set(words.flatMap((word) => piecesOf(word, pieceLength)));
    return { all, pieces: new Set([...short].filter((piece) => !known.has(piece))), length: pieceLength };
  };

  /** Made for the first text: a start need not wait for it. */
  const currentSearch = (): Search => {
    search ??= createSearch();
    return search;
  };

  const hideWhole = (text: string) =>
    currentSearch().all.reduce((shown, secret) => shown.replaceAll(secret, mask), text);

  return {
    add(secret) {
      if (secret.length < pieceLength || added.has(secret)) return;
      added.add(secret);
      const [oldest] = added;
      if (added.size > maxAdded && oldest !== undefined) added.delete(oldest);
      search = undefined;
    },
    hideWhole,
    hide(text) {
      const { all, pieces, length } = currentSearch();
      if (all.length === 0 || (innocent.has(text) && !all.includes(text))) return text;
      const whole = hideWhole(text);
      let shown = "";
      let keptFrom = 0;
      for (let at = 0; at + length <= whole.length; ) {
        if (!pieces.has(whole.slice(at, at + length))) {
          at++;
          continue;
        }
        let end = at + length;
        while (end < whole.length && pieces.has(whole.slice(end + 1 - length, end + 1))) end++;
        shown += whole.slice(keptFrom, at) + mask;
        keptFrom = end;
        at = end;
      }
      return shown + whole.slice(keptFrom);
    },
  };
}
