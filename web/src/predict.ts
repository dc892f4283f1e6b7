// Photo and expression to mask, as `Predictor` in vlt/infer/predictor.py does without the flipped image.
import { Tokenizer } from "@huggingface/tokenizers";
import * as ort from "onnxruntime-web/wasm";
import { Letterbox, type Box, type Grid, type Image, type Size } from "./image";
import { Frame, maskBox, refine, type Draw, type Outline } from "./refine";

const OUTCOMES = 4;
const AGREEMENT_FLOOR = 0.1;
const CLS_AND_SEP = 2;

/** What `vlt export --web` writes into settings.json. */
export interface Settings {
  input_size: Size;
  max_words: number;
  threshold: number;
  presence: number;
  temperature: number;
  agreement: number;
  refine_side: number;
  files: Record<string, { size: number; sha256: string }>;
}

/** The answer to one expression. */
export interface Answer {
  width: number;
  height: number;
  mask: Uint8Array;
  score: number;
  box: Box | null;
}

interface Features {
  image: Image;
  letterbox: Letterbox;
  encoded: Record<string, ort.Tensor>;
  frame: Frame;
  draw: Draw;
}

interface Outcome {
  probability: number;
  box: Box | null;
}

/** Reads a file of the model by its name. */
export type Read = (name: string) => Promise<Uint8Array<ArrayBuffer>>;

export class Predictor {
  private constructor(
    readonly settings: Settings,
    private readonly tokenizer: Tokenizer,
    private readonly images: ort.InferenceSession,
    private readonly expressions: ort.InferenceSession,
    private readonly outlineImages: ort.InferenceSession,
    private readonly outlines: ort.InferenceSession,
  ) {}

  static async load(settings: Settings, read: Read): Promise<Predictor> {
    const json = async (name: string) => JSON.parse(new TextDecoder().decode(await read(name)));
    const tokenizer = new Tokenizer(await json("tokenizer/tokenizer.json"), await json("tokenizer/tokenizer_config.json"));
    const open = async (graph: string, path: string) =>
      ort.InferenceSession.create(await read(graph), {
        externalData: [{ path, data: await read(path) }],
        executionProviders: ["wasm"],
        enableMemPattern: false,
        extra: { optimization: { disable_specified_optimizers: "SkipLayerNormFusion;BiasGeluFusion" } },
      });
    return new Predictor(
      settings,
      tokenizer,
      await open("image.onnx", "weights.safetensors"),
      await open("expression.onnx", "weights.safetensors"),
      await open("outline_image.onnx", "refiner.safetensors"),
      await open("outline.onnx", "refiner.safetensors"),
    );
  }

  /** Token ids of an expression, special tokens included, as Python's `TokenReader` gives them. */
  read(expression: string): number[] {
    const { ids } = this.tokenizer.encode(expression.split(/\s+/).filter(Boolean).join(" "));
    const words = ids.slice(1, -1).slice(0, this.settings.max_words - CLS_AND_SEP);
    return [ids[0], ...words, ids[ids.length - 1]];
  }

  async encode(image: Image): Promise<Features> {
    const size: Size = [image.height, image.width];
    const { input_size, refine_side } = this.settings;
    const letterbox = new Letterbox(size, input_size);
    const encoded = await this.images.run({ images: tensor(letterbox.paste(image), [1, 3, ...input_size]) });
    const frame = new Frame(size, refine_side);
    const outlined = await this.outlineImages.run({
      image: tensor(frame.input(image), [1, 3, ...frame.letterbox.input]),
    });
    const draw: Draw = async (prompt) => {
      const [places, kinds] = "box" in prompt ? [prompt.box, [2n, 3n]] : [[...prompt.point, 0, 0], [1n, 0n]];
      const { logits, quality } = await this.outlines.run({
        encoded: outlined["encoded"],
        places: tensor(Float32Array.from(places), [1, 2, 2]),
        kinds: new ort.Tensor("int64", BigInt64Array.from(kinds), [1, 2]),
      });
      return { masks: grids(logits), quality: Array.from(quality.data as Float32Array) };
    };
    return { image, letterbox, encoded, frame, draw };
  }

