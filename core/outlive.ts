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
  return (context) => {
    let end = () => {};
    context?.waitUntil?.(
      new Promise<void>((resolve) => {
        end = resolve;
      }),
    );
    running++;
    return (clientHasLeft) => {
      running--;
      if (clientHasLeft) waiting.push(end);
      else end();
      if (running > 0) return;
      for (const endOther of waiting) endOther();
      waiting = [];
    };
  };
}
