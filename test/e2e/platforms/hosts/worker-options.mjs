/** As wrangler.jsonc has them. */
export const workerOptions = {
  modules: true,
  compatibilityDate: "2026-04-01",
  compatibilityFlags: ["enable_request_signal"],
};

/** As Cloudflare runs a file that is pasted into its dashboard: a date of today, which brings `nodejs_compat` with it. */
export const pastedOptions = { modules: true, compatibilityDate: "2026-11-17" };

/** The Worker that hosts the Durable Objects of others. */
export const objectsScript = "objects";
