/** The end of a server: no new calls, the running answers still finish, then the store is closed. */
import process from "node:process";

export interface EndingServer {
  /** Accepts no more calls; resolves when the running answers are over. */
  drain(): Promise<unknown>;
  /** Lets go of the rest. */
  close(): Promise<unknown>;
}

/** How long running answers may take; container platforms kill a process after 30 s. */
const graceMs = 25_000;

/** On SIGTERM or SIGINT ends the process with exit code 0; on a second one at once. */
export function endOnSignal({ drain, close }: EndingServer): void {
  let isEnding = false;
  const end = async () => {
    if (isEnding) process.exit(1);
    isEnding = true;
    await Promise.race([drain(), new Promise((resolve) => setTimeout(resolve, graceMs))]);
    await close();
    process.exit(0);
  };
  process.on("SIGTERM", end);
  process.on("SIGINT", end);
}
