import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const runtime = "node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded";

/** What the page is built from, and all in `src`: `built.py` says the same. */
const SOURCES = ["index.html", "package-lock.json", "vite.config.ts"];

/** Writes a hash of the sources beside what is built from them: in a clone, the export compares. */
function sourcesHash(): Plugin {
  return {
    name: "sources-hash",
    generateBundle() {
      const hash = createHash("sha256");
      const below = readdirSync("src", { recursive: true, encoding: "utf8" }).map((name) => `src/${name.replaceAll("\\", "/")}`);
      for (const name of [...SOURCES, ...below].filter((each) => statSync(each).isFile()).sort()) {
        hash.update(`${name}\n`).update(readFileSync(name));
      }
      this.emitFile({ type: "asset", fileName: "sources.sha256", source: `${hash.digest("hex")}\n` });
    },
  };
}

/** The runtime's WebAssembly, packed: no server has to compress it. The library's own reference to it is dropped. */
function packedRuntime(): Plugin {
  return {
    name: "packed-runtime",
    enforce: "pre",
    transform(code, id) {
      if (!id.includes("onnxruntime-web")) return null;
      return code.replaceAll(/new URL\("ort-wasm-simd-threaded\.wasm",import\.meta\.url\)/g, '"runtime.wasm"');
    },
    generateBundle() {
      const packed = gzipSync(readFileSync(`${runtime}.wasm`), { level: 9 });
      this.emitFile({ type: "asset", fileName: "runtime.wasm.gz", source: packed });
      // What the library imports when it starts; as .js every server knows its type.
      this.emitFile({ type: "asset", fileName: "runtime.js", source: readFileSync(`${runtime}.mjs`) });
    },
  };
}

export default defineConfig({
  base: "./",
  plugins: [packedRuntime(), sourcesHash()],
  build: {
    outDir: "../src/worldmodels/web/static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: { page: "index.html", core: "src/core.ts" },
      preserveEntrySignatures: "exports-only",
      output: { entryFileNames: (chunk) => (chunk.name === "core" ? "assets/core.js" : "assets/[name]-[hash].js") },
    },
  },
});
