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
/** The photo that is shown, as pixels for the model and as it looks. */
interface Shown {
  image: Image;
  picture: ImageData;
  name: string;
}
let shown: Shown | null = null;
let [isReady, isEncoded, chosen] = [false, false, 0];
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

/** Nothing works any more: say why, and drop what waits. */
function giveUp(why: string): void {
  [isReady, waiting] = [false, []];
  progress.hidden = true;
  say(why, true);
  update();
}

function receive(reply: Reply): void {
  if ("loaded" in reply) {
    progress.max = reply.of;
    progress.value = reply.loaded;
    say(`Loading the model: ${(reply.loaded / 1e6).toFixed(0)} of ${(reply.of / 1e6).toFixed(0)} MB`);
  } else if ("ready" in reply) {
    isReady = true;
    progress.hidden = true;
    threads.textContent =
      reply.ready > 1
        ? `${reply.ready} threads.`
        : "One thread, since the page is not cross-origin isolated: docs/export.md says which two headers of the server make it faster.";
    say(shown ? "Encoding the photo …" : "Ready. Choose a photo.");
    update();
  } else if ("unusable" in reply) {
    giveUp(`The model cannot be loaded: ${reply.unusable}`);
  } else {
    waiting.shift()?.(reply);
  }
}

/** Decode a photo, smaller if it is large; its colours are taken as they are stored, as in Python. */
async function decode(source: Blob): Promise<ImageBitmap> {
  const asStored = { colorSpaceConversion: "none" } as const;
  const whole = await createImageBitmap(source, asStored);
  const scale = LARGEST_SIDE / Math.max(whole.width, whole.height);
  if (scale >= 1) return whole;
  const [resizeWidth, resizeHeight] = [Math.round(whole.width * scale), Math.round(whole.height * scale)];
  return createImageBitmap(source, { ...asStored, resizeWidth, resizeHeight, resizeQuality: "high" });
}

/** Show a photo and encode it; of several chosen one after the other only the last counts. */
async function open(source: Blob, name: string): Promise<void> {
  const number = ++chosen;
  let bitmap: ImageBitmap;
  try {
    bitmap = await decode(source);
  } catch {
    if (number === chosen) say(`This browser cannot decode ${name}; save it as JPEG or PNG and choose that.`, true);
    return;
  }
  if (number !== chosen) return;
  isEncoded = false;
  update();
  const { width, height } = bitmap;
  [photo.width, photo.height] = [width, height];
  const context = photo.getContext("2d", { willReadFrequently: true })!;
  context.fillStyle = "white"; // behind what is transparent
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  const picture = context.getImageData(0, 0, width, height);
  const pixels = new Uint8Array(width * height * 3);
  for (let place = 0; place < width * height; place++) {
    for (let channel = 0; channel < 3; channel++) pixels[3 * place + channel] = picture.data[4 * place + channel];
  }
  shown = { image: { width, height, pixels }, picture, name };
  photo.hidden = false;
  drop.classList.add("filled");
  answer.textContent = "";
  save.hidden = true;
  if (isReady) say("Encoding the photo …");
  try {
    const reply = await request({ encode: shown.image });
    if (number !== chosen) return;
    isEncoded = true;
    update();
    if ("encoded" in reply) say(`Photo encoded in ${seconds(reply.encoded)}. Type what to find.`);
    expression.focus();
  } catch (error) {
    if (number === chosen) say((error as Error).message, true);
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
  const about = shown;
  button.disabled = true;
  say(`Looking for “${text}” …`);
  try {
    const reply = await request({ predict: text });
    if (about && about === shown && "answer" in reply) {
      draw(about, reply.answer, text);
      say(`Answered in ${seconds(reply.milliseconds)}.`);
    }
  } catch (error) {
    if (about === shown) say((error as Error).message, true);
  }
  update();
}

/** Draw the mask over the photo, and offer it as a file. */
function draw(about: Shown, { width, height, mask, score, box }: Answer, text: string): void {
  const picture = new ImageData(about.picture.data.slice(), width, height);
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
  photo.getContext("2d")!.putImageData(box ? picture : about.picture, 0, 0);
  answer.textContent = box ? `${text}: score ${score.toFixed(2)}` : `Nothing in the photo matches “${text}”.`;
  save.hidden = !box;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d")!.putImageData(grey, 0, 0);
  save.href = canvas.toDataURL("image/png");
  save.download = `${about.name.replace(/\.\w+$/, "")}-mask.png`;
  Object.assign(window, { lastAnswer: { width, height, mask, score, box } });
}

const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
worker.onmessage = ({ data }: MessageEvent<Reply>) => receive(data);
worker.onerror = (event) => giveUp(`The page cannot start: ${event.message || "worker.js is missing"}.`);
if (typeof WebAssembly !== "object" || !WebAssembly.validate(new Uint8Array(SIMD))) {
  worker.terminate();
  giveUp("This browser has no WebAssembly SIMD; use a current Firefox, Chrome, Edge or Safari.");
}
file.onchange = () => {
  const picked = file.files?.[0];
  file.value = ""; // so that the same file can be chosen again
  if (picked) void open(picked, picked.name);
};
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
