// Moves the borders between classes to the edges of the image, a few pixels at most: a watershed
// (Meyer's flooding) on the image's gradient, in a band around the borders.

const BAND = 4; // pixels on either side of a border that may change class
const WEAK = 12; // grey levels: where the image has no edge stronger than this, the border stays

/** ids, pixels (RGBA bytes of the frame), mask (Uint8Array: 1 = under the brush)
 * -> a copy of ids in which pixels under the brush and near a border may have changed. */
export function snapToEdges(ids, pixels, mask, width, height) {
  const box = boxOf(mask, width, height);
  if (!box) return ids.slice();
  const result = ids.slice(); // flooded in the whole box; what lies under the brush counts
  const near = distances(ids, box, width);
  const band = keepThinRegions(ids, near, box, width);
  const [left, top, right, bottom] = box;
  const queue = Array.from({ length: 256 }, () => []); // [pixel, class] by gradient, first come first
  const flooded = new Uint8Array(ids.length);
  const spread = (at, level) => {
    const own = result[at];
    around(at, box, width, (other) => {
      if (!band[other] || flooded[other]) return;
      const edge = gradient(pixels, other, width, height);
      queue[Math.max(level, edge, own === ids[other] ? 0 : WEAK)].push([other, own]);
    });
  };
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) if (!band[y * width + x]) spread(y * width + x, 0);
  }
  for (let level = 0; level < 256; level++) {
    for (let i = 0; i < queue[level].length; i++) {
      const [at, own] = queue[level][i];
      if (flooded[at]) continue;
      flooded[at] = 1;
      result[at] = own;
      spread(at, level);
    }
  }
  return result.map((id, at) => (mask[at] ? id : ids[at]));
}

/** The mask's bounding box, larger by the band: the flood comes from there too. */
function boxOf(mask, width, height) {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0; y < height; y++) {
    const start = mask.indexOf(1, y * width);
    if (start < 0) break;
    if (start >= (y + 1) * width) continue;
    const end = mask.lastIndexOf(1, (y + 1) * width - 1) + 1;
    left = Math.min(left, start - y * width);
    right = Math.max(right, end - y * width);
    top = Math.min(top, y);
    bottom = y + 1;
  }
  if (!right) return null;
  const by = 2 * BAND;
  return [
    Math.max(0, left - by), Math.max(0, top - by),
    Math.min(width, right + by), Math.min(height, bottom + by),
  ];
}

/** How many steps each pixel of the box is from another class (1 = beside it; BAND + 1 = further). */
function distances(ids, box, width) {
  const [left, top, right, bottom] = box;
  const near = new Uint8Array(ids.length).fill(BAND + 1);
  let front = [];
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const at = y * width + x;
      around(at, box, width, (other) => {
        if (ids[other] !== ids[at] && near[at] > 1) {
          near[at] = 1;
          front.push(at);
        }
      });
    }
  }
  for (let step = 2; step <= BAND; step++) {
    const next = [];
    for (const at of front) {
      around(at, box, width, (other) => {
        if (near[other] > step) {
          near[other] = step;
          next.push(other);
        }
      });
    }
    front = next;
  }
  return near;
}

/** 1 where a pixel may change: near a border, and not in the middle of something thin. Without the
 * last, a lane marking as thin as the band would be flooded from both sides. */
function keepThinRegions(ids, near, [left, top, right, bottom], width) {
  const band = new Uint8Array(ids.length);
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const at = y * width + x;
      if (near[at] > BAND) continue;
      band[at] = 1;
      const [reachable, onRidge] = lookAround(x, y);
      if (!reachable && onRidge) band[at] = 0;
    }
  }
  return band;

  /** Whether the pixel's class has a pixel beyond the band close by; whether no neighbour of its
   * class is further from the border. */
  function lookAround(x, y) {
    const at = y * width + x;
    const reach = BAND + 1 - near[at] + 1;
    let onRidge = true;
    for (let v = Math.max(top, y - reach); v <= Math.min(bottom - 1, y + reach); v++) {
      for (let u = Math.max(left, x - reach); u <= Math.min(right - 1, x + reach); u++) {
        const other = v * width + u;
        if (ids[other] !== ids[at]) continue;
        if (near[other] > BAND) return [true, false];
        if (Math.abs(u - x) < 2 && Math.abs(v - y) < 2 && near[other] > near[at]) onRidge = false;
      }
    }
    return [false, onRidge];
  }
}

/** Calls visit(position) for the neighbours inside the box. */
function around(at, [left, top, right, bottom], width, visit) {
  const [x, y] = [at % width, Math.floor(at / width)];
  if (x > left) visit(at - 1);
  if (x + 1 < right) visit(at + 1);
  if (y > top) visit(at - width);
  if (y + 1 < bottom) visit(at + width);
}

/** The largest of the three colours' gradients, 0–255. */
function gradient(pixels, at, width, height) {
  const [x, y] = [at % width, Math.floor(at / width)];
  const west = x ? at - 1 : at;
  const east = x + 1 < width ? at + 1 : at;
  const north = y ? at - width : at;
  const south = y + 1 < height ? at + width : at;
  let most = 0;
  for (let c = 0; c < 3; c++) {
    const across = pixels[4 * east + c] - pixels[4 * west + c];
    const down = pixels[4 * south + c] - pixels[4 * north + c];
    most = Math.max(most, Math.hypot(across, down));
  }
  return Math.min(255, Math.round(most));
}
