// The predictor in a thread of its own, so that the page stays responsive: messages in, messages out.
import * as ort from "onnxruntime-web/wasm";
import type { Image } from "./image";
import { Predictor, type Answer, type Features, type Settings } from "./predict";

/** From the page. */
export type Request = { encode: Image } | { predict: string };
/** To the page: progress of loading in bytes, the number of threads when ready, a model that cannot be loaded; each request has one reply. */
export type Reply =
  | { loaded: number; of: number }
  | { ready: number }
  | { unusable: string }
  | { encoded: number }
  | { answer: Answer; milliseconds: number }
  | { failure: string };

const CACHE = "vlt";
const reply = (message: Reply) => self.postMessage(message);
let predictor: Predictor | null = null;
let features: Features | null = null;

/** Read a file once; the browser keeps it for the next visit. */
function reader(settings: Settings): (name: string) => Promise<Uint8Array<ArrayBuffer>> {
  const kept = new Map<string, Promise<Uint8Array<ArrayBuffer>>>();
  const of = Object.values(settings.files).reduce((sum, { size }) => sum + size, 0);
  let loaded = 0;
  const read = async (name: string) => {
    const cache = "caches" in self ? await caches.open(CACHE).catch(() => null) : null;
    const { size, sha256 } = settings.files[name];
    const url = new URL(`model/${name}?${sha256}`, self.location.href).href;
    const cached = await cache?.match(url);
    const response = cached ?? (await fetch(url));
    if (!response.ok || !response.body) throw new Error(`The file model/${name} cannot be read (${response.status}).`);
    const parts: Uint8Array[] = [];
    const stream = response.body.getReader();
    for (let part = await stream.read(); !part.done; part = await stream.read()) {
      parts.push(part.value);
      loaded += part.value.length;
      reply({ loaded, of });
    }
    const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let place = 0;
    for (const part of parts) {
      bytes.set(part, place);
      place += part.length;
    }
    if (bytes.length !== size) {
      await cache?.delete(url);
      throw new Error(`The file model/${name} is incomplete (${bytes.length} of ${size} bytes).`);
    }
    if (!cached) await cache?.put(url, new Response(bytes)).catch(() => undefined);
    return bytes;
  };
  return (name) => {
    if (!kept.has(name)) kept.set(name, read(name));
    return kept.get(name)!;
  };
}

/** Remove files of an earlier model from the cache of the browser. */
async function forgetOthers(settings: Settings): Promise<void> {
  const used = new Set(Object.values(settings.files).map(({ sha256 }) => `?${sha256}`));
  const cache = await caches.open(CACHE);
  for (const { url } of await cache.keys()) if (!used.has(new URL(url).search)) await cache.delete(url);
}

async function load(): Promise<void> {
  const response = await fetch(new URL("model/settings.json", self.location.href), { cache: "no-cache" });
  if (!response.ok) throw new Error(`The file model/settings.json cannot be read (${response.status}).`);
  const settings = (await response.json()) as Settings;
  if ("caches" in self) await forgetOthers(settings).catch(() => undefined);
  ort.env.wasm.wasmPaths = new URL("./", self.location.href).href;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, 8) : 1;
  predictor = await Predictor.load(settings, reader(settings));
  reply({ ready: ort.env.wasm.numThreads });
}

async function answer(request: Request): Promise<void> {
  const began = performance.now();
  if (!predictor) throw new Error("The model is not loaded yet.");
  if ("encode" in request) {
    features = await predictor.encode(request.encode);
    reply({ encoded: performance.now() - began });
  } else {
    if (!features) throw new Error("No photo was chosen yet.");
    const found = await predictor.predict(features, request.predict);
    reply({ answer: found, milliseconds: performance.now() - began });
  }
}

const reason = (error: unknown) => (error instanceof Error ? error.message : String(error));
let queue: Promise<void> = load().catch((error) => reply({ unusable: reason(error) }));
self.onmessage = ({ data }: MessageEvent<Request>) => {
  queue = queue.then(() => answer(data)).catch((error) => reply({ failure: reason(error) }));
};
