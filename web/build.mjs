// Build the page into the folder of the Python package that `vlt export --web` copies it from.
import { build } from "esbuild";
import { copyFile, mkdir, rm } from "node:fs/promises";

const page = new URL("../src/vlt/export/page/", import.meta.url).pathname;
const runtime = new URL("node_modules/onnxruntime-web/dist/", import.meta.url).pathname;

await rm(page, { recursive: true, force: true });
await mkdir(page, { recursive: true });
await build({
  entryPoints: ["src/page.ts", "src/worker.ts"],
  outdir: page,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "inline",
  conditions: ["onnxruntime-web-use-extern-wasm"],
});
for (const name of ["index.html", "style.css"]) await copyFile(`src/${name}`, page + name);
for (const name of ["LICENSE", "NOTICE"]) await copyFile(`../${name}`, page + name);
for (const ending of ["mjs", "wasm"]) {
  const name = `ort-wasm-simd-threaded.${ending}`;
  await copyFile(runtime + name, page + name);
}
