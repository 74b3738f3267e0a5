import { expect, test } from "bun:test";
import { emptyRecord } from "../../core/conversation-record.ts";
import { recentRecords } from "../../core/recent-records.ts";

const record = emptyRecord({ id: "x", startedAtMs: 1, finishedAtMs: 1, expiresAtMs: 1, droppedMessages: 0 });
const value = "0123456789";

test("finds a record by the version under which it was stored, and by no other", () => {
  const recent = recentRecords(100);
  recent.keep("a", { value, version: "1" }, record);
  expect(recent.find("a", "1")).toBe(record);
  expect(recent.find("a", "2")).toBeUndefined();
  expect(recent.find("b", "1")).toBeUndefined();
  recent.drop("a");
  expect(recent.find("a", "1")).toBeUndefined();
});

test("lets go of those written longest ago once there is too much", () => {
  const recent = recentRecords(40);
  const found = () => ["a", "b", "c", "d", "e", "f"].filter((key) => recent.find(key, "1")).join("");
  for (const key of ["a", "b", "c"]) recent.keep(key, { value, version: "1" }, record);
  expect(found()).toBe("abc");
  for (const key of ["d", "e", "f"]) recent.keep(key, { value, version: "1" }, record);
  expect(found()).toBe("cdef");
});
