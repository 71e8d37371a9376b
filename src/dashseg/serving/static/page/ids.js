// Labels as PNG files of class ids (8 bits per pixel) <-> bytes.
//
// A canvas is no way to read ids: browsers apply colour profiles, and some add noise against
// fingerprinting. So the file is unpacked here, and every id is the one that was written.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const MOST_PIXELS = 178956970; // as dashseg's reader of images
const GREY = 0;
const PALETTE = 3;

/**
 * Read an 8-bit grey PNG.
 * @param {Blob | ArrayBuffer | Uint8Array} file
 * @returns {Promise<{width: number, height: number, ids: Uint8Array}>} ids: one per pixel, row by
 *   row from the top left.
 * @throws {Error} not such a PNG, or a damaged one.
 */
export async function decodeIds(file) {
  const bytes = new Uint8Array(file instanceof Blob ? await file.arrayBuffer() : file);
  if (SIGNATURE.some((byte, index) => bytes[index] !== byte)) throw new Error("not a PNG file");
  const numbers = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [width, height] = [numbers.getUint32(16), numbers.getUint32(20)];
  const [depth, colour, , , interlaced] = bytes.subarray(24, 29);
  if (depth !== 8 || colour !== GREY || interlaced || width * height > MOST_PIXELS) {
    throw new Error("not an 8-bit grey PNG file");
  }
  const parts = [];
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = numbers.getUint32(at);
    if (String.fromCharCode(...bytes.subarray(at + 4, at + 8)) === "IDAT") {
      parts.push(bytes.subarray(at + 8, at + 8 + length));
    }
    at += 12 + length;
  }
  const rows = await through(new DecompressionStream("deflate"), parts);
  if (rows.length !== height * (width + 1)) throw new Error("a damaged PNG file");
  return { width, height, ids: unfilter(rows, width, height) };
}

/**
 * Write ids as a PNG: grey, or with colours a palette PNG that looks like the mask.
 * @param {{width: number, height: number, ids: Uint8Array}} label
 * @param {number[][]} [colours] [red, green, blue] of each id from 0 up
 * @returns {Promise<Blob>}
 */
export async function encodeIds({ width, height, ids }, colours) {
  const rows = new Uint8Array(height * (width + 1)); // each row's first byte: 0, no filter
  for (let y = 0; y < height; y++) {
    rows.set(ids.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  }
  const header = new Uint8Array(13);
  const numbers = new DataView(header.buffer);
  numbers.setUint32(0, width);
  numbers.setUint32(4, height);
  header.set([8, colours ? PALETTE : GREY], 8);
  const parts = [new Uint8Array(SIGNATURE), chunk("IHDR", header)];
  if (colours) parts.push(chunk("PLTE", new Uint8Array(colours.flat())));
  parts.push(chunk("IDAT", await through(new CompressionStream("deflate"), [rows])));
  parts.push(chunk("IEND", new Uint8Array()));
  return new Blob(parts, { type: "image/png" });
}

async function through(stream, parts) {
  const answer = new Response(new Blob(parts).stream().pipeThrough(stream));
  return new Uint8Array(await answer.arrayBuffer());
}

/** Undo the filter of each row (PNG specification, section 9); one byte is one pixel. */
function unfilter(rows, width, height) {
  const ids = new Uint8Array(width * height);
  for (let y = 0, from = 0, to = 0; y < height; y++) {
    const filter = rows[from++];
    for (let x = 0; x < width; x++, from++, to++) {
      const left = x ? ids[to - 1] : 0;
      const up = y ? ids[to - width] : 0;
      let guess = 0;
      if (filter === 1) guess = left;
      else if (filter === 2) guess = up;
      else if (filter === 3) guess = (left + up) >> 1;
      else if (filter === 4) guess = paeth(left, up, x && y ? ids[to - width - 1] : 0);
      ids[to] = rows[from] + guess; // modulo 256, as the array holds bytes
    }
  }
  return ids;
}

function paeth(left, up, corner) {
  const sum = left + up - corner;
  const [toLeft, toUp] = [Math.abs(sum - left), Math.abs(sum - up)];
  const toCorner = Math.abs(sum - corner);
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

function chunk(kind, data) {
  const bytes = new Uint8Array(data.length + 12);
  const numbers = new DataView(bytes.buffer);
  numbers.setUint32(0, data.length);
  bytes.set(kind.split("").map((letter) => letter.charCodeAt(0)), 4);
  bytes.set(data, 8);
  numbers.setUint32(data.length + 8, crc32(bytes.subarray(4, data.length + 8)));
  return bytes;
}

const CRC = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = CRC[(value ^ byte) & 255] ^ (value >>> 8);
  return ~value >>> 0;
}
