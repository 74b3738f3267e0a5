/** How deep JSON is nested, before anyone builds what it nests: to walk what is very deep overflows the stack. */

/** Counts brackets outside of strings. */
export function isDeeperThan(levels: number, json: string): boolean {
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    switch (json.charCodeAt(at)) {
      case 0x22: // "
        do {
          at = json.indexOf('"', at + 1);
          if (at < 0) return false;
        } while (isEscaped(json, at));
        break;
      case 0x5b: // [
      case 0x7b: // {
        if (++depth > levels) return true;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
    }
  }
  return false;
}

/** Whether an odd number of backslashes stands before it. */
function isEscaped(json: string, at: number): boolean {
  let before = at;
  while (json.charCodeAt(before - 1) === 0x5c) before--;
  return (at - before) % 2 === 1;
}
