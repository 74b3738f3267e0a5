/** On Workers, work dies with the request that began it, though others may wait for it too. */

/** What a platform gives along with a request. */
export interface FetchContext {
  /** Keeps the request alive until `task` is over, after its answer and without its client. */
  waitUntil?(task: Promise<unknown>): void;
}

/** Lets a request whose client has left outlive it while others run: what they wait for may be its work. */
export function outliving(): (context: FetchContext | undefined) => (clientHasLeft: boolean) => void {
  let running = 0;
  let waiting: (() => void)[] = [];

  const isOver = () => {
    running--;
    if (running > 0 || waiting.length === 0) return;
    for (const end of waiting) end();
    waiting = [];
  };

  return (context) => {
    running++;
    // Most platforms have no such thing, and the same function does for all their requests.
    if (context?.waitUntil === undefined) return isOver;
    let end = () => {};
    context.waitUntil(
      new Promise<void>((resolve) => {
        end = resolve;
      }),
    );
    return (clientHasLeft) => {
      if (clientHasLeft) waiting.push(end);
      else end();
      isOver();
    };
  };
}
