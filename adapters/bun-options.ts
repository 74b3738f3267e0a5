/**
 * Bun reads some options from its environment only when it starts; bun-options.sh says what they are for. Where they are not
 * set, the program replaces itself once, with them, which takes 6 ms; `npm start` and the Docker image have them from the
 * start. Windows can't: there they have to be set outside.
 */
import process from "node:process";

const connections = { BUN_CONFIG_MAX_HTTP_REQUESTS: "65000" };
/** JavaScriptCore's own, which another Bun may not know and then refuses to start: a compiled program brings its own. */
const heap = { BUN_JSC_largeHeapSize: "16777216", BUN_JSC_heapGrowthMaxIncrease: "0.5" };

if (process.env.BUN_CONFIG_MAX_HTTP_REQUESTS === undefined && process.platform !== "win32") {
  const isCompiled = Bun.main.startsWith("/$bunfs/");
  const entry = isCompiled ? [] : [...process.execArgv, Bun.main];
  process.execve?.(process.execPath, [process.execPath, ...entry, ...process.argv.slice(2)], {
    ...(isCompiled && heap),
    ...process.env,
    ...connections,
  });
}
