// The page: pick or drop a photo, type an expression, see the mask.
import type { Image } from "./image";
import type { Answer } from "./predict";
import type { Reply, Request } from "./worker";

const LARGEST_SIDE = 2048;
const COLOUR = [230, 159, 0];
/** The smallest WebAssembly module with a SIMD instruction. */
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

const element = <Kind extends HTMLElement>(id: string) => document.getElementById(id) as Kind;
const [status, answer, threads] = ["status", "answer", "threads"].map((id) => element(id));
const [form, expression, file] = [element<HTMLFormElement>("form"), element<HTMLInputElement>("expression"), element<HTMLInputElement>("file")];
const [button, save] = [element<HTMLButtonElement>("find"), element<HTMLAnchorElement>("save")];
const [photo, drop, progress] = [element<HTMLCanvasElement>("photo"), element("drop"), element<HTMLProgressElement>("progress")];
let shown: { image: Image; bitmap: ImageBitmap; name: string } | null = null;
let [isReady, isEncoded] = [false, false];
let waiting: ((reply: Reply) => void)[] = [];

function say(text: string, isError = false): void {
  status.textContent = text;
  status.className = isError ? "error" : "";
}

function update(): void {
  button.disabled = !(isReady && isEncoded);
}

/** Send a request to the worker; its reply, or an error. */
function request(message: Request): Promise<Reply> {
  return new Promise((resolve, reject) => {
    waiting.push((reply) => ("failure" in reply ? reject(new Error(reply.failure)) : resolve(reply)));
    worker.postMessage(message);
  });
}

function receive(reply: Reply): void {
  if ("loaded" in reply) {
    progress.max = reply.of;
    progress.value = reply.loaded;
    say(`Loading the model: ${(reply.loaded / 1e6).toFixed(0)} of ${(reply.of / 1e6).toFixed(0)} MB`);
  } else if ("ready" in reply) {
    isReady = true;
    progress.hidden = true;
    document.title = reply.ready.title;
    threads.textContent =
      reply.threads > 1
        ? `${reply.threads} threads.`
        : "One thread, since the page is not cross-origin isolated: docs/export.md says which two headers of the server make it faster.";
    say(shown ? "Encoding the photo …" : "Ready. Choose a photo.");
    update();
  } else {
    const next = waiting.shift();
    if (next) next(reply);
    else if ("failure" in reply) say(`The model cannot be loaded: ${reply.failure}`, true);
  }
}

/** Show a photo and encode it. */
async function open(source: Blob, name: string): Promise<void> {
  let bitmap: ImageBitmap;
  try {
    const whole = await createImageBitmap(source);
    const scale = Math.min(1, LARGEST_SIDE / Math.max(whole.width, whole.height));
    const [resizeWidth, resizeHeight] = [Math.round(whole.width * scale), Math.round(whole.height * scale)];
    bitmap = scale < 1 ? await createImageBitmap(whole, { resizeWidth, resizeHeight, resizeQuality: "high" }) : whole;
  } catch {
    say(`This browser cannot decode ${name}; save it as JPEG or PNG and choose that.`, true);
    return;
  }
  isEncoded = false;
  update();
  const { width, height } = bitmap;
  [photo.width, photo.height] = [width, height];
  const context = photo.getContext("2d", { willReadFrequently: true })!;
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const pixels = new Uint8Array(width * height * 3);
  for (let place = 0; place < width * height; place++) {
    for (let channel = 0; channel < 3; channel++) pixels[3 * place + channel] = rgba[4 * place + channel];
  }
  const image = { width, height, pixels };
  shown = { image, bitmap, name };
  photo.hidden = false;
  drop.classList.add("filled");
  answer.textContent = "";
  save.hidden = true;
  if (isReady) say("Encoding the photo …");
  try {
    const reply = await request({ encode: image });
    if (shown.image !== image) return;
    isEncoded = true;
    update();
    if ("encoded" in reply) say(`Photo encoded in ${seconds(reply.encoded)}. Type what to find.`);
    expression.focus();
  } catch (error) {
    say((error as Error).message, true);
  }
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

async function find(): Promise<void> {
  const text = expression.value.trim();
  if (!text) {
    say("Type what to find, such as “the left dog”.", true);
    return;
  }
  button.disabled = true;
  say(`Looking for “${text}” …`);
  try {
    const reply = await request({ predict: text });
    if ("answer" in reply) {
      draw(reply.answer, text);
      say(`Answered in ${seconds(reply.milliseconds)}.`);
    }
  } catch (error) {
    say((error as Error).message, true);
  }
  update();
}

/** Draw the mask over the photo, and offer it as a file. */
function draw({ width, height, mask, score, box }: Answer, text: string): void {
  if (!shown || shown.image.width !== width || shown.image.height !== height) return;
  const context = photo.getContext("2d")!;
  context.drawImage(shown.bitmap, 0, 0);
  const picture = context.getImageData(0, 0, width, height);
  const grey = new ImageData(width, height);
  for (let place = 0; place < mask.length; place++) {
    const isInside = mask[place] > 0;
    const isEdge = isInside && [1, -1, width, -width].some((step) => !mask[place + step]);
    for (let channel = 0; channel < 3; channel++) {
      const at = 4 * place + channel;
      if (isEdge) picture.data[at] = COLOUR[channel];
      else if (isInside) picture.data[at] = (picture.data[at] + COLOUR[channel]) / 2;
      else picture.data[at] *= 0.6;
      grey.data[at] = isInside ? 255 : 0;
    }
    grey.data[4 * place + 3] = 255;
  }
  if (box) context.putImageData(picture, 0, 0);
  answer.textContent = box ? `${text}: score ${score.toFixed(2)}` : `Nothing in the photo matches “${text}”.`;
  save.hidden = !box;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d")!.putImageData(grey, 0, 0);
  save.href = canvas.toDataURL("image/png");
  save.download = `${shown.name.replace(/\.\w+$/, "")}-mask.png`;
  Object.assign(window, { lastAnswer: { width, height, mask, score, box } });
}

if (typeof WebAssembly !== "object" || !WebAssembly.validate(new Uint8Array(SIMD))) {
  say("This browser has no WebAssembly SIMD; use a current Firefox, Chrome, Edge or Safari.", true);
}
const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
worker.onmessage = ({ data }: MessageEvent<Reply>) => receive(data);
worker.onerror = (event) => say(`The page cannot start: ${event.message || "worker.js is missing"}.`, true);
file.onchange = () => file.files?.[0] && open(file.files[0], file.files[0].name);
form.onsubmit = (event) => {
  event.preventDefault();
  if (!button.disabled) void find();
};
document.ondragover = (event) => event.preventDefault();
document.ondrop = (event) => {
  event.preventDefault();
  const dropped = event.dataTransfer?.files[0];
  if (dropped) void open(dropped, dropped.name);
};
document.onpaste = (event) => {
  const pasted = [...(event.clipboardData?.files ?? [])][0];
  if (pasted) void open(pasted, pasted.name);
};
update();
