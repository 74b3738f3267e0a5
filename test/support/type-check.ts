/** Type-checks programs as they stand in documentation, where `kimi-ai-2api` is this project. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");

export interface Programs {
  /** The programs' code, by file name. */
  readonly files: Readonly<Record<string, string>>;
  /** Types of packages that are not installed, as a declaration file. */
  readonly declarations?: string;
  /** Whether only what every platform has may be used. */
  readonly withoutPlatform?: boolean;
}

/** What the compiler says of them; "" when it has nothing to say. */
export function typeErrors({ files, declarations = "", withoutPlatform = false }: Programs): string {
  // Within the project, so that packages are found.
  const folder = mkdtempSync(join(root, "node_modules/.type-check-"));
  try {
    const all = { ...files, "declarations.d.ts": declarations };
    for (const [name, code] of Object.entries(all)) writeFileSync(join(folder, name), code);
    const config = {
      extends: join(root, withoutPlatform ? "core/tsconfig.json" : "tsconfig.json"),
      compilerOptions: {
        typeRoots: [join(root, "node_modules/@types"), join(root, "node_modules")],
        paths: { "kimi-ai-2api": [join(root, "handler.ts")] },
        noUnusedLocals: false,
      },
      files: Object.keys(all).map((name) => join(folder, name)),
      include: [],
      exclude: [],
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
    writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
    return Bun.spawnSync([join(root, "node_modules/.bin/tsc"), "-p", folder]).stdout.toString();
  } finally {
    rmSync(folder, { recursive: true });
  }
}
