/** Fails every test that got an answer which differs from the API's document. Loaded before all tests, see bunfig.toml. */
import { afterAll, afterEach, expect } from "bun:test";
import { takeDifferences, watchedAnswers } from "./watch-answers.ts";

export const expectDocumented = (): void => {
  const found = [...new Set(takeDifferences())];
  if (found.length > 0) throw new Error(`Not what /openapi.json says:\n${found.join("\n")}`);
};
afterEach(expectDocumented);
afterAll(expectDocumented);

/** Fails where nothing that a started gateway has answered was held against the document. */
export const expectWatched = (url: string): void =>
  expect(watchedAnswers(new URL(url).origin)).toBeGreaterThan(0);
