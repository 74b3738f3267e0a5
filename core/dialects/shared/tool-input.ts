/** The arguments of a tool call as the object that some formats have in place of their JSON text. */
import { ApiError } from "../../errors.ts";
import type { JsonObject, Reply } from "../../types.ts";
import { isRecord, tryParseJson } from "../../util/json.ts";

export interface CallWithInput {
  readonly id: string;
  readonly name: string;
  readonly input: JsonObject;
}

type Call = Reply["toolCalls"][number];

const readCall = ({ id, name, arguments: json }: Call): CallWithInput | undefined => {
  const input = json.trim() === "" ? {} : tryParseJson(json);
  return name !== "" && isRecord(input) ? { id, name, input } : undefined;
};

/**
 * The calls of a reply. One that was cut is none; throws ApiError upstream_invalid_response for others that nobody could
 * make.
 */
export function callsWithInput({
  toolCalls,
  finishReason,
}: Pick<Reply, "toolCalls" | "finishReason">): CallWithInput[] {
  return toolCalls.flatMap((call) => {
    const read = readCall(call);
    if (read !== undefined) return [read];
    if (finishReason === "length") return [];
    throw new ApiError(
      "upstream_invalid_response",
      "The upstream called a tool without its name, or with arguments that are no JSON object.",
    );
  });
}
