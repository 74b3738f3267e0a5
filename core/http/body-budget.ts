/** A bound on what the bodies of all requests under way take together. */
import { ApiError } from "../errors.ts";

export interface BodyBudget {
  /** The room of one request's body, which grows with it. */
  open(owner: string): BodyRoom;
}

export interface BodyRoom {
  /** Takes room for so many bytes more. Throws ApiError too_many_bodies. */
  take(bytes: number): void;
  /** Gives all of it back, once the request is over. */
  release(): void;
}

export interface BodyBudgetOptions {
  readonly maxBytes: number;
  /** Whether there are several owners: each may have half then, so that none keeps the others out. */
  readonly isShared: boolean;
}

const retryAfterMs = 2_000;

export function createBodyBudget({ maxBytes, isShared }: BodyBudgetOptions): BodyBudget {
  const maxOfOwner = isShared ? maxBytes / 2 : maxBytes;
  const takenBy = new Map<string, number>();
  let taken = 0;

  const add = (owner: string, bytes: number) => {
    const byOwner = (takenBy.get(owner) ?? 0) + bytes;
    if (byOwner > 0) takenBy.set(owner, byOwner);
    else takenBy.delete(owner);
    taken += bytes;
  };

  return {
    open(owner) {
      let held = 0;
      return {
        take(bytes) {
          if (taken + bytes > maxBytes || (takenBy.get(owner) ?? 0) + bytes > maxOfOwner) {
            const message = `Too many request bodies are under way. Try again in ${retryAfterMs / 1000} s.`;
            throw new ApiError("too_many_bodies", message, {
              retryAfterMs,
              headers: { connection: "close" },
            });
          }
          held += bytes;
          add(owner, bytes);
        },
        release() {
          add(owner, -held);
          held = 0;
        },
      };
    },
  };
}
