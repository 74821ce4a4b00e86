/** Fetches the page's files. Whatever goes wrong is said in one sentence. */

/** An error whose text is for the reader. */
export class Told extends Error {}

/** The mend for every file that is not as it was exported. */
export const AGAIN = "Export the page again, or copy it again.";

const GZIP = [0x1f, 0x8b];

/** A file's name as it lies in the page's folder. */
export function nameOf(url: URL): string {
  const folder = new URL(".", document.baseURI).href;
  return url.href.startsWith(folder) ? url.href.slice(folder.length) : url.href;
}

/** Returns a file's bytes, unpacked if it is packed by gzip (and the server has not done that already). */
export async function bytesOf(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  const name = nameOf(url);
  let response: Response;
  try {
    response = await fetch(url);
  } catch {
    throw new Told(`The file ${name} could not be fetched. Is the server still running?`);
  }
  if (!response.ok) throw new Told(`The file ${name} is missing (the server answered ${response.status}).`);
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = new Uint8Array(await response.arrayBuffer());
    if (bytes[0] !== GZIP[0] || bytes[1] !== GZIP[1]) return bytes;
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch {
    throw new Told(`The file ${name} is damaged or was cut off. ${AGAIN}`);
  }
}

/** Returns a file of numbers: packed with the even bytes first and the odd ones after, which gzip makes smaller. */
export async function planesOf(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  const packed = await bytesOf(url);
  const bytes = new Uint8Array(packed.length);
  const half = (packed.length + 1) >> 1;
  for (let i = 0; i < half; i++) bytes[2 * i] = packed[i];
  for (let i = half; i < packed.length; i++) bytes[2 * (i - half) + 1] = packed[i];
  return bytes;
}

/** Returns a JSON file. */
export async function jsonOf(url: URL): Promise<unknown> {
  const bytes = await bytesOf(url);
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new Told(`The file ${nameOf(url)} is not readable. ${AGAIN}`);
  }
}

/** Where an array lies in a file of numbers. */
export interface Place {
  offset: number;
  shape: number[];
  type: "float16" | "float32";
}

/** Returns an array of a file of numbers, as float32; `url` names the file. */
export function arrayOf(bytes: Uint8Array<ArrayBuffer>, place: Place, url: URL): Float32Array {
  const size = place.shape.reduce((product, side) => product * side, 1);
  const width = place.type === "float16" ? 2 : 4;
  if (place.offset + size * width > bytes.length) throw new Told(`The file ${nameOf(url)} is damaged or was cut off. ${AGAIN}`);
  const data = bytes.slice(place.offset, place.offset + size * width).buffer;
  return place.type === "float32" ? new Float32Array(data) : Float32Array.from(new Uint16Array(data), fromHalf);
}

function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
