/** Refusals that another upstream need not share, in the words of many vendors; and those that only look like it. */
import { describe, expect, test } from "bun:test";
import type { ErrorCode } from "../../../core/errors.ts";
import { readRefusal } from "../../../core/providers/openai-compatible/refusal.ts";
import { jsonScript } from "../../fakes/openai-upstream.ts";
import { asError, askedUpstream } from "./asked-upstream.ts";

const { upstream, ask } = await askedUpstream();

const openAi = (message: string, code: string | null = null) => ({
  error: { message, type: "invalid_request_error", param: null, code },
});

const meant: Partial<Record<ErrorCode, [number, string][]>> = {
  upstream_out_of_credit: [
    [402, "Insufficient Balance"],
    [402, ""],
    [401, "You exceeded your current quota, please check your plan and billing details."],
    [403, "Your account has insufficient balance"],
    [403, "exceeded_current_quota_error"],
    [403, "Your team has used all available credits"],
    [403, "AllocationQuota.FreeTierOnly"],
    [403, "账户余额不足"],
    [400, "Your credit balance is too low to access the API"],
    [400, "Arrearage: please make sure your account is in good standing."],
  ],
  model_not_found: [
    [404, "The model `gpt-0` does not exist or you do not have access to it."],
    [404, "model 'llama9' not found"],
    [404, "This model has been deprecated"],
    [404, "No endpoints found for vendor/model."],
    [410, "Gone"],
    [400, "The model `mixtral-8x7b` has been decommissioned and is no longer supported."],
    [400, "model_decommissioned"],
    [400, "Model Not Exist"],
    [400, "vendor/x is not a valid model ID"],
    [400, "Invalid model: x"],
  ],
  unsupported_content: [
    [400, "This model does not support image input"],
    [400, "Image input is not supported by this model"],
    [400, "x is not a multimodal model"],
    [400, "Failed to deserialize: unknown variant `image_url`, expected `text`"],
    [404, "No endpoints found that support image input"],
    [422, "audio is not supported"],
  ],
  unsupported_parameter: [
    [400, "registry.ollama.ai/library/gemma does not support tools"],
    [400, "Tools are not supported by this model"],
    [404, "No endpoints found that support tool use. Try disabling tools."],
    [400, "response_format is not supported"],
    [400, "This model does not support json_schema"],
    [400, "function calling is not enabled for this model"],
  ],
  context_length_exceeded: [[413, "Request too large for model"]],
};

describe.each(Object.entries(meant) as [ErrorCode, [number, string][]][])("%s", (code, refusals) => {
  test.each(refusals)("is %i %p", async (status, message) => {
    upstream.script(jsonScript(status, openAi(message)));
    const error = asError((await ask("Hello")).error);
    expect(error).toMatchObject({
      code,
      ...(message !== "" && { message: expect.stringContaining(message) }),
    });
    expect(error.status).toBe(code === "upstream_out_of_credit" ? 402 : status);
  });
});

test.each([
  [401, "Incorrect API key provided. You can find yours at https://example.com/account/api-keys."],
  [401, "Invalid credentials"],
  [403, "Your key has insufficient permissions"],
  [403, "The load balancer refused the key"],
  [400, "temperature must be at most 2"],
  [400, "messages[0]: a question about the balance of a credit card"],
  [404, "Not Found"],
  [422, "field required"],
  [500, "The model does not exist"],
])("%i %p means only what its status says", (status, message) => {
  expect(readRefusal(status, JSON.stringify(openAi(message)))).toBeUndefined();
});

test("a key without money shows no more of itself than a wrong one", async () => {
  const apiKey = "sk-live-0123456789abcdef";
  upstream.script(jsonScript(403, openAi(`Insufficient balance of ${apiKey}`)));
  const error = asError((await ask("Hello", { apiKey })).error);
  expect(error.code).toBe("upstream_out_of_credit");
  expect(JSON.stringify(error.toBody())).not.toContain("0123");
});
