/** Waiting, with a clock that tests can hand in. Each wait takes its timer and its listeners with it when it ends. */
import type { Clock } from "../types.ts";

export const systemClock: Clock = {
  now: Date.now,
  monotonic: () => Math.round(performance.now()),
  schedule(task, delayMs) {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};

type Timer = Pick<Clock, "schedule">;

/** Resolves after `ms`. Rejects with the signal's reason as soon as that aborts. */
export function sleep(
  ms: number,
  { clock, signal }: { readonly clock: Timer; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = clock.schedule(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** Settles as `task` does, or rejects after `ms`. The task itself goes on; what becomes of it then is ignored. */
export function withTimeout<T>(
  task: Promise<T>,
  ms: number,
  { clock, error }: { readonly clock: Timer; readonly error?: () => unknown },
): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.schedule(() => reject(error?.() ?? new Error(`No reply within ${ms} ms`)), ms);
    task.then(resolve, reject).finally(cancel);
  });
}

/** Waits for one thing after another, and for none of them once a signal has aborted. One listener does for all. */
export class AbortableWaits {
  readonly #signal: AbortSignal;
  #reject: (reason: unknown) => void = () => {};

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener("abort", this);
  }

  /** The signal has aborted: https://dom.spec.whatwg.org/#callbackdef-eventlistener */
  handleEvent(): void {
    this.#reject(this.#signal.reason);
  }

  /** Settles as `task` does. Rejects with the signal's reason as soon as that aborts; the task itself goes on. */
  for<T>(task: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      if (this.#signal.aborted) reject(this.#signal.reason);
      task.then(resolve, reject);
    });
  }

  /** To be called when nothing is waited for any more. */
  end(): void {
    this.#signal.removeEventListener("abort", this);
  }
}

/** Settles as `task` does. Rejects with the signal's reason as soon as that aborts; the task itself goes on. */
export async function abortable<T>(task: Promise<T>, signal: AbortSignal): Promise<T> {
  const waits = new AbortableWaits(signal);
  try {
    return await waits.for(task);
  } finally {
    waits.end();
  }
}

/** Resolves to whether `task` has settled within `ms`; never rejects. */
export function settlesWithin(task: Promise<unknown>, ms: number, clock: Timer): Promise<boolean> {
  return new Promise((resolve) => {
    const cancel = clock.schedule(() => resolve(false), ms);
    const settled = () => {
      cancel();
      resolve(true);
    };
    task.then(settled, settled);
  });
}

export interface Deadline {
  /** Aborts when the time is over, with the reason given; or when the parent does, with the parent's reason. */
  readonly signal: AbortSignal;
  /** Takes the time limit away. The signal still follows the parent. */
  stopTimer(): void;
  /** Ends both: the signal aborts no more. To be called when the work is over. */
  release(): void;
}

export interface DeadlineOptions {
  readonly clock: Timer;
  readonly parent: AbortSignal;
  /** Made when the time is over. */
  readonly reason: () => unknown;
}

/** A signal for work that may take `ms`. */
export function createDeadline(ms: number, { clock, parent, reason }: DeadlineOptions): Deadline {
  const controller = new AbortController();
  const follow = () => controller.abort(parent.reason);
  const stopTimer = clock.schedule(() => controller.abort(reason()), ms);
  if (parent.aborted) follow();
  else parent.addEventListener("abort", follow, { once: true });
  return {
    signal: controller.signal,
    stopTimer,
    release() {
      stopTimer();
      parent.removeEventListener("abort", follow);
    },
  };
}
