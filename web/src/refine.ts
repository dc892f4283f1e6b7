// The refiner (vlt/refine/refiner.py): which outline of the segmenter replaces the network's mask.
import { crop, Letterbox, type Box, type Grid, type Image, type Size } from "./image";

const MASK_STRIDE = 4;
const MIN_AGREEMENT = 0.2;
const QUALITY_WEIGHT = 0.3;
const PEAKS = 3;
const OWN_WEIGHT = 0.5;
const QUALITY_WEIGHT_IN_BOX = 1.0;
const FIT_WEIGHT_IN_BOX = 0.25;
const AGREEMENT_WEIGHT_IN_BOX = 0.5;
const LOGIT_EPSILON = 1e-4;
const PEAK_DISTANCE = 12;
const MIN_PEAK = 0.15;

/** A box or a point that the segmenter segments, in pixels of its input. */
export type Prompt = { box: Box } | { point: [number, number] };

/** Masks for one prompt, before the sigmoid, and the estimated IoU of each. */
export interface Drawn {
  masks: Grid[];
  quality: number[];
}

/** A promptable segmenter that has encoded an image. */
export type Draw = (prompt: Prompt) => Promise<Drawn>;

/** A refined mask: logits in the segmenter's input, and the soft IoU with the network's probabilities. */
export interface Outline {
  logits: Grid;
  agreement: number;
}

/** How the segmenter's masks lie over an image. */
export class Frame {
  readonly letterbox: Letterbox;
  readonly grid: Letterbox;

  constructor(image: Size, side: number) {
    this.letterbox = new Letterbox(image, [side, side]);
    this.grid = new Letterbox(image, this.letterbox.input.map((each) => Math.floor(each / MASK_STRIDE)) as Size);
  }

  input(image: Image): Float32Array {
    return this.letterbox.paste(image);
  }

  /** The positions of a mask that the image covers. */
  inside(mask: Grid): Grid {
    return crop(mask, this.grid.offset, this.grid.inner);
  }
}

/** Draw the outline of what is in a box in shares of the network's input; null: of the network's mask. */
export async function refine(
  frame: Frame,
  draw: Draw,
  logits: Grid,
  letterbox: Letterbox,
  threshold: number,
  box: Box | null,
): Promise<Outline | null> {
  const probability = new Letterbox(frame.grid.inner, letterbox.input).probability(logits);
  const area = box && letterbox.imageArea(box);
  const refined = area
    ? await outlineInBox(frame, draw, probability, area)
    : await outlineOfMask(frame, draw, probability, threshold);
  if (!refined) return null;
  const odds = Math.min(Math.max(threshold, LOGIT_EPSILON), 1 - LOGIT_EPSILON);
  const shift = Math.log(odds / (1 - odds));
  return {
    logits: { ...refined, values: refined.values.map((each) => each + shift) },
    agreement: agreement(frame.inside(refined), probability),
  };
}

async function outlineInBox(frame: Frame, draw: Draw, probability: Grid, area: Box): Promise<Grid | null> {
  const [height, width] = frame.grid.image;
  const pixels: Box = [area[0] * width, area[1] * height, area[2] * width, area[3] * height];
  const { masks, quality } = await draw({ box: frame.letterbox.inputBox(pixels) });
  const [rows, columns] = frame.grid.inner;
  const box: Box = [area[0] * columns, area[1] * rows, area[2] * columns, area[3] * rows];
  const [x0, y0, x1, y1] = [Math.floor(box[0]), Math.floor(box[1]), Math.ceil(box[2]), Math.ceil(box[3])];
  const size: Size = [Math.min(y1, rows) - y0, Math.min(x1, columns) - x0];
  const part = (grid: Grid) => crop(grid, [y0, x0], size);
  let [best, highest] = [-1, -Infinity];
  masks.forEach((mask, index) => {
    const inner = frame.inside(mask);
    const found = maskBox(inner.width, inner.height, (place) => inner.values[place] > 0);
    const fit = found ? boxOverlap(found, box) : 0;
    if (fit <= 0) return;
    const agrees = agreement(part(inner), part(probability));
    const rated =
      QUALITY_WEIGHT_IN_BOX * quality[index] + FIT_WEIGHT_IN_BOX * fit + AGREEMENT_WEIGHT_IN_BOX * agrees;
    if (rated > highest) [best, highest] = [index, rated];
  });
  return best < 0 ? null : masks[best];
}

