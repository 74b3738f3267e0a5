/** As wrangler.jsonc has them. */
export const workerOptions = {
  modules: true,
  compatibilityDate: "2026-04-01",
  compatibilityFlags: ["enable_request_signal"],
};

/** The Worker that hosts the Durable Objects of others. */
export const objectsScript = "objects";
