/** V and M as ONNX graphs, computed by onnxruntime-web: WebAssembly with SIMD, one thread. */

import * as ort from "onnxruntime-web/wasm";
import { AGAIN, bytesOf, nameOf, planesOf, Told } from "./files";

/** A module of one SIMD instruction: what a browser without SIMD finds invalid. */
const SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
]);

let started: Promise<void> | undefined;

/** Starts the runtime, once; `root` is the page's folder. */
export function start(root: URL): Promise<void> {
  started ??= (async () => {
    if (typeof WebAssembly !== "object" || !WebAssembly.validate(SIMD)) {
      throw new Told("This browser has no WebAssembly with SIMD, which the dream is computed with. A current one has.");
    }
    if (typeof DecompressionStream === "undefined") {
      throw new Told("This browser cannot unpack gzip by itself (DecompressionStream). A current one can.");
    }
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.proxy = false;
    ort.env.logLevel = "error";
    const glue = new URL("runtime.js", root);
    ort.env.wasm.wasmPaths = { mjs: glue.href };
    const [wasm] = await Promise.all([bytesOf(new URL("runtime.wasm.gz", root)), importable(glue)]);
    ort.env.wasm.wasmBinary = wasm.buffer;
  })();
  return started;
}

/** Imports what the library will import itself, so that a missing file is named and no network blamed for it. */
async function importable(url: URL): Promise<void> {
  try {
    await import(/* @vite-ignore */ url.href);
  } catch {
    await bytesOf(url);
    throw new Told(`The file ${nameOf(url)} is damaged or was cut off. ${AGAIN}`);
  }
}

export type Arrays = Record<string, Float32Array>;

let last: Promise<unknown> = Promise.resolve();

/** The runtime does one thing at a time: two sections that compute at once would read each other's memory. */
function alone<T>(work: () => Promise<T>): Promise<T> {
  const done = last.then(work);
  last = done.catch(() => undefined);
  return done;
}

/** A graph; all inputs are float32 [slots, size]. */
export class Graph {
  private constructor(private readonly session: ort.InferenceSession) {}

  static async load(root: URL, url: URL): Promise<Graph> {
    const [bytes] = await Promise.all([planesOf(url), start(root)]);
    try {
      return new Graph(await alone(() => ort.InferenceSession.create(bytes, { graphOptimizationLevel: "all" })));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      // The library starts its runtime with the first network.
      if (why.includes("no available backend")) throw new Told(`The file runtime.wasm.gz cannot be started. ${AGAIN}`);
      throw new Told(`The network ${nameOf(url)} cannot be opened (${why}). ${AGAIN}`);
    }
  }

  /** Computes the outputs by name, for inputs of `slots` rows; `shape` is a row's, where it is no plain vector. */
  async run(inputs: Arrays, slots: number, shape?: readonly number[]): Promise<Record<string, Float32Array | Uint8Array>> {
    const feeds: Record<string, ort.Tensor> = {};
    for (const [name, data] of Object.entries(inputs)) {
      feeds[name] = new ort.Tensor("float32", data, [slots, ...(shape ?? [data.length / slots])]);
    }
    return alone(async () => {
      const found = await this.session.run(feeds);
      return Object.fromEntries(Object.entries(found).map(([name, tensor]) => [name, tensor.data as Float32Array | Uint8Array]));
    });
  }
}
