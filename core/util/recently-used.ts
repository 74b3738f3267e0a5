export interface RecentlyUsed<Value> {
  find(key: string): Value | undefined;
  /** `size` is in whatever the limit counts. */
  keep(key: string, value: Value, size: number): void;
  drop(key: string): void;
}

interface Entry<Value> {
  readonly value: Value;
  readonly size: number;
}

/** What was kept or found last, of `maxSize` at most in all, or one thing that is larger. */
export function recentlyUsed<Value>(maxSize: number): RecentlyUsed<Value> {
  // Two generations: when the younger is full the older goes, all at once, which costs less than to drop one by one.
  let younger = new Map<string, Entry<Value>>();
  let older = new Map<string, Entry<Value>>();
  let youngerSize = 0;

  const put = (key: string, entry: Entry<Value>) => {
    let grownSize = youngerSize - (younger.get(key)?.size ?? 0) + entry.size;
    if (grownSize > maxSize / 2 && younger.size > 0) {
      older = younger;
      younger = new Map();
      grownSize = entry.size;
    }
    younger.set(key, entry);
    youngerSize = grownSize;
  };

  return {
    find(key) {
      const entry = younger.get(key);
      if (entry !== undefined) return entry.value;
      const old = older.get(key);
      if (old !== undefined) put(key, old);
      return old?.value;
    },
    keep: (key, value, size) => put(key, { value, size }),
    drop(key) {
      youngerSize -= younger.get(key)?.size ?? 0;
      younger.delete(key);
      older.delete(key);
    },
  };
}
