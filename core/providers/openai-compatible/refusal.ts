/**
 * What an upstream of OpenAI's kind means by a refusal that another upstream need not share. Vendors have one status for
 * many things, and say in words which it is.
 */
import type { ErrorCode } from "../../errors.ts";

/** Said beside 401, 403 and the like, which alone would be about the key. */
const outOfCredit =
  /insufficient[ _-]*(account[ _-]*)?(balance|quota|funds?|credits?)|quota|\bcredits?\b|\bbalance\b|\bbilling\b|arrear|overdue|good standing|余额|欠费|配额|额度/i;
/** Said beside 400, where the client's own text may be about money. */
const surelyOutOfCredit =
  /insufficient[ _-]*(account[ _-]*)?(balance|quota|funds?|credits?)|credit balance|arrearage|in good standing|余额不足|欠费/i;

const modelIsGone =
  /model[ _-]*(not[ _-]*(found|exist|available|supported)|decommissioned|deprecated|retired|removed)|model\b.{0,120}?\b(not found|not exist|does ?n[o']t exist|decommissioned|(been|is|was) (removed|retired|deprecated|shut down|discontinued)|no longer (available|supported))|(no such|unknown|invalid|not a valid) model|no endpoints found for/i;

const inputs = "images?|image_url|vision|multi-?modal|audio|input_audio|video|files?|pdf";
const abilities =
  "tools?|tool_choice|function[ _]call(ing|s)?|response_format|json(_schema|_object| mode| schema)?|structured outputs?";
const cannot = "(does not|doesn't|do not|don't|is not|not|no) (yet )?(a |an )?(currently )?";
const wordsOf = (things: string) =>
  new RegExp(
    `${cannot}support(s|ed|ing)?\\b.{0,60}?\\b(${things})\\b|\\b(${things})\\b.{0,60}?(${cannot}(support(ed)?|available|enabled|allowed)|unsupported)|unsupported .{0,40}?\\b(${things})\\b`,
    "i",
  );
const cannotTake = wordsOf(inputs);
const cannotDo = wordsOf(abilities);
/** Other ways to say that a model reads text alone: vLLM's, DeepSeek's, OpenRouter's. */
const textOnly =
  /not a multimodal model|unknown variant `?(image_url|input_audio|file)|no endpoints found that support (image|tool|audio|file)/i;

/** Of a failed answer's status and text: the failure that another upstream may mend; undefined for any other. */
export function readRefusal(status: number, text: string): ErrorCode | undefined {
  if (status === 402) return "upstream_out_of_credit";
  if ((status === 401 || status === 403) && outOfCredit.test(text)) return "upstream_out_of_credit";
  if (status === 413) return "context_length_exceeded";
  if (status === 410) return "model_not_found";
  if (status !== 400 && status !== 404 && status !== 422 && status !== 501) return undefined;
  if (surelyOutOfCredit.test(text)) return "upstream_out_of_credit";
  if (textOnly.test(text)) return /tool/i.test(text) ? "unsupported_parameter" : "unsupported_content";
  if (cannotTake.test(text)) return "unsupported_content";
  if (cannotDo.test(text)) return "unsupported_parameter";
  return modelIsGone.test(text) ? "model_not_found" : undefined;
}
