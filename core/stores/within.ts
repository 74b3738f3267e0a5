import type { Clock } from "../types.ts";

/** How long a store may take before its caller goes on without it. */
export const storeTimeoutMs = 2_000;

/** Settles as `task` does, or fails after `timeoutMs`: a store that hangs must not hang those who ask it. */
export function within<T>(
  task: Promise<T>,
  { clock, timeoutMs }: { readonly clock: Clock; readonly timeoutMs: number },
): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.schedule(() => reject(new Error(`No reply within ${timeoutMs} ms`)), timeoutMs);
    task.then(resolve, reject).finally(cancel);
  });
}
