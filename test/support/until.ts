/** Resolves once it is so: for what another process does in its own time. Throws when that takes unbearably long. */
export async function until(isSo: () => Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const deadlineMs = Date.now() + timeoutMs;
  while (!(await isSo())) {
    if (Date.now() > deadlineMs) throw new Error(`not so after ${timeoutMs} ms: ${isSo}`);
    await Bun.sleep(10);
  }
}
