/**
 * What comes along with the gateway, and whether it may: exact versions, contents that the lock file vouches for, no
 * install scripts, and no known vulnerabilities if the registry tells of them.
 *
 *     npm run supply-chain
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

interface Package {
  readonly manifest: Manifest;
  readonly folder: string;
  readonly bytes: number;
}

/** By path: an array of which the first is `name@version` and the last the hash of the contents. */
interface LockFile {
  readonly packages: Readonly<Record<string, readonly unknown[]>>;
}

const root = fileURLToPath(new URL("..", import.meta.url));
const problems: string[] = [];

const readManifest = (folder: string): Manifest =>
  JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));

const sizeOf = (folder: string): number =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((bytes, entry) => bytes + Bun.file(join(entry.parentPath, entry.name)).size, 0);

/** Where Node finds a package that is imported in a folder; undefined where an optional one is not installed. */
function folderOf(name: string, importer: string): string | undefined {
  const own = join(importer, "node_modules", name);
  if (existsSync(own)) return own;
  const shared = join(root, "node_modules", name);
  return existsSync(shared) ? shared : undefined;
}

/** The packages named, and all that they bring. */
function closureOf(names: readonly string[]): Package[] {
  const found = new Map<string, Package>();
  const visit = (name: string, importer: string) => {
    const folder = folderOf(name, importer);
    if (folder === undefined || found.has(folder)) return;
    const manifest = readManifest(folder);
    found.set(folder, { manifest, folder, bytes: sizeOf(folder) });
    const { dependencies, optionalDependencies } = manifest;
    for (const next of Object.keys({ ...dependencies, ...optionalDependencies })) visit(next, folder);
  };
  for (const name of names) visit(name, root);
  return [...found.values()];
}

/** What npm runs unasked when it installs a package. */
const installScriptsOf = ({ manifest, folder }: Package): string[] => {
  const names = ["preinstall", "install", "postinstall"].filter((name) => manifest.scripts?.[name]);
  // Without an install script, this file alone makes npm compile.
  return existsSync(join(folder, "binding.gyp")) ? [...names, "binding.gyp"] : names;
};

const kibibytes = (bytes: number) => `${(bytes / 1024).toFixed(0)} KiB`.padStart(9);

function report(title: string, packages: readonly Package[]): void {
  const bytes = packages.reduce((sum, each) => sum + each.bytes, 0);
  console.log(`${title}: ${packages.length} packages, ${kibibytes(bytes).trim()}`);
  for (const each of packages) {
    const { name, version, license = "no license" } = each.manifest;
    console.log(`  ${kibibytes(each.bytes)}  ${name}@${version}  ${license}`);
    const scripts = installScriptsOf(each);
    if (scripts.length > 0) problems.push(`${name} has install scripts: ${scripts.join(", ")}`);
  }
  console.log("");
}

/** Whether each package is the one that bun.lock names, with a hash of its contents. */
async function compareWithLock(packages: readonly Package[]): Promise<void> {
  const lock: LockFile = Bun.JSONC.parse(await Bun.file(join(root, "bun.lock")).text()) as LockFile;
  const hashes = new Map(Object.values(lock.packages).map((entry) => [entry[0], entry.at(-1)]));
  for (const { manifest } of packages) {
    const id = `${manifest.name}@${manifest.version}`;
    if (!hashes.has(id)) problems.push(`${id} is installed, but not what bun.lock names`);
    else if (!String(hashes.get(id)).startsWith("sha512-")) problems.push(`bun.lock has no hash of ${id}`);
  }
}

/** Known vulnerabilities of what reaches users. A registry that does not tell is no failure. */
async function audit(): Promise<void> {
  const child = Bun.spawn([process.execPath, "audit", "--production", "--json"], {
    cwd: root,
    stdout: "pipe",
    stderr: "pipe",
  });
  const output = await new Response(child.stdout).text();
  await child.exited;
  let found: Readonly<Record<string, readonly { readonly title: string; readonly url: string }[]>>;
  try {
    found = JSON.parse(output);
  } catch {
    console.log("Not audited: the registry does not tell of vulnerabilities.");
    return;
  }
  for (const [name, advisories] of Object.entries(found)) {
    for (const { title, url } of advisories) problems.push(`${name}: ${title} (${url})`);
  }
  console.log(`Audited: ${Object.keys(found).length} packages with known vulnerabilities.`);
}

const { dependencies = {}, devDependencies = {}, peerDependencies = {} } = readManifest(root);
for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
  if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)) problems.push(`${name} has no exact version: ${version}`);
}
const always = closureOf(Object.keys(dependencies));
const chosen = closureOf(Object.keys(peerDependencies));
report("Installed with the gateway", always);
report("Installed by those who choose their store", chosen);
await compareWithLock([...always, ...chosen]);
await audit();

if (problems.length > 0) {
  console.error(`\nNot as it should be:\n  ${problems.join("\n  ")}`);
  process.exit(1);
}
console.log("No install scripts, exact versions, contents as in bun.lock.");
