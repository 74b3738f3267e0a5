/**
 * What both fake upstreams share: settings that the benchmark changes between two runs by PUT /bench, and the
 * counts that it reads by GET /bench.
 */

export interface UpstreamSettings {
  /** Milliseconds from a call's arrival to the first byte of its answer. */
  delayMs: number;
  /** Events of a stream; a whole answer has as many pieces of text in one. */
  chunks: number;
  /** Characters of text in each. */
  chunkChars: number;
  /** Milliseconds from one event to the next; 0 writes them one by one without a pause. */
  gapMs: number;
}

export interface UpstreamCounts {
  /** Calls since the settings were last changed. */
  calls: number;
  /** Calls being answered now. */
  active: number;
  /** The most at once since then. */
  peak: number;
}

export interface Control {
  readonly settings: UpstreamSettings;
  /** The reply that the settings ask for. */
  reply(): string;
  enter(): void;
  leave(): void;
  /** Answers GET and PUT /bench. */
  answer(request: Request): Promise<Response>;
}

/** Deterministic text with spaces, so that generator and upstream agree on it without telling each other. */
export function replyText(characters: number): string {
  return "The quick brown fox jumps over the lazy dog. "
    .repeat(Math.ceil(characters / 45))
    .slice(0, characters);
}

/** `onChange` lets an upstream build its answers once per change rather than once per call. */
export function createControl(onChange: () => void): Control {
  const settings: UpstreamSettings = { delayMs: 0, chunks: 10, chunkChars: 20, gapMs: 0 };
  const counts: UpstreamCounts = { calls: 0, active: 0, peak: 0 };
  return {
    settings,
    reply: () => replyText(settings.chunks * settings.chunkChars),
    enter() {
      counts.calls++;
      counts.active++;
      if (counts.active > counts.peak) counts.peak = counts.active;
    },
    leave() {
      counts.active--;
    },
    async answer(request) {
      if (request.method === "PUT") {
        Object.assign(settings, await request.json());
        Object.assign(counts, { calls: 0, peak: counts.active });
        onChange();
      }
      return Response.json(counts);
    },
  };
}