async function outlineOfMask(frame: Frame, draw: Draw, probability: Grid, threshold: number): Promise<Grid | null> {
  const box = maskBox(probability.width, probability.height, (place) => probability.values[place] > threshold);
  if (!box) return null;
  const [top, left] = frame.grid.offset;
  const toInput = (x: number, y: number): [number, number] => [(x + left) * MASK_STRIDE, (y + top) * MASK_STRIDE];
  const prompts: Prompt[] = [
    { box: [...toInput(box[0], box[1]), ...toInput(box[2], box[3])] },
    ...findPeaks(probability).map(([x, y]) => ({ point: toInput(x + 0.5, y + 0.5) })),
  ];
  const drawn: { mask: Grid; quality: number }[] = [];
  for (const prompt of prompts) {
    const { masks, quality } = await draw(prompt);
    masks.forEach((mask, index) => drawn.push({ mask, quality: quality[index] }));
  }
  let [best, highest, agreed] = [drawn[0], -Infinity, 0];
  for (const each of drawn) {
    const agrees = agreement(frame.inside(each.mask), probability);
    const rated = agrees + QUALITY_WEIGHT * each.quality;
    if (rated > highest) [best, highest, agreed] = [each, rated, agrees];
  }
  if (agreed <= MIN_AGREEMENT) return null;
  const inner = frame.inside(best.mask);
  const sum = inner.values.map((value, place) => {
    const clipped = Math.min(Math.max(probability.values[place], LOGIT_EPSILON), 1 - LOGIT_EPSILON);
    return value + OWN_WEIGHT * Math.log(clipped / (1 - clipped));
  });
  const smoothed = smooth({ ...inner, values: sum });
  const refined = { ...best.mask, values: best.mask.values.slice() };
  for (let y = 0; y < inner.height; y++) {
    refined.values.set(
      smoothed.values.subarray(y * inner.width, (y + 1) * inner.width),
      (top + y) * refined.width + left,
    );
  }
  return refined;
}

/** The box around the true positions, exclusive at its end; null: none. */
export function maskBox(width: number, height: number, isInside: (place: number) => boolean): Box | null {
  let [x0, y0, x1, y1] = [width, height, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!isInside(y * width + x)) continue;
      [x0, x1, y0, y1] = [Math.min(x0, x), Math.max(x1, x + 1), Math.min(y0, y), Math.max(y1, y + 1)];
    }
  }
  return x1 > x0 ? [x0, y0, x1, y1] : null;
}

function boxOverlap(one: Box, other: Box): number {
  const area = (box: Box) => Math.max(0, box[2] - box[0]) * Math.max(0, box[3] - box[1]);
  const shared = area([
    Math.max(one[0], other[0]),
    Math.max(one[1], other[1]),
    Math.min(one[2], other[2]),
    Math.min(one[3], other[3]),
  ]);
  return shared / (area(one) + area(other) - shared);
}

/** Soft IoU of a mask (logits above 0) with probabilities. */
function agreement(mask: Grid, probability: Grid): number {
  let [overlap, marked, total] = [0, 0, 0];
  probability.values.forEach((value, place) => {
    total += value;
    if (mask.values[place] > 0) {
      overlap += value;
      marked += 1;
    }
  });
  const union = marked + total - overlap;
  return union > 0 ? overlap / union : 0;
}

/** The highest probabilities at a distance of each other, as [x, y]. */
function findPeaks(probability: Grid): [number, number][] {
  const { width, height } = probability;
  const left = probability.values.slice();
  const radius = Math.floor(Math.max(width, height) / PEAK_DISTANCE);
  const peaks: [number, number][] = [];
  let highest = 0;
  for (let count = 0; count < PEAKS; count++) {
    let place = 0;
    for (let i = 1; i < left.length; i++) if (left[i] > left[place]) place = i;
    if (!count) highest = left[place];
    else if (left[place] < MIN_PEAK * highest) break;
    const [x, y] = [place % width, Math.floor(place / width)];
    peaks.push([x, y]);
    for (let row = Math.max(0, y - radius); row < Math.min(height, y + radius + 1); row++) {
      left.fill(0, row * width + Math.max(0, x - radius), row * width + Math.min(width, x + radius + 1));
    }
  }
  return peaks;
}

/** Average with the neighbours in a square of 3; at the border with those that exist. */
function smooth({ width, height, values }: Grid): Grid {
  const means = values.map((_, place) => {
    const [x, y] = [place % width, Math.floor(place / width)];
    let [sum, count] = [0, 0];
    for (let row = Math.max(0, y - 1); row < Math.min(height, y + 2); row++) {
      for (let column = Math.max(0, x - 1); column < Math.min(width, x + 2); column++) {
        sum += values[row * width + column];
        count += 1;
      }
    }
    return sum / count;
  });
  return { width, height, values: means };
}

