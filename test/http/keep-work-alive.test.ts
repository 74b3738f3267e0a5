import { expect, test } from "bun:test";
import { outliving } from "../../core/http/keep-work-alive.ts";

/** What a platform was asked to wait for, by name. */
function platform() {
  const pending = new Set<string>();
  const contextOf = (name: string) => ({
    waitUntil(task: Promise<unknown>) {
      pending.add(name);
      void task.then(() => pending.delete(name));
    },
  });
  return { pending, contextOf };
}

test("a request that is answered ends at once", async () => {
  const { pending, contextOf } = platform();
  const outlive = outliving();
  const endOther = outlive(contextOf("other"));
  outlive(contextOf("answered"))(false);
  await Promise.resolve();
  expect([...pending]).toEqual(["other"]);
  endOther(false);
});

test("a request whose client has left lives on while others run, and no longer", async () => {
  const { pending, contextOf } = platform();
  const outlive = outliving();
  const endFirst = outlive(contextOf("first"));
  const endSecond = outlive(contextOf("second"));
  endFirst(true);
  await Promise.resolve();
  expect([...pending]).toEqual(["first", "second"]);
  endSecond(false);
  await Promise.resolve();
  expect([...pending]).toEqual([]);
});
