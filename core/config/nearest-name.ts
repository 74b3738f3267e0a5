/** Which known name a misspelt one was meant to be. */

/** Case and separators are what is mistaken most, and alone make no other name. */
const bare = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, "");

/** Changed, missing, further and swapped letters between two texts (optimal string alignment). */
function distance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const isSame = a[row - 1] === b[column - 1];
      const isSwapped = a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      current[column] = Math.min(
        (last[column] as number) + 1,
        (current[column - 1] as number) + 1,
        (last[column - 1] as number) + (isSame ? 0 : 1),
        isSwapped && row > 1 && column > 1 ? (beforeLast[column - 2] as number) + 1 : Infinity,
      );
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length] as number;
}

/** The fewer letters a name has, the likelier it is that a name one letter away belongs to another program. */
const maxDistance = (length: number): number => (length < 6 ? 0 : length < 10 ? 1 : 2);

/** One mistake leaves the first letters or the last ones as they are; to look at no others saves most of the work. */
const beginsOrEndsLike = (a: string, b: string): boolean =>
  a.slice(0, 2) === b.slice(0, 2) || a.slice(-2) === b.slice(-2);

/** Finds the known name that another one differs from in a letter or two; undefined if none comes that near. */
export function nameFinder(known: readonly string[]): (name: string) => string | undefined {
  const candidates = known.map((name) => ({ name, meant: bare(name) }));
  return (name) => {
    const given = bare(name);
    let nearest: { readonly name: string; readonly distance: number } | undefined;
    for (const candidate of candidates) {
      const { meant } = candidate;
      const allowed = maxDistance(Math.min(given.length, meant.length));
      if (Math.abs(given.length - meant.length) > allowed || !beginsOrEndsLike(given, meant)) continue;
      const found = allowed === 0 ? Number(given !== meant) : distance(given, meant);
      if (found <= allowed && (nearest === undefined || found < nearest.distance)) {
        nearest = { name: candidate.name, distance: found };
      }
    }
    return nearest?.name;
  };
}
