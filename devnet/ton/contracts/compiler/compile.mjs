// Compiles the test jetton: npm ci && node compile.mjs. The .boc files beside the sources are what this gives.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { compileFunc } from "@ton-community/func-js";

const folder = join(dirname(fileURLToPath(import.meta.url)), "..");
const target = process.argv[2] ?? folder;
for (const name of ["jetton-wallet", "jetton-master"]) {
  const done = await compileFunc({ targets: [`${name}.fc`], sources: (path) => readFileSync(join(folder, path), "utf8") });
  if (done.status === "error") throw new Error(done.message);
  writeFileSync(join(target, `${name}.boc`), Buffer.from(done.codeBoc, "base64"));
}
