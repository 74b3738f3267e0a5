/** A response that an upstream makes which speaks Responses itself: its events go on as they came, under the name that was asked for. */
import { encodeSseEvent } from "../../http/sse.ts";
import type { JsonObject, NativeResponseEvent } from "../../types.ts";
import { isRecord } from "../../util/json.ts";
import { replay } from "./events.ts";

export class PassedResponse {
  readonly #model: string;
  #response: JsonObject = {};
  readonly #items: unknown[] = [];
  #sequence = -1;

  constructor(model: string) {
    this.#model = model;
  }

  /** The number of the event that came last; -1 before the first. */
  get sequence(): number {
    return this.#sequence;
  }

  /** What a failure leaves of it: the response with the items that are whole. */
  get unfinished(): JsonObject {
    return { ...this.#response, output: this.#items };
  }

  event({ isWhole, event, json }: NativeResponseEvent): string {
    const { type, response, item, sequence_number: sequence } = event;
    // A whole answer where a stream was asked for.
    if (isWhole) return replay(this.named(event), -1);
    if (typeof sequence === "number") this.#sequence = sequence;
    if (type === "response.output_item.done") this.#items.push(item);
    if (!isRecord(response)) return encodeSseEvent(json, String(type));
    this.#response = this.named(response);
    return encodeSseEvent(JSON.stringify({ ...event, response: this.#response }), String(type));
  }

  named(response: JsonObject): JsonObject {
    return { ...response, model: this.#model };
  }
}
