import { Conversations } from "../../core/stores/durable-object.ts";

/** A Durable Object of this process, without alarms. */
export function memoryObject(): Conversations {
  const entries = new Map<string, unknown>();
  return new Conversations({
    storage: {
      kv: {
        get: (key) => entries.get(key),
        put: (key, value) => void entries.set(key, value),
        delete: (key) => entries.delete(key),
      },
      transactionSync: (task) => task(),
      setAlarm: async () => {},
      deleteAlarm: async () => {},
      deleteAll: async () => entries.clear(),
    },
  });
}