  async predict(features: Features, expression: string): Promise<Answer> {
    const ids = this.read(expression);
    const feeds: Record<string, ort.Tensor> = {
      words: new ort.Tensor("int64", BigInt64Array.from(ids.map(BigInt)), [1, ids.length]),
      word_mask: new ort.Tensor("bool", new Uint8Array(ids.length).fill(1), [1, ids.length]),
    };
    for (const name of this.expressions.inputNames) if (!(name in feeds)) feeds[name] = features.encoded[name];
    const output = await this.expressions.run(feeds);
    const [logits] = grids(output["masks"]);
    const { presence, outcomes } = this.decide(output["outcomes"], features.encoded["boxes"]);
    const { width, height } = features.image;
    if (presence < this.settings.presence) {
      return { width, height, mask: new Uint8Array(width * height), score: presence, box: null };
    }
    const { outcome, outline } = await this.select(features, logits, outcomes);
    const { threshold } = this.settings;
    let mask = marked(features.letterbox.probability(logits), threshold);
    if (outline && (outcome.box || mask.includes(1))) {
      mask = marked(features.frame.letterbox.probability(outline.logits), threshold);
    }
    const box = maskBox(width, height, (place) => mask[place] > 0);
    return { width, height, mask, score: outcome.probability, box };
  }

  /** The probability that anything matches, and the most probable outcomes apart from nothing in the image. */
  private decide(logits: ort.Tensor, boxes: ort.Tensor): { presence: number; outcomes: Outcome[] } {
    const scores = Array.from(logits.data as Float32Array);
    const highest = Math.max(...scores);
    const weights = scores.map((score) => Math.exp((score - highest) / this.settings.temperature));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const probabilities = weights.map((weight) => weight / total);
    const count = scores.length - 2;
    const corners = boxes.data as Float32Array;
    const outcomes: Outcome[] = probabilities.slice(0, count).map((probability, index) => ({
      probability,
      box: Array.from(corners.subarray(4 * index, 4 * index + 4)) as Box,
    }));
    outcomes.push({ probability: probabilities[count + 1], box: null });
    outcomes.sort((one, other) => other.probability - one.probability);
    const likely = outcomes.slice(0, OUTCOMES).filter(({ probability }) => probability > 0);
    return { presence: 1 - probabilities[count], outcomes: likely.length ? likely : outcomes.slice(0, 1) };
  }

  /** The outcome of the best product of probability and agreement of its outline with the network's mask. */
  private async select(
    features: Features,
    logits: Grid,
    outcomes: Outcome[],
  ): Promise<{ outcome: Outcome; outline: Outline | null }> {
    const { agreement: power, threshold } = this.settings;
    let selected: { outcome: Outcome; outline: Outline | null } = { outcome: outcomes[0], outline: null };
    let highest = -1;
    for (const outcome of outcomes) {
      if (outcome.probability * (1 + AGREEMENT_FLOOR) ** power <= highest) break;
      const outline = await refine(features.frame, features.draw, logits, features.letterbox, threshold, outcome.box);
      const rating = outcome.probability * ((outline?.agreement ?? 0) + AGREEMENT_FLOOR) ** power;
      if (rating > highest) [highest, selected] = [rating, { outcome, outline }];
    }
    return selected;
  }
}

export type { Features };

function tensor(values: Float32Array, shape: number[]): ort.Tensor {
  return new ort.Tensor("float32", values, shape);
}

/** The maps of a tensor (..., height, width). */
function grids(tensor: ort.Tensor): Grid[] {
  const [height, width] = tensor.dims.slice(-2);
  const values = tensor.data as Float32Array;
  return Array.from({ length: values.length / (height * width) }, (_, index) => ({
    width,
    height,
    values: values.slice(index * height * width, (index + 1) * height * width),
  }));
}

function marked(probability: Grid, threshold: number): Uint8Array {
  return Uint8Array.from(probability.values, (value) => (value > threshold ? 1 : 0));
}
