/** When each piece of a response's body arrives, in milliseconds from now. */
export async function arrivalTimes(response: Response): Promise<number[]> {
  const startedMs = performance.now();
  const arrivals: number[] = [];
  for await (const _ of response.body as ReadableStream<Uint8Array>) {
    arrivals.push(performance.now() - startedMs);
  }
  return arrivals;
}
