// Images and maps: resizing as in Python (vlt/geometry.py), and the letterbox.

/** RGB pixels, row by row, three bytes each. */
export interface Image {
  width: number;
  height: number;
  pixels: Uint8Array;
}

/** A map of numbers, row by row. */
export interface Grid {
  width: number;
  height: number;
  values: Float32Array;
}

/** [height, width] in pixels. */
export type Size = [number, number];
/** [x0, y0, x1, y1]. */
export type Box = [number, number, number, number];

const GREY = 0.5;
const PRECISION = 22;

/** Bicubic kernel with a = -0.5, as PIL's. */
function cubic(x: number): number {
  const a = -0.5;
  x = Math.abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/** First input position and whole-number weights of each output position of PIL's resizing of uint8 pixels. */
function taps(from: number, to: number): { first: number; weights: Int32Array }[] {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  return Array.from({ length: to }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - 2 * stretch + 0.5));
    const count = Math.min(from, Math.trunc(centre + 2 * stretch + 0.5)) - first;
    const exact = Array.from({ length: count }, (_, i) => cubic((i + first - centre + 0.5) / stretch));
    const sum = exact.reduce((total, each) => total + each, 0);
    const weights = exact.map((each) => {
      const weight = (each / sum) * 2 ** PRECISION;
      return Math.trunc(weight < 0 ? weight - 0.5 : weight + 0.5);
    });
    return { first, weights: Int32Array.from(weights) };
  });
}

/** Resize as PIL does: bicubic, low-passed where it shrinks, columns first. */
export function resizeBicubic(image: Image, [height, width]: Size): Image {
  let { pixels } = image;
  if (width !== image.width) {
    const out = new Uint8ClampedArray(image.height * width * 3);
    taps(image.width, width).forEach(({ first, weights }, x) => {
      for (let y = 0; y < image.height; y++) {
        const row = (y * image.width + first) * 3;
        for (let channel = 0; channel < 3; channel++) {
          let sum = 2 ** (PRECISION - 1);
          for (let i = 0; i < weights.length; i++) sum += pixels[row + i * 3 + channel] * weights[i];
          out[(y * width + x) * 3 + channel] = sum >> PRECISION;
        }
      }
    });
    pixels = new Uint8Array(out.buffer);
  }
  if (height !== image.height) {
    const stride = width * 3;
    const out = new Uint8ClampedArray(height * stride);
    taps(image.height, height).forEach(({ first, weights }, y) => {
      for (let x = 0; x < stride; x++) {
        let sum = 2 ** (PRECISION - 1);
        for (let i = 0; i < weights.length; i++) sum += pixels[(first + i) * stride + x] * weights[i];
        out[y * stride + x] = sum >> PRECISION;
      }
    });
    pixels = new Uint8Array(out.buffer);
  }
  return { width, height, pixels };
}

/** Resize a map bilinearly, with half-pixel centres. */
export function resizeBilinear(grid: Grid, [height, width]: Size): Grid {
  const places = (from: number, to: number) =>
    Array.from({ length: to }, (_, place) => {
      const source = Math.min(Math.max((place + 0.5) * (from / to) - 0.5, 0), from - 1);
      const lower = Math.trunc(source);
      return { lower, upper: Math.min(lower + 1, from - 1), share: Math.fround(source - lower) };
    });
  const [rows, columns] = [places(grid.height, height), places(grid.width, width)];
  const values = new Float32Array(height * width);
  const row = new Float32Array(grid.width);
  rows.forEach(({ lower, upper, share }, y) => {
    for (let x = 0; x < grid.width; x++) {
      row[x] = grid.values[lower * grid.width + x] * (1 - share) + grid.values[upper * grid.width + x] * share;
    }
    columns.forEach((column, x) => {
      values[y * width + x] = row[column.lower] * (1 - column.share) + row[column.upper] * column.share;
    });
  });
  return { width, height, values };
}

/** The part of a map from (top, left). */
export function crop(grid: Grid, [top, left]: Size, [height, width]: Size): Grid {
  const values = new Float32Array(height * width);
  for (let y = 0; y < height; y++) {
    const start = (top + y) * grid.width + left;
    values.set(grid.values.subarray(start, start + width), y * width);
  }
  return { width, height, values };
}

export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** Scales an image into a network's input, keeping its aspect ratio, and maps logits back. */
export class Letterbox {
  readonly inner: Size;
  readonly offset: Size;

  constructor(
    readonly image: Size,
    readonly input: Size,
  ) {
    const scale = Math.min(input[0] / image[0], input[1] / image[1]);
    this.inner = image.map((side) => Math.max(1, Math.trunc(side * scale))) as Size;
    this.offset = [0, 1].map((axis) => Math.floor((input[axis] - this.inner[axis]) / 2)) as Size;
  }

  /** The input (3, H, W) in [0, 1], grey around the image. */
  paste(image: Image): Float32Array {
    const [[height, width], [top, left]] = [this.input, this.offset];
    const inner = resizeBicubic(image, this.inner);
    const values = new Float32Array(3 * height * width).fill(GREY);
    for (let y = 0; y < inner.height; y++) {
      for (let x = 0; x < inner.width; x++) {
        for (let channel = 0; channel < 3; channel++) {
          const byte = inner.pixels[(y * inner.width + x) * 3 + channel];
          values[(channel * height + top + y) * width + left + x] = Math.fround(byte / 255);
        }
      }
    }
    return values;
  }

  /** Probabilities at the size of the image. */
  probability(logits: Grid): Grid {
    const probability = { ...logits, values: logits.values.map(sigmoid) };
    return resizeBilinear(crop(resizeBilinear(probability, this.input), this.offset, this.inner), this.image);
  }

  /** A box in shares of the input to the area of the image that it covers, in shares; null: none. */
  imageArea(box: Box): Box | null {
    const area = box.map((side, index) => {
      const axis = 1 - (index % 2);
      const share = (side * this.input[axis] - this.offset[axis]) / this.inner[axis];
      return Math.min(Math.max(share, 0), 1);
    }) as Box;
    return area[2] > area[0] && area[3] > area[1] ? area : null;
  }

  /** A box in pixels of the image to pixels of the input. */
  inputBox(box: Box): Box {
    return box.map((side, index) => {
      const axis = 1 - (index % 2);
      return (side * this.inner[axis]) / this.image[axis] + this.offset[axis];
    }) as Box;
  }
}
