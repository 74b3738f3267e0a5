/**
 * Bun's fetch opens 256 connections at most unless BUN_CONFIG_MAX_HTTP_REQUESTS says otherwise when the process
 * starts; more streams than that would wait for one another. So the program replaces itself once, with it set,
 * which takes 6 ms; `npm start` has it from bun.env. Windows can't: there the variable has to be set outside.
 */
import process from "node:process";

const name = "BUN_CONFIG_MAX_HTTP_REQUESTS";

if (process.env[name] === undefined && process.platform !== "win32") {
  const isCompiled = Bun.main.startsWith("/$bunfs/");
  const entry = isCompiled ? [] : [...process.execArgv, Bun.main];
  process.execve?.(process.execPath, [process.execPath, ...entry, ...process.argv.slice(2)], {
    ...process.env,
    [name]: "65000",
  });
}
