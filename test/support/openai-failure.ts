import OpenAI from "openai";

/** The error with which a call of OpenAI's client fails; throws where it does not fail, or with another kind. */
export const failureOf = async (promise: Promise<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> => {
  const error = await promise.then(
    () => new Error("it did not fail"),
    (reason) => reason,
  );
  if (!(error instanceof OpenAI.APIError)) throw error;
  return error;
};
